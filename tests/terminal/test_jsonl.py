"""Inputs by line, answers whole or not at all."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from metier import TaskContract, TaskKind, prompt
from metier.contracts import ContractError, DataError, UsageError
from metier.terminal.jsonl import check_inputs, input_of, output_file, read_inputs


class Brief(BaseModel):
    facts: str
    tone: str | None = None


class Pair(BaseModel):
    left: str
    right: str


class Copy(BaseModel):
    text: str


def _task(input: type[BaseModel]) -> TaskContract:
    return TaskContract(
        name="shop.describe", kind=TaskKind.GENERATE, input=input, output=Copy, prompts={"en": prompt("{{ facts }}")}
    )


def test_lines_come_in_order_with_their_place_and_blank_ones_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes('\ufeff{"facts": "é"}\r\n\n{"facts": "b"}'.encode())
    assert read_inputs(path) == [(f"{path}:1", {"facts": "é"}), (f"{path}:3", {"facts": "b"})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"facts": "a"', "the line is not JSON"),
        (b'["a"]', "the line holds a list"),
        (b'{"facts": "\xff"}', "the line is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"facts": "a"}\n' + line)
    with pytest.raises(DataError, match=message) as caught:
        read_inputs(path)
    assert caught.value.where == f"{path}:2"


def test_an_input_that_misses_the_contract_is_named_by_file_line_and_field() -> None:
    with pytest.raises(DataError, match="'facts' is a required property") as caught:
        check_inputs(_task(Brief), [("in.jsonl:1", {"facts": "a"}), ("in.jsonl:2", {"tone": "dry"})])
    assert caught.value.where == "in.jsonl:2"


def test_what_a_person_types_is_json_or_the_only_required_field() -> None:
    assert input_of(_task(Brief), "name[Mug]\n") == {"facts": "name[Mug]"}
    assert input_of(_task(Brief), '{"facts": "a", "tone": "dry"}') == {"facts": "a", "tone": "dry"}
    with pytest.raises(UsageError, match="left, right"):
        input_of(_task(Pair), "a")
    with pytest.raises(ContractError, match="tone"):
        input_of(_task(Brief), '{"facts": "a", "tone": 3}')


def test_an_output_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.jsonl"
    with pytest.raises(KeyboardInterrupt), output_file(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []
    with output_file(path) as file:
        file.write("first\n")
    with pytest.raises(ValueError, match="no"), output_file(path) as file:
        file.write("second\n")
        raise ValueError("no")
    assert path.read_text() == "first\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["out.jsonl"]


def test_an_output_has_the_permissions_of_an_ordinary_file(tmp_path: Path) -> None:
    with output_file(tmp_path / "out.jsonl") as file:
        file.write(json.dumps({}))
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "out.jsonl").stat().st_mode == (tmp_path / "plain").stat().st_mode
