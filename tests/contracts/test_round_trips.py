"""Everything in this room goes through JSON and comes back equal; every document carries its schema's version."""

import json
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from metier import Image, Speech
from metier.contracts import (
    SCHEMA_VERSION,
    Architecture,
    BadRow,
    Base,
    Bridge,
    DataSummary,
    EventKind,
    FeedbackEvent,
    Finding,
    FineTune,
    FineTuneCard,
    FitReport,
    JudgedSample,
    Lora,
    Manifest,
    Modality,
    Preference,
    Prompt,
    Provenance,
    Recipe,
    ReplyFormat,
    Sample,
    SampleSet,
    TaskContract,
    TaskKind,
    Turn,
    Vertical,
)
from metier.contracts.bundle import AdapterEntry, FileEntry, Golden, Graph, Parity, Slot, SlotPart
from metier.contracts.fit import fit
from metier.contracts.heads import HeadEntry, HeadGolden, HeadParity, TrunkEntry


class Mood(StrEnum):
    WARM = "warm"
    DRY = "dry"


class Part(BaseModel):
    title: str
    weight: float = 1.0


class Facts(BaseModel):
    facts: str
    parts: list[Part] = []
    mood: Mood | None = None
    photo: Image | None = None


class Voice(BaseModel):
    recording: Speech
    language: Literal["en", "zh"] = "en"


class Text(BaseModel):
    text: str


class Label(BaseModel):
    mood: Mood


text = st.text(max_size=12)
name = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
figure = st.floats(allow_nan=False, allow_infinity=False)
figures = st.dictionaries(text, figure, max_size=3)
count = st.integers(0, 2**40)
size = st.integers(1, 2**40)
sha256 = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
language = st.sampled_from(["en", "zh", "zh-Hant", "pt-BR", "yue"])
languages = st.lists(language, unique=True, max_size=3).map(tuple)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | figure | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
value = st.dictionaries(text, json_value, max_size=4)
moment = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))
modalities = st.frozensets(st.sampled_from(Modality), min_size=1)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=3).map(tuple)


provenances = st.builds(Provenance, source=text, line=maybe(st.integers(1)), sheet=maybe(text), licence=maybe(text))
samples = st.builds(
    Sample, task=text, input=value, output=value, language=maybe(language), provenance=maybe(provenances)
)
preferences = st.builds(Preference, task=text, input=value, chosen=value, rejected=value, provenance=maybe(provenances))
judged = st.builds(JudgedSample, task=text, input=value, output=value, good=st.booleans())
events = st.builds(
    FeedbackEvent,
    answer=text,
    kind=st.sampled_from(EventKind),
    edited_to=value,
    among=some(value).filter(bool),
    rating=st.floats(0, 1),
    comment=text,
    at=moment,
)
bases = st.builds(
    Base,
    id=text,
    revision=maybe(text),
    architecture=st.sampled_from(Architecture),
    model_class=text,
    parameters=maybe(count),
    modalities_in=modalities,
    modalities_out=modalities,
    languages=languages,
    context_length=st.integers(1, 10**7),
    licence=maybe(st.sampled_from(["Apache-2.0", "CC-BY-NC-4.0", "llama3.1", "MIT OR GPL-3.0-only", "?"])),
    knowledge_cutoff=maybe(st.dates(date(2000, 1, 1))),
    chat_template=st.booleans(),
    sha256=maybe(sha256),
)
bridges = st.builds(
    Bridge,
    name=name,
    source=st.sampled_from(Modality),
    target=st.sampled_from(Modality),
    languages=languages,
    licence=maybe(text),
    package=maybe(name),
)
recipes = st.builds(
    Recipe,
    base=st.text(
        st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\ufeff"), min_size=1, max_size=12
    ),
    layers=st.just("all") | st.integers(1, 99).map("top:{}".format),
    lora=st.builds(
        Lora,
        rank=st.integers(1, 256),
        alpha=st.floats(0.1, 1e4),
        dropout=st.floats(0, 0.9),
        rslora=st.booleans(),
        targets=st.just("all-linear") | some(name),
    ),
    epochs=st.floats(0.01, 1e4),
    batch_size=st.integers(1, 4096),
    learning_rate=st.floats(1e-9, 10),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
    precision=st.sampled_from(["auto", "fp32", "bf16"]),
    patience=maybe(st.integers(1, 99)),
    seed=st.integers(),
)
turns = st.builds(Turn, role=text, content=text, each=maybe(name))
tasks = st.builds(
    TaskContract,
    name=st.tuples(name, name).map(".".join),
    kind=st.sampled_from(TaskKind),
    title=text,
    input=st.sampled_from([Facts, Voice, Text]),
    output=st.just(Text),
    prompts=st.dictionaries(
        language, st.builds(Prompt, turns=st.lists(turns, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=2
    ),
    reply=st.sampled_from(["text", "json", "fountain"])
    | st.builds(ReplyFormat, name=st.just("ink"), grammar=maybe(text)),
    metrics=some(name),
    fresh_facts=st.booleans(),
    max_reply_tokens=st.integers(1, 10**6),
) | st.builds(
    TaskContract,
    name=st.just("a.label"),
    kind=st.just(TaskKind.CLASSIFY),
    input=st.just(Voice),
    output=st.just(Label),
    prompts=st.just({"en": Prompt(turns=(Turn(role="user", content="?"),))}),
    reply=st.just("label"),
)
summaries = st.builds(
    DataSummary, sha256=sha256, samples=count, held_out=count, held_out_sha256=sha256, sources=some(text)
)
cards = st.builds(
    FineTuneCard,
    name=text,
    tasks=some(tasks),
    base=bases,
    recipe=recipes,
    data=summaries,
    weights_sha256=sha256,
    versions=st.dictionaries(text, text, max_size=2),
    training=figures,
    metrics=value,
    created=maybe(moment),
)
parities = st.builds(
    Parity, samples=count, tokens=count, max_abs=figure, mean_kl=figure, top1_agreement=figure, tolerance=figures
)
graphs = st.builds(
    Graph,
    layers=size,
    kv_heads=size,
    head_dim=size,
    vocab_size=size,
    context_length=size,
    io_dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
    eos_token_ids=some(count),
)
slot_parts = st.builds(SlotPart, module=text, offset=st.integers(0, 2**10), width=st.integers(1, 2**20))
adapters = st.builds(
    AdapterEntry, name=name.filter("head".__ne__), path=text, rank=count, card=maybe(cards), parity=maybe(parities)
)
trunks = st.builds(
    TrunkEntry,
    name=st.just("trunk"),
    path=text,
    base=bases,
    trained=maybe(sha256),
    precision=st.sampled_from(["fp32", "fp16"]),
    count=st.integers(1, 99),
    layers=st.just((0, 1, 2)),
    width=st.integers(1, 2**14),
)
heads = st.builds(
    HeadEntry,
    name=st.just("head"),
    path=text,
    trunk=st.just("trunk"),
    layers=st.sampled_from([(0,), (2,), (0, 1, 2)]),
    card=cards,
    parity=maybe(
        st.builds(HeadParity, samples=count, things=count, max_abs=figure, agreement=figure, tolerance=figures)
    ),
    golden=some(
        st.builds(HeadGolden, input=value, language=maybe(language), token_ids=some(some(count)), output=value)
    ),
)
manifests = st.builds(
    Manifest,
    name=text,
    created=moment,
    base=bases,
    licence=maybe(text),
    precision=st.sampled_from(["fp32", "fp16", "int4"]),
    target=st.sampled_from(["cpu", "cuda"]),
    tasks=some(tasks),
    card=maybe(cards),
    graph=graphs,
    slots=some(
        st.builds(
            Slot,
            a=text,
            b=text,
            in_features=st.integers(1, 2**20),
            out_features=st.integers(2**21, 2**22),
            parts=st.tuples(slot_parts),
        )
    ),
    adapters=st.lists(adapters, max_size=3, unique_by=lambda entry: entry.name).map(tuple),
    trunks=st.tuples(trunks),
    heads=maybe(heads).map(lambda head: (head,) if head else ()),
    golden=some(st.builds(Golden, task=text, input=value, language=maybe(language), token_ids=some(count))),
    parity=maybe(parities),
    metrics=value,
    files=st.dictionaries(text, st.builds(FileEntry, sha256=sha256, size=count), max_size=2),
)
reports = st.builds(
    fit,
    task=tasks,
    base=bases,
    bridges=st.lists(bridges, max_size=4),
    token_lengths=maybe(st.lists(st.integers(1, 10**6), min_size=1, max_size=9)),
    use=st.sampled_from(["research", "internal", "commercial"]),
    search=st.booleans(),
)


@st.composite
def verticals(draw: st.DrawFn) -> Vertical:
    """Without data adapters and checks, which are code and stay behind."""
    own = draw(name)
    own_tasks = [
        task.model_copy(update={"name": f"{own}.t{rank}"})
        for rank, task in enumerate(draw(st.lists(tasks, min_size=1, max_size=2)))
    ]
    files = SampleSet(train=Path("train.jsonl"), held_out=Path("held_out.jsonl"), licence=draw(text))
    return Vertical(
        name=own,
        title=draw(text),
        tasks=tuple(own_tasks),
        recipes={own_tasks[0].name: draw(recipes)},
        fine_tunes=(FineTune(path=Path("fine_tune"), card=draw(cards)),),
        samples={own_tasks[-1].name: files},
    )


DOCUMENTS = {
    Sample: samples,
    Preference: preferences,
    JudgedSample: judged,
    Base: bases,
    Bridge: bridges,
    Recipe: recipes,
    TaskContract: tasks,
    FineTuneCard: cards,
    Manifest: manifests,
    FitReport: reports,
    Vertical: verticals(),
}
PARTS = {
    FeedbackEvent: events,
    Provenance: provenances,
    BadRow: st.builds(BadRow, provenance=provenances, field=maybe(text), reason=text, remedy=maybe(text)),
    Finding: st.builds(Finding, message=text, rule=maybe(text), excerpt=maybe(text)),
}
ALL = [pytest.param(of, own_tasks, id=of.__name__) for of, own_tasks in {**DOCUMENTS, **PARTS}.items()]


@pytest.mark.parametrize(("of", "own_tasks"), ALL)
@given(draw=st.data())
def test_it_goes_through_json_and_comes_back_equal(of: type[BaseModel], own_tasks: Any, draw: st.DataObject) -> None:
    one = draw.draw(own_tasks)
    written = one.model_dump_json()
    assert of.model_validate_json(written) == one
    assert of.model_validate(json.loads(written)) == one
    assert of.model_validate_json(written).model_dump_json() == written


@given(recipes)
def test_a_recipe_goes_through_yaml_and_comes_back_equal(recipe: Recipe) -> None:
    written = yaml.safe_dump(recipe.model_dump(mode="json"), allow_unicode=True)
    assert Recipe.parse(yaml.safe_load(written)) == recipe


@pytest.mark.parametrize("of", DOCUMENTS, ids=lambda of: of.__name__)
def test_every_document_carries_its_schema_s_version_and_refuses_another(of: type[BaseModel]) -> None:
    field = of.model_json_schema()["properties"]["schema_version"]
    assert field["const"] == field["default"] == SCHEMA_VERSION
    with pytest.raises(ValidationError) as caught:
        of.model_validate({"schema_version": "1"})
    assert any(error["loc"] == ("schema_version",) for error in caught.value.errors())


@pytest.mark.parametrize("of", [*DOCUMENTS, *PARTS], ids=lambda of: of.__name__)
def test_an_unknown_key_is_never_swallowed(of: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as caught:
        of.model_validate({"no_such_key": 1})
    assert any(error["loc"] == ("no_such_key",) for error in caught.value.errors())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_refused(number: float) -> None:
    with pytest.raises(ValidationError):
        Sample(task="a.b", input={"price": number}, output={})
    with pytest.raises(ValidationError):
        Lora(alpha=number)
