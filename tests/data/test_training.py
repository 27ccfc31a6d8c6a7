"""What one adaptation learns from, and what it is measured on."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from metier import SampleSet, TaskContract, TaskKind, Vertical, prompt
from metier.contracts import UsageError
from metier.data.training import first_inputs, held_out_of, samples_of, train_of, training_data


class Story(BaseModel):
    story: str


class Headline(BaseModel):
    text: str


TASK = TaskContract(
    name="press.headline", kind=TaskKind.GENERATE, input=Story, output=Headline, prompts={"en": prompt("{{ story }}")}
)
WORDS = ("harbour", "orchard", "council", "violin", "glacier", "bakery", "lantern", "meadow", "tunnel", "pigeon")


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"input": {"story": story}, "output": {"text": text}}) for story, text in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def press(tmp_path: Path) -> Vertical:
    train = write(tmp_path / "train.jsonl", [("It rained.", "Rain"), ("It snowed.", "Snow")])
    held_out = write(tmp_path / "held_out.jsonl", [("It hailed.", "Hail")])
    return Vertical(
        name="press",
        tasks=(TASK,),
        samples={"press.headline": SampleSet(train=train, held_out=held_out, licence="CC0-1.0")},
    )


def test_without_a_file_the_packaged_samples_are_taken_as_they_are_split(press: Vertical) -> None:
    data = training_data(press, TASK)
    assert [s.output["text"] for s in data.train] == ["Rain", "Snow"]
    assert [s.output["text"] for s in data.held_out] == ["Hail"]
    assert data.train[0].provenance is not None
    assert (data.train[0].provenance.line, data.train[0].provenance.licence) == (1, "CC0-1.0")


def test_no_input_is_on_both_sides_and_a_held_out_one_keeps_all_its_references(press: Vertical, tmp_path: Path) -> None:
    rows = [(f"News of the {word}.", f"{word} {turn}") for word in WORDS for turn in ("opens at last", "closes")]
    data = training_data(press, TASK, write(tmp_path / "own.jsonl", rows), held_out=3, seed=1)
    trained_on, apart = ({str(s.input["story"]) for s in side} for side in (data.train, data.held_out))
    assert not trained_on & apart
    assert (len(apart), len(data.held_out), len(data.train)) == (3, 6, 14)
    assert training_data(press, TASK, tmp_path / "own.jsonl", held_out=3, seed=1) == data
    assert training_data(press, TASK, tmp_path / "own.jsonl", held_out=3, seed=2) != data


def test_fewer_samples_are_of_as_many_inputs_as_there_are(press: Vertical, tmp_path: Path) -> None:
    rows = [(f"News of the {word}.", f"{word} {turn}") for word in WORDS for turn in ("opens at last", "closes")]
    data = training_data(press, TASK, write(tmp_path / "own.jsonl", rows), held_out=2, samples=8)
    assert len({str(s.input) for s in data.train}) == len(data.train) == 8


def test_the_remarks_count_what_was_left_out(press: Vertical, tmp_path: Path) -> None:
    rows = [(f"News of the {word}.", word) for word in WORDS]
    path = write(tmp_path / "own.jsonl", [*rows, rows[0], rows[1]])
    with path.open("a") as file:
        file.write('{"input": {"story": 3}, "output": {"text": "x"}}\n')
    data = training_data(press, TASK, path, held_out=1, on_bad="skip")
    assert [row.provenance.line for row in data.bad] == [13]
    assert "own.jsonl:13" in data.remarks[0]
    assert data.remarks[-1] == f"{len(data.train)} samples to train on, 1 inputs held out"


def test_the_error_for_a_task_without_samples_suggests_a_file() -> None:
    bare = Vertical(name="press", tasks=(TASK,))
    with pytest.raises(UsageError, match="packages no samples"):
        training_data(bare, TASK)
    with pytest.raises(UsageError, match="no installed plugin brings press"):
        samples_of(None, TASK)


def test_a_run_knows_its_own_samples(press: Vertical, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no held-out samples"):
        held_out_of(tmp_path / "nowhere")
    assert train_of(tmp_path / "nowhere") == []


def test_the_first_inputs_come_with_all_their_samples(press: Vertical, tmp_path: Path) -> None:
    samples = samples_of(
        press, TASK, write(tmp_path / "own.jsonl", [("a b c d e", "1"), ("f g h i j", "2"), ("a b c d e", "3")])
    )
    assert [s.output["text"] for s in first_inputs(samples, 1)] == ["1", "3"]
