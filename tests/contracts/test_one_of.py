"""A string of the output that names a list of the input is one of that list's strings: in grammar, reply and sample."""

from __future__ import annotations

from typing import Annotated

import pytest
from llguidance import LLMatcher, LLTokenizer
from pydantic import BaseModel, Field

from metier.contracts import BadRow, ContractError, Provenance, Sample, TaskContract, TaskKind, prompt
from metier.data.sampling import check_sample, samples_from
from metier.prompting.reply import decode_reply, grammar_of
from metier.readers.row import Row


class Scene(BaseModel):
    text: str
    actions: list[str] = Field(default=["none"], min_length=1)


class Step(BaseModel):
    action: str = Field(json_schema_extra={"x-metier-one-of": "actions"})


class Answer(BaseModel):
    action: str = Field(json_schema_extra={"x-metier-one-of": "actions"})
    steps: list[Step] = []


TASK = TaskContract(
    name="a.b",
    kind=TaskKind.DIALOGUE,
    input=Scene,
    output=Answer,
    prompts={"en": prompt("{{ text }} {{ actions }}")},
    reply="json",
)


def accepted(task: TaskContract, text: str) -> bool:
    matcher = LLMatcher(LLTokenizer("byte"), grammar_of(task))
    return matcher.try_consume_tokens(list(text.encode())) == len(text.encode()) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("given", "action", "fits"),
    [
        ({"actions": ["wave", 'say "hi"\n']}, "wave", True),
        ({"actions": ["wave", 'say "hi"\n']}, 'say \\"hi\\"\\n', True),
        ({"actions": ["挥手"]}, "挥手", True),
        ({"actions": ["wave"]}, "fly", False),
        ({}, "none", True),
        ({}, "wave", False),
    ],
)
def test_only_the_inputs_own_strings_are_decoded_and_accepted(given: dict, action: str, fits: bool) -> None:
    task = TASK.for_input({"text": "x", **given})
    text = f'{{"action": "{action}", "steps": [{{"action": "{action}"}}]}}'
    assert accepted(task, text) is fits
    if fits:
        decode_reply(task, text)
    else:
        with pytest.raises(ContractError):
            decode_reply(task, text)


def test_a_sample_whose_string_is_not_in_its_own_list_is_refused() -> None:
    sample = Sample(task="a.b", input={"text": "x", "actions": ["wave"]}, output={"action": "fly"})
    with pytest.raises(ContractError, match="action"):
        TASK.check_sample(sample)


def test_a_contract_without_the_key_is_itself_for_every_input() -> None:
    class Plain(BaseModel):
        text: str

    prompts = {"en": prompt("{{ text }}")}
    plain = TaskContract(name="a.b", kind=TaskKind.GENERATE, input=Plain, output=Plain, prompts=prompts)
    assert plain.for_input({"text": "x"}) is plain


@pytest.mark.parametrize("listed", [[], None, [1, 2], "wave"])
def test_a_list_that_cannot_narrow_leaves_the_string_free(listed: object) -> None:
    assert accepted(TASK.for_input({"text": "x", "actions": listed}), '{"action": "anything"}')


class Policy(BaseModel):
    id: str


class Exit(BaseModel):
    text: str
    to: str


class Case(BaseModel):
    passages: list[Policy] = []
    exits: list[Exit] = []
    chosen: str = ""


class Reply(BaseModel):
    used: list[Annotated[str, Field(max_length=4, json_schema_extra={"x-metier-one-of": "passages[].id"})]]
    node: str = Field(json_schema_extra={"x-metier-one-of": "exits[text=chosen].to"})


REPLY = TaskContract(
    name="a.c", kind=TaskKind.DIALOGUE, input=Case, output=Reply, prompts={"en": prompt("{{ chosen }}")}, reply="json"
)
CASE = {
    "passages": [{"id": "P1"}, {"id": "P2"}, {"id": "too long"}, {"id": "P1"}],
    "exits": [{"text": "go", "to": "cellar"}, {"text": "stay", "to": "attic"}],
    "chosen": "go",
}


@pytest.mark.parametrize(
    ("given", "text", "fits"),
    [
        (CASE, '{"used": ["P2", "P1"], "node": "cellar"}', True),
        (CASE, '{"used": [], "node": "cellar"}', True),
        (CASE, '{"used": ["P3"], "node": "cellar"}', False),
        (CASE, '{"used": ["too long"], "node": "cellar"}', False),
        (CASE, '{"used": [], "node": "attic"}', False),
        ({}, '{"used": [], "node": "anywhere"}', True),
        ({}, '{"used": ["P1"], "node": "anywhere"}', False),
        ({**CASE, "chosen": "neither"}, '{"used": [], "node": "anywhere"}', True),
    ],
)
def test_a_path_leads_into_lists_of_objects(given: dict, text: str, fits: bool) -> None:
    task = REPLY.for_input(given)
    assert accepted(task, text) is fits
    if fits:
        decode_reply(task, text)


@pytest.mark.parametrize(("action", "fits"), [("wave", True), ("dance", False)])
def test_a_row_is_held_to_the_strings_of_its_own_input(action: str, fits: bool) -> None:
    pair = {"input": {"text": "Hi", "actions": ["wave", "none"]}, "output": {"action": action}}
    place = Provenance(source="t.jsonl", line=1)
    (found,) = samples_from([Row(pair, place)], TASK)
    again = check_sample(TASK, Sample(task="a.b", **pair))
    for item in (found, again):
        assert isinstance(item, Sample if fits else BadRow)
        assert fits or item.field == "output.action"
