"""Metrics against sacrebleu's own corpus scores and against values computed by hand."""

import dataclasses

import numpy as np
import pytest
from pydantic import BaseModel
from sacrebleu.metrics import BLEU, CHRF

from metier.contracts import Check, Finding, PluginError, TaskContract, UsageError, prompt
from metier.contracts.check import run_checks
from metier.metrics import agreement, overlap
from metier.metrics.cases import Case
from metier.metrics.checks import check_measures
from metier.metrics.measures import Measure, from_plugin
from metier.metrics.results import ReportedAnswer
from metier.metrics.selection import choose_measures
from metier.plugins.metric import Metric
from metier.plugins.registry import load_plugins

WORDS = ["the", "cat", "a", "Dog", "sat", "on", "big", "mat,", "near", "river!", "Blue", "mug", "300", "ml", "it", "."]
HANZI = list("这款蓝色马克杯容量三百毫升价格便宜,适合家庭使用。")


def case(*references: str, language: str = "en") -> Case:
    return Case({"facts": "x"}, language, tuple({"text": r} for r in references), tuple(references))


def answer(text: str) -> ReportedAnswer:
    return ReportedAnswer(text=text, output={"text": text}, tokens=len(text))


def score(measure: Measure, cases: list[Case], answers: list[ReportedAnswer]) -> float:
    return float(measure.scores(cases, answers, np.ones((1, len(cases)), dtype=np.int64))[0])


def corpus(seed: int, inputs: int, words: list[str] = WORDS, joint: str = " ", language: str = "en"):
    rng = np.random.default_rng(seed)

    def text(low: int) -> str:
        return joint.join(rng.choice(words, size=rng.integers(low, 14)))

    cases = [case(*(text(1) for _ in range(rng.integers(1, 5))), language=language) for _ in range(inputs)]
    return cases, [answer(text(0)) for _ in range(inputs)]


def streams(cases: list[Case]) -> list[list[str | None]]:
    widest = max(len(c.references) for c in cases)
    return [[c.reference_texts[i] if i < len(c.references) else None for c in cases] for i in range(widest)]


@pytest.mark.parametrize("seed", range(8))
def test_bleu_and_chrf_equal_sacrebleus_own_on_any_resample(seed: int) -> None:
    cases, answers = corpus(seed, inputs=1 + 3 * seed)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(cases), np.full(len(cases), 1 / len(cases)), size=5)
    bleu, chrf = (m.scores(cases, answers, weights) for m in (overlap.BLEU, overlap.CHRF))
    for row, drawn in enumerate(weights):
        picked = np.repeat(np.arange(len(cases)), drawn)
        texts, references = [answers[i].text for i in picked], streams([cases[i] for i in picked])
        assert bleu[row] == pytest.approx(BLEU(lowercase=True).corpus_score(texts, references).score, abs=1e-9)
        assert chrf[row] == pytest.approx(CHRF(lowercase=True).corpus_score(texts, references).score, abs=1e-9)


def test_chinese_is_cut_by_sacrebleus_chinese_tokenizer() -> None:
    cases, answers = corpus(3, 12, HANZI, "", "zh-CN")
    own = BLEU(lowercase=True, tokenize="zh").corpus_score([a.text for a in answers], streams(cases)).score
    assert score(overlap.BLEU, cases, answers) == pytest.approx(own) and own > 0
    assert overlap.rouge_l(case("蓝色马克杯", language="zh"), answer("蓝色杯")) == pytest.approx(2 * 3 / (3 + 5))


def test_a_perfect_answer_scores_hundred_and_an_empty_one_zero() -> None:
    cases = [case("A blue mug that holds 300 ml.", "The mug is blue and cheap."), case("One lamp made of oak.")]
    for measure in (overlap.BLEU, overlap.CHRF, overlap.ROUGE_L):
        assert score(measure, cases, [answer(c.reference_texts[0].upper()) for c in cases]) == pytest.approx(100)
        assert score(measure, cases, [answer(""), answer("")]) == 0


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence_with_the_best_reference() -> None:
    # "the cat sat" and "the cat on mat sat" share 3 of 3 and 3 of 5 words.
    assert overlap.rouge_l(case("nothing alike", "the cat on mat sat"), answer("The cat sat!")) == pytest.approx(0.75)


def labels(*names: str | None) -> list[ReportedAnswer]:
    return [ReportedAnswer(text=s or "?", output=None if s is None else {"label": s}, tokens=1) for s in names]


def wanted(*names: str) -> list[Case]:
    return [Case({"q": "x"}, "en", tuple({"label": n} for n in name.split("|")), (name,)) for name in names]


def test_accuracy_and_macro_f1_count_invalid_replies_as_wrong() -> None:
    cases, answers = wanted("a", "a", "b", "b", "c|a"), labels("a", "b", "b", None, "a")
    assert score(agreement.ACCURACY, cases, answers) == pytest.approx(60)
    # a: 2 hits of 3 wanted, 2 answered = 4/5; b: 1 hit of 2 wanted, 2 answered = 2/4.
    assert score(agreement.MACRO_F1, cases, answers) == pytest.approx(100 * (4 / 5 + 2 / 4) / 2)
    assert score(agreement.VALID_REPLY, cases, answers) == pytest.approx(80)


def test_macro_f1_of_a_resample_leaves_out_labels_that_are_not_in_it() -> None:
    scores = agreement.macro_f1(wanted("a", "b"), labels("a", "a"), np.array([[2, 0], [0, 2]]))
    assert scores.tolist() == [100, 0]


def spans(*pairs: tuple[str, str]) -> dict:
    return {"spans": [{"label": label, "text": text} for label, text in pairs]}


def test_span_f1_pools_spans_over_inputs_and_takes_the_reference_that_agrees_best() -> None:
    gold = [("who", "Ann  Lee"), ("where", "Oslo")]
    cases = [
        Case({"t": "x"}, "en", (spans(("who", "Bob")), spans(*gold)), ("", "")),
        Case({"t": "y"}, "en", (spans(),), ("",)),
    ]
    answers = [
        ReportedAnswer(text="", output=spans(("who", "Ann Lee"), ("when", "Oslo")), tokens=1),
        ReportedAnswer(text="", output=spans(("who", "Cid")), tokens=1),
    ]
    assert score(agreement.SPAN_F1, cases, answers) == pytest.approx(100 * 2 * 1 / (3 + 2))
    nothing = [ReportedAnswer(text="", output=spans(), tokens=0)]
    assert score(agreement.SPAN_F1, cases[1:], nothing) == 100


def test_field_f1_compares_leaves_and_not_the_order_of_lists() -> None:
    cases = [Case({"t": "x"}, "en", ({"name": "Oslo", "tags": ["a", "b"], "size": 3},), ("",))]
    answers = [ReportedAnswer(text="", output={"name": "Oslo", "tags": ["b", "c"], "size": 3}, tokens=1)]
    assert score(agreement.FIELD_F1, cases, answers) == pytest.approx(100 * 2 * 3 / (4 + 4))


def too_long(input: dict, output: dict) -> list[Finding]:
    return [Finding(message=f"{w} is too long") for w in output["text"].split() if len(w) > 5]


LONG = Check("short_words", ("demo.say",), too_long, ({"q": ""}, {"text": "ok"}), ({"q": ""}, {"text": "toolong"}))


def test_checks_become_pass_rates_and_mean_findings_and_an_invalid_reply_fails() -> None:
    cases = [case("x")] * 4
    outputs = [{"text": "fine"}, {"text": "elephant umbrella"}, {"text": "ok"}, None]
    answers = [ReportedAnswer(text="", output=o, tokens=1, findings=run_checks([LONG], {"q": ""}, o)) for o in outputs]
    rate, findings = check_measures([LONG])
    assert (rate.name, findings.name, findings.higher_is_better) == ("check.short_words", "findings", False)
    assert score(rate, cases, answers) == 50
    assert score(findings, cases, answers) == pytest.approx((0 + 2 + 0 + 1) / 4)


def test_a_check_is_titled_by_what_a_passing_answer_satisfies() -> None:
    """`Facts invented 92%` would read as if 92% invented facts."""
    titled = dataclasses.replace(LONG, title="Short words only")
    assert check_measures([titled])[0].title == "Short words only"
    assert check_measures([LONG])[0].title == "Passes short_words"


def test_every_check_of_an_installed_trade_has_a_title() -> None:
    checks = [check for vertical in load_plugins().verticals.values() for check in vertical.checks]
    assert [check.name for check in checks if not check.title] == []
    titles = {check.name: check.title for check in checks}
    assert titles["facts_invented"] == "No invented facts" and titles["camera"] == "No camera directions"


def test_a_check_that_crashes_is_named() -> None:
    broken = Check("broken", ("demo.say",), lambda i, o: [1 / 0], ({}, {}), ({}, {}))
    with pytest.raises(PluginError, match="broken failed with ZeroDivisionError"):
        run_checks([broken], {}, {"text": ""})


def test_a_plugins_metric_scores_samples_or_the_corpus_with_the_same_figure_for_the_same_resample() -> None:
    def lengths(texts, references) -> list[float]:
        return [float(len(t)) for t in texts]

    cases, answers = corpus(5, 7)
    weights = np.array([[1] * 7, [3, 0, 0, 2, 0, 1, 1]])
    one_each = from_plugin(Metric("length", lengths)).scores(cases, answers, weights)
    pooled = from_plugin(Metric("length", lambda t, r: sum(lengths(t, r)) / len(t))).scores(cases, answers, weights)
    assert one_each == pytest.approx(pooled) and one_each[0] != one_each[1]


class Question(BaseModel):
    q: str


class Reply(BaseModel):
    text: str


def contract(**fields) -> TaskContract:
    values = {
        "name": "demo.say",
        "kind": "generate",
        "input": Question,
        "output": Reply,
        "prompts": {"en": prompt("{{ q }}")},
    }
    return TaskContract(**{**values, **fields})


def test_the_contracts_metrics_come_first_and_the_kind_decides_without_them() -> None:
    assert [m.name for m in choose_measures(contract())] == ["bleu", "chrf", "rouge_l"]
    assert [m.name for m in choose_measures(contract(metrics=("chrf",)), checks=[LONG])] == [
        "chrf",
        "check.short_words",
        "findings",
    ]
    assert [m.name for m in choose_measures(contract(kind="translate"), wanted=["exact_match"])] == ["exact_match"]


def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="there is no metric bleuu, did you mean bleu"):
        choose_measures(contract(), wanted=["bleuu"])
