"""Fit says from cards alone whether a base can do a task, and what to do where it cannot."""

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field

from metier import Base, Bridge, Image, Mesh, Speech, TaskContract, TaskKind, fit, prompt
from metier.contracts import FitReport, Modality, Terms, Verdict, read_from, terms_of
from metier.contracts.fit import FitFinding


class Text(BaseModel):
    text: str


class Photo(BaseModel):
    photo: Image


class Voice(BaseModel):
    voice: Speech


class Spoken(BaseModel):
    text: str
    voice: Speech | None = Field(default=None, json_schema_extra=read_from("text", package="metier-voice"))


class Model(BaseModel):
    model: Mesh


def task(input: Any = Text, output: Any = Text, languages: tuple[str, ...] = ("en",), **fields: Any) -> TaskContract:
    prompts = {language: prompt("?") for language in languages}
    reply = "text" if output is Text else "json"
    return TaskContract(name="a.b", kind="generate", input=input, output=output, prompts=prompts, reply=reply, **fields)


def base(**fields: Any) -> Base:
    card = {
        "id": "b",
        "model_class": "LlamaForCausalLM",
        "languages": ("en",),
        "context_length": 1000,
        "licence": "MIT",
    }
    return Base(**{**card, **fields})


def bridge(name: str, source: str, target: str, **fields: Any) -> Bridge:
    return Bridge(**{"name": name, "source": source, "target": target, "run": str, "licence": "MIT", **fields})


def one(report: FitReport, aspect: str, verdict: str) -> FitFinding:
    found = [f for f in report.findings if f.aspect == aspect and f.verdict == verdict]
    assert len(found) == 1, report.findings
    assert (found[0].remedy is None) == (verdict == "ok")
    return found[0]


def test_a_text_task_on_a_text_base_fits_and_needs_nothing_done() -> None:
    report = fit(task(), base(), token_lengths=[10, 20])
    assert report.verdict is Verdict.OK and not report.bridges_in
    assert {f.aspect for f in report.findings} == {"input", "output", "language", "context", "licence", "knowledge"}
    assert all(f.verdict is Verdict.OK and f.remedy is None for f in report.findings)


def test_a_photo_without_a_bridge_fails_and_the_remedy_names_one_to_install() -> None:
    found = one(fit(task(Photo), base()), "input", "fail")
    assert "no bridge closes the gap" in found.reason and "image→text" in str(found.remedy)


def test_the_shortest_chain_of_bridges_closes_the_gap() -> None:
    bridges = [
        bridge("render", "mesh", "image"),
        bridge("film", "mesh", "video"),
        bridge("frames", "video", "image"),
        bridge("caption", "image", "text"),
        bridge("retell", "video", "speech"),
        bridge("listen", "speech", "text"),
    ]
    report = fit(task(Model), base(), bridges)
    assert report.bridges_in == {Modality.MESH: ("render", "caption")}
    assert "render (mesh→image), then caption (image→text)" in one(report, "input", "ok").reason


def test_an_output_goes_through_bridges_from_what_the_base_gives() -> None:
    bridges = [bridge("speak", "text", "speech"), bridge("listen", "speech", "text")]
    report = fit(task(Voice, Spoken), base(), bridges)
    assert report.bridges_in == {Modality.SPEECH: ("listen",)}
    assert report.bridges_out == {Modality.SPEECH: ("speak",)}
    assert "pip install metier-voice" in str(one(fit(task(Text, Spoken), base()), "output", "fail").remedy)


def test_an_output_that_names_no_text_to_render_fails_although_a_bridge_exists() -> None:
    found = one(fit(task(Text, Voice), base(), [bridge("speak", "text", "speech")]), "output", "fail")
    assert "read_from" in str(found.remedy)


def test_bridges_that_lead_round_in_a_circle_end_in_a_finding() -> None:
    bridges = [bridge("a", "image", "video"), bridge("b", "video", "image")]
    assert fit(task(Photo), base(), bridges).verdict is Verdict.FAIL


def test_a_bridge_known_by_its_card_only_is_to_be_installed_and_one_at_hand_is_preferred() -> None:
    card = bridge("caption", "image", "text", run=None, package="metier-caption")
    assert one(fit(task(Photo), base(), [card]), "input", "fail").remedy == "pip install metier-caption"
    ready = [bridge("film", "image", "video"), bridge("tell", "video", "text")]
    assert fit(task(Photo), base(), [card, *ready]).bridges_in == {Modality.IMAGE: ("film", "tell")}


def test_a_base_that_sees_needs_no_bridge() -> None:
    report = fit(task(Photo), base(modalities_in=frozenset({"text", "image"})), [bridge("caption", "image", "text")])
    assert not report.bridges_in and report.findings[0].verdict is Verdict.OK


def test_the_first_language_decides_and_a_further_one_warns() -> None:
    assert "use a base that supports zh" in str(one(fit(task(languages=("zh",)), base()), "language", "fail").remedy)
    warned = one(fit(task(languages=("en", "zh")), base()), "language", "warn")
    assert "or use the task in en only" in str(warned.remedy)
    assert fit(task(languages=("en", "zh")), base(), languages=["en"], token_lengths=[1]).verdict is Verdict.OK


@pytest.mark.parametrize(("known", "wanted"), [("zh", "zh-Hans"), ("pt-BR", "pt"), ("EN", "en-GB")])
def test_languages_match_by_their_primary_subtag(known: str, wanted: str) -> None:
    one(fit(task(languages=(wanted,)), base(languages=(known,))), "language", "ok")


def test_a_card_without_languages_warns() -> None:
    one(fit(task(), base(languages=())), "language", "warn")


def test_a_bridge_s_language_and_licence_count_only_where_it_is_used() -> None:
    caption = bridge("caption", "image", "text", languages=("fr",), licence="CC-BY-NC-4.0")
    report = fit(task(Photo), base(), [caption])
    assert any("bridge caption supports fr" in f.reason for f in report.findings if f.verdict is Verdict.FAIL)
    assert any("bridge caption: licence CC-BY-NC" in f.reason for f in report.findings if f.verdict is Verdict.FAIL)
    assert fit(task(), base(), [caption], token_lengths=[1]).verdict is Verdict.OK


def test_lengths_are_percentiles_by_nearest_rank() -> None:
    report = fit(task(), base(), token_lengths=list(range(1, 101)))
    assert report.lengths is not None
    assert report.lengths.model_dump() == {"samples": 100, "p50": 50, "p95": 95, "p99": 99, "max": 100}


@pytest.mark.parametrize(
    ("lengths", "verdict"),
    [([1000], "ok"), ([10] * 99 + [1001], "warn"), ([10] * 9 + [1001], "fail"), (None, "warn"), ([], "warn")],
)
def test_the_context_is_held_against_the_samples_lengths(lengths: list[int] | None, verdict: str) -> None:
    one(fit(task(), base(), token_lengths=lengths), "context", verdict)


def test_a_reply_that_alone_fills_the_context_fails() -> None:
    one(fit(task(max_reply_tokens=1000), base()), "context", "fail")


@pytest.mark.parametrize(
    ("licence", "research", "internal", "commercial"),
    [
        ("Apache-2.0", "ok", "ok", "ok"),
        ("GPL-3.0-only", "ok", "ok", "warn"),
        ("CC-BY-NC-4.0", "ok", "fail", "fail"),
        ("CC-BY-ND-4.0", "warn", "warn", "fail"),
        ("llama3.1", "warn", "warn", "warn"),
        (None, "warn", "warn", "warn"),
    ],
)
def test_the_licence_is_held_against_the_intended_use(
    licence: str | None, research: str, internal: str, commercial: str
) -> None:
    for use, verdict in (("research", research), ("internal", internal), ("commercial", commercial)):
        one(fit(task(), base(licence=licence), use=use), "licence", verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("mit", Terms.PERMISSIVE),
        ("BSD-3-Clause", Terms.PERMISSIVE),
        ("CC-BY-4.0", Terms.PERMISSIVE),
        ("Apache-2.0 WITH LLVM-exception", Terms.PERMISSIVE),
        ("GPL-3.0-only OR MIT", Terms.PERMISSIVE),
        ("(MIT AND CC-BY-NC-4.0)", Terms.NON_COMMERCIAL),
        ("AGPL-3.0-or-later", Terms.SHARE_ALIKE),
        ("CC-BY-SA-4.0", Terms.SHARE_ALIKE),
        ("cc-by-nc-sa-4.0", Terms.NON_COMMERCIAL),
        ("cc-by-nc-nd-4.0", Terms.NO_DERIVATIVES),
        ("bigscience-bloom-rail-1.0", Terms.CUSTOM),
        ("creativeml-openrail-m", Terms.CUSTOM),
        ("gemma", Terms.CUSTOM),
        ("LicenseRef-Studio", Terms.CUSTOM),
        ("other", Terms.CUSTOM),
        ("", Terms.UNKNOWN),
        (None, Terms.UNKNOWN),
        ("as you like it", Terms.UNKNOWN),
    ],
)
def test_a_licence_is_sorted_by_its_terms(licence: str | None, terms: Terms) -> None:
    assert terms_of(licence) is terms


def test_fresh_facts_need_search_or_a_late_cut_off() -> None:
    news = task(fresh_facts=True)
    dated = base(knowledge_cutoff=date(2024, 6, 1))
    assert "no knowledge after 2024-06-01" in one(fit(news, dated), "knowledge", "warn").reason
    assert "names no knowledge cut-off" in one(fit(news, base()), "knowledge", "warn").reason
    one(fit(news, dated, facts_until=date(2024, 5, 31)), "knowledge", "ok")
    one(fit(news, dated, facts_until=date(2024, 6, 2)), "knowledge", "warn")
    one(fit(news, base(), search=True), "knowledge", "ok")
    one(fit(task(), base()), "knowledge", "ok")


def test_a_task_that_takes_passages_needs_documents_in_the_bundle() -> None:
    class Question(BaseModel):
        question: str
        passages: list[dict[str, str]] = []

    grounded = task(input=Question, fresh_facts=True)
    assert grounded.takes_passages and not task().takes_passages
    assert "export --documents" in one(fit(grounded, base()), "knowledge", "warn").remedy
    assert "a field `passages`" in one(fit(task(fresh_facts=True), base()), "knowledge", "warn").remedy
    assert "documents of a bundle" in one(fit(task(input=Question), base()), "knowledge", "ok").reason


def test_a_base_without_a_chat_template_warns() -> None:
    assert "instruct version" in str(one(fit(task(), base(chat_template=False)), "chat template", "warn").remedy)


def test_an_encoder_fits_what_a_head_can_answer_and_nothing_that_must_be_written() -> None:
    encoder = base(architecture="encoder", chat_template=False)
    written = one(fit(task(), encoder, token_lengths=[10]), "output", "fail")
    assert "does not write" in written.reason
    sorted_ = task().model_copy(update={"kind": TaskKind.CLASSIFY})
    report = fit(sorted_, encoder, token_lengths=[10])
    assert report.verdict is Verdict.OK
    assert any("a head on it can classify" in finding.reason for finding in report.findings)


def test_the_licence_of_the_training_samples_counts_as_the_base_s_does() -> None:
    assert fit(task(), base(), token_lengths=[10], samples_licence="CC0-1.0").verdict is Verdict.OK
    report = fit(task(), base(), token_lengths=[10], samples_licence="CC-BY-NC-4.0")
    (found,) = [f for f in report.findings if f.aspect == "licence" and f.verdict is Verdict.FAIL]
    assert found.reason.startswith("samples of a.b: licence CC-BY-NC-4.0, non-commercial only")
    assert str(found.remedy).startswith("take samples for commercial use, such as under CC0-1.0")
