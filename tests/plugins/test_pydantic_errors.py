"""The errors that a plugin's author gets when pydantic refuses an object."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from metier.contracts import Check, Recipe, SampleSet, TaskContract, Vertical, prompt
from metier.plugins._pydantic_errors import describe_validation_error


class Text(BaseModel):
    text: str


GOOD: dict[str, Any] = {
    "name": "press.title",
    "kind": "generate",
    "input": Text,
    "output": Text,
    "prompts": {"en": prompt("{{ text }}")},
}


def message_of(build: Any, **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        build(**fields)
    return describe_validation_error(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"promts": {}}, "there is no field promts, did you mean prompts?"),
        ({"kind": "generat"}, "not 'generat', did you mean generate?"),
        ({"name": "Press.Title"}, "name 'Press.Title' must look like"),
        ({"max_reply_tokens": 0}, "max_reply_tokens: must be greater than or equal to 1"),
        ({"reply": "jsn"}, "there is no reply format 'jsn', did you mean json?"),
        ({"input": str}, "TaskContract press.title is not valid"),
    ],
)
def test_a_wrong_contract_names_field_file_and_line(change: dict[str, Any], words: str) -> None:
    message = message_of(TaskContract, **{**GOOD, **change})
    assert words in message
    assert "test_pydantic_errors.py:" in message and "\n" not in message and "pydantic.dev" not in message


def test_a_missing_field_names_the_object_it_is_missing_from() -> None:
    message = message_of(TaskContract, **{key: value for key, value in GOOD.items() if key != "prompts"})
    assert message.startswith("TaskContract press.title is not valid (") and message.endswith(
        "the field prompts is missing"
    )


def test_a_wrong_vertical_and_a_wrong_sample_set_have_different_messages() -> None:
    task = TaskContract(**GOOD)
    assert "check fits" in message_of(
        Vertical,
        name="press",
        tasks=(task,),
        checks=(Check("fits", ("press.titel",), lambda given, build: [], ({}, {}), ({}, {})),),
    )
    assert message_of(SampleSet, train="a", held_out="b").startswith("SampleSet is not valid (")
    assert "did you mean epochs?" in message_of(Recipe, epoch=3)
