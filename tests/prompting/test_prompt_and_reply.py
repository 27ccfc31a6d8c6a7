"""Prompts and replies: one text per value, there and back, and no input can leave its turn."""

import json
from enum import StrEnum
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher
from pydantic import BaseModel

from metier.contracts import ContractError, Prompt, ReplyFormat, Sample, TaskContract, TaskKind, Turn, prompt
from metier.prompting.prompt import messages
from metier.prompting.reply import decode_reply, encode_reply, grammar_of
from metier.prompting.reply_json import closed


class Facts(BaseModel):
    facts: str
    tone: str | None = None


class Copy(BaseModel):
    text: str


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad mood"


class Verdict(BaseModel):
    mood: Mood


class Span(BaseModel):
    label: Literal["PER", "LOC"]
    text: str


class Spans(BaseModel):
    spans: list[Span]


class Item(BaseModel):
    name: str
    price: float | None = None
    tags: list[str] = []


class Order(BaseModel):
    items: list[Item]
    note: str


def task(output=Copy, reply="text", prompts=None, input=Facts):
    return TaskContract(
        name="test.task",
        kind=TaskKind.GENERATE,
        input=input,
        output=output,
        reply=reply,
        prompts=prompts
        or {"en": prompt("Facts: {{ facts }}{% if tone %} ({{ tone }}){% endif %}", system="You sell.")},
    )


def test_a_missing_optional_field_renders_as_nothing():
    assert messages(task(), {"facts": "x"}) == [
        {"role": "system", "content": "You sell."},
        {"role": "user", "content": "Facts: x"},
    ]
    bare = task(prompts={"en": prompt("{{ facts }}|{{ tone }}|")})
    assert messages(bare, {"facts": "x"})[0]["content"] == "x||"


def test_a_misspelt_field_in_a_prompt_names_the_fields_there_are():
    with pytest.raises(ContractError, match=r"fact_s.*\n.*facts, tone"):
        messages(task(prompts={"en": prompt("{{ fact_s }}")}), {"facts": "x"})


def test_an_input_that_misses_the_contract_is_refused():
    with pytest.raises(ContractError, match="facts"):
        messages(task(), {"tone": "dry"})


def test_shots_become_earlier_turns_behind_one_system_turn():
    shot = Sample(task="test.task", input={"facts": "a"}, output={"text": "A!"})
    roles = [m["role"] for m in messages(task(), {"facts": "b"}, shots=[shot, shot])]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]


def test_a_turn_with_each_repeats_per_item():
    class Chat(BaseModel):
        history: list[dict[str, str]]
        message: str

    turns = (
        Turn(role="{{ item.who }}", content="{{ item.text }}", each="history"),
        Turn(role="user", content="{{ message }}"),
    )
    chat = task(input=Chat, prompts={"en": Prompt(turns=turns)})
    turns = messages(
        chat, {"history": [{"who": "user", "text": "hi"}, {"who": "assistant", "text": "yo"}], "message": "?"}
    )
    assert [(m["role"], m["content"]) for m in turns] == [("user", "hi"), ("assistant", "yo"), ("user", "?")]


def test_a_prompt_template_cannot_reach_into_python():
    with pytest.raises(ContractError):
        messages(task(prompts={"en": prompt("{{ facts.__class__.__mro__[1].__subclasses__() }}")}), {"facts": "x"})


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


@given(
    st.lists(
        st.fixed_dictionaries({"name": texts, "price": st.none() | st.floats(-1e6, 1e6), "tags": st.lists(texts)})
    ),
    texts,
)
def test_a_json_reply_reads_back_equal_with_keys_in_the_schemas_order(items, note):
    value = {"note": note, "items": items}
    written = encode_reply(task(Order, "json"), value)
    assert decode_reply(task(Order, "json"), written) == value
    assert list(json.loads(written)) == ["items", "note"]


@given(st.sampled_from(["good", "bad mood"]))
def test_a_label_reads_back(mood):
    contract = task(Verdict, "label")
    assert decode_reply(contract, encode_reply(contract, {"mood": mood})) == {"mood": mood}


def test_spans_are_one_line_each_and_read_back():
    contract, value = (
        task(Spans, "spans"),
        {"spans": [{"label": "PER", "text": "Ann"}, {"label": "LOC", "text": "a: b"}]},
    )
    assert encode_reply(contract, value) == "PER: Ann\nLOC: a: b"
    assert decode_reply(contract, encode_reply(contract, value)) == value
    assert decode_reply(contract, "") == {"spans": []}


@pytest.mark.parametrize(
    ("output", "reply", "text"),
    [(Order, "json", "{"), (Order, "json", '{"note": 1}'), (Verdict, "label", "so so"), (Spans, "spans", "PER Ann")],
)
def test_a_reply_that_does_not_parse_is_named(output, reply, text):
    with pytest.raises(ContractError, match=r"test\.task"):
        decode_reply(task(output, reply), text)


@pytest.mark.parametrize(
    ("output", "reply", "good", "bad"),
    [
        (Order, "json", '{"items": [{"name": "a"}], "note": "n"}', '{"items": [], "more": 1'),
        (Verdict, "label", "bad mood", "sad"),
        (Spans, "spans", "PER: Ann\nLOC: Oslo", "ORG: x"),
        (Copy, ReplyFormat(name="shout", grammar="start: /[A-Z]+/"), "ABC", "abc"),
    ],
)
def test_the_grammar_takes_what_encode_writes_and_nothing_else(output, reply, good, bad):
    from llguidance import LLTokenizer

    tokenizer = LLTokenizer("byte")
    for text, fits in ((good, True), (bad, False)):
        matcher = LLMatcher(tokenizer, grammar_of(task(output, reply)))
        ids = tokenizer.tokenize_str(text)
        assert (matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()) is fits, text


def test_a_text_reply_has_no_grammar():
    assert grammar_of(task()) is None


def test_closing_a_schema_leaves_values_in_enums_alone():
    schema = {"type": "object", "properties": {"a": {"enum": [{"type": "object", "properties": {}}]}}}
    assert closed(schema)["properties"] == schema["properties"]
    assert closed(schema)["additionalProperties"] is False


def test_a_grammar_can_require_a_name_of_the_input():
    from llguidance import LLTokenizer

    greeting = task(Copy, ReplyFormat(name="greeting", grammar="start: /Hello, {{ facts|regex }}!/"))
    tokenizer = LLTokenizer("byte")
    for name in ("Ann (O.S.)", "C/O A.B.", "小王", "[x]{2}|y"):
        grammar = grammar_of(greeting, {"facts": name})
        for text, fits in ((f"Hello, {name}!", True), ("Hello, stranger!", False)):
            matcher = LLMatcher(tokenizer, grammar)
            ids = tokenizer.tokenize_str(text)
            assert (matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()) is fits, text


def test_a_grammar_that_names_no_field_of_the_input_is_an_error_that_lists_them():
    with pytest.raises(ContractError, match="does not render") as caught:
        grammar_of(task(Copy, ReplyFormat(name="greeting", grammar="start: /{{ nmae }}/")), {"facts": "x"})
    assert "facts" in str(caught.value.remedy)


def test_tojson_in_a_prompt_is_plain_json():
    class State(BaseModel):
        state: dict[str, str]

    shown = task(input=State, prompts={"en": prompt("{{ state|tojson }}")})
    (message,) = messages(shown, {"state": {"门": "开着", "owner": "Ann's <b>"}})
    assert message["content"] == '{"门": "开着", "owner": "Ann\'s <b>"}'


def test_a_spans_task_of_one_label_decodes_that_label_only():
    from llguidance import LLTokenizer

    class Name(BaseModel):
        label: Literal["PER"]
        text: str

    class Names(BaseModel):
        spans: list[Name]

    tokenizer, grammar = LLTokenizer("byte"), grammar_of(task(Names, "spans"))
    for text, fits in (("PER: Ann", True), ("LOC: Oslo", False)):
        matcher = LLMatcher(tokenizer, grammar)
        ids = tokenizer.tokenize_str(text)
        assert (matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()) is fits, text


def test_a_reply_must_be_from_the_list_of_its_own_input():
    from pydantic import Field

    class Scene(BaseModel):
        actions: list[str]

    class Act(BaseModel):
        action: str = Field(json_schema_extra={"x-metier-one-of": "actions"})

    act, scene = task(Act, "json", input=Scene, prompts={"en": prompt("{{ actions }}")}), {"actions": ["bow"]}
    assert encode_reply(act, {"action": "bow"}, scene) == '{"action": "bow"}'
    with pytest.raises(ContractError, match="action"):
        encode_reply(act, {"action": "wave"}, scene)
    shot = Sample(task="test.task", input=scene, output={"action": "wave"})
    with pytest.raises(ContractError, match="action"):
        messages(act, {"actions": ["wave"]}, shots=[shot])


def test_row_sampling_rejects_what_check_sample_rejects():
    from pydantic import Field

    from metier.contracts import BadRow, Provenance
    from metier.data.sampling import samples_from
    from metier.readers.row import Row

    class Scene(BaseModel):
        actions: list[str]

    class Act(BaseModel):
        action: str = Field(json_schema_extra={"x-metier-one-of": "actions"})

    act = task(Act, "json", input=Scene, prompts={"en": prompt("{{ actions }}")})
    place = Provenance(source="acts.jsonl", line=1)
    rows = [Row({"input": {"actions": ["bow"]}, "output": {"action": action}}, place) for action in ("bow", "wave")]
    good, bad = samples_from(rows, act)
    assert isinstance(good, Sample) and act.check_sample(good)
    assert isinstance(bad, BadRow) and bad.field == "output.action"


def test_the_reply_formats_are_one_table():
    from metier.contracts.task import REPLY_FORMAT_NAMES
    from metier.prompting.reply import REPLY_FORMATS

    assert set(REPLY_FORMATS) == set(REPLY_FORMAT_NAMES)
