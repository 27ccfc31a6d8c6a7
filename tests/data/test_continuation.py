"""What a fine-tune goes on with: its own samples before a trade's, a file's where there is one, no held-out ones."""

import json
from pathlib import Path

import pytest

from metier.contracts import AlignmentStep, Dpo, FineTune, Sample, SampleSet, TaskContract, UsageError, Vertical
from metier.data import continuation_data, held_out_data, without_leaks


def write(path: Path, rows: list[Sample]) -> Path:
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")
    return path


def copies(*facts: str) -> list[Sample]:
    return [Sample(task="tiny.copy", input={"facts": f}, output={"text": f"See: {f}."}) for f in facts]


@pytest.fixture
def own(tiny_finetune: FineTune, tmp_path: Path) -> FineTune:
    """A fine-tune of three tasks with samples of two and a held-out set in its folder."""
    folder = tmp_path / "own"
    folder.mkdir()
    item = Sample(task="tiny.item", input={"facts": "a jug"}, output={"name": "jug", "tags": []})
    write(folder / "train.jsonl", [*copies("a copper kettle", "a walnut chair"), item])
    write(folder / "held_out.jsonl", copies("a linen scarf"))
    return FineTune(path=folder, card=tiny_finetune.card)


@pytest.fixture
def trade(tiny_finetune: FineTune, tmp_path: Path) -> Vertical:
    """A trade that packages the tiny fine-tune and samples of one of its tasks."""
    train = write(tmp_path / "train.jsonl", copies("an oak desk", "a tin whistle"))
    held_out = write(tmp_path / "held_out.jsonl", copies("a brass lamp"))
    return Vertical(
        name="tiny",
        tasks=tiny_finetune.card.tasks,
        fine_tunes=(tiny_finetune,),
        samples={"tiny.copy": SampleSet(train=train, held_out=held_out, licence="CC0-1.0")},
    )


def tasks(finetune: FineTune, *names: str) -> list[TaskContract]:
    return [task for task in finetune.card.tasks if task.name in names]


def facts(samples: list[Sample]) -> list[object]:
    return [sample.input["facts"] for sample in samples]


def test_a_fine_tune_continues_with_its_own_samples_of_the_requested_tasks(own: FineTune, trade: Vertical) -> None:
    both = continuation_data(own, tasks(own, "tiny.copy", "tiny.item", "tiny.mood"), trade)
    assert facts(both.train) == ["a copper kettle", "a walnut chair", "a jug"]
    assert facts(both.held_out) == ["a linen scarf"] and both.leaking == 0
    one = continuation_data(own, tasks(own, "tiny.copy", "tiny.item"), trade, samples=1)
    assert [sample.task for sample in one.train] == ["tiny.copy", "tiny.item"]


def test_a_packaged_fine_tune_takes_its_samples_from_the_trade_and_its_successor_is_measured_on_the_same(
    tiny_finetune: FineTune, trade: Vertical, tmp_path: Path
) -> None:
    bare = FineTune(path=tmp_path / "shipped", card=tiny_finetune.card)
    data = continuation_data(bare, tasks(bare, "tiny.copy"), trade)
    assert facts(data.train) == ["an oak desk", "a tin whistle"] and facts(data.held_out) == ["a brass lamp"]
    other = bare.model_copy(update={"card": bare.card.model_copy(update={"weights_sha256": "of another"})})
    assert held_out_data(other, trade) == []
    step = AlignmentStep(
        settings=Dpo(), began_from=bare.card.weights_sha256, data_sha256="", count=1, run="", figures={}
    )
    successor = other.model_copy(update={"card": other.card.model_copy(update={"alignment": (step,)})})
    assert facts(held_out_data(successor, trade)) == ["a brass lamp"]
    with pytest.raises(UsageError, match=r"no samples of tiny\.copy with it"):
        continuation_data(other, tasks(other, "tiny.copy"), trade)


def test_a_file_s_rows_that_are_like_held_out_ones_are_left_out_and_counted(
    own: FineTune, trade: Vertical, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"

    def rows(*facts: str) -> Path:
        lines = [json.dumps({"input": {"facts": f}, "output": {"text": f"Look: {f}."}}) for f in facts]
        file.write_text("\n".join(lines) + "\n", "utf-8")
        return file

    found = continuation_data(
        own, tasks(own, "tiny.copy"), trade, rows("A linen  scarf", "a steel knife", "a glass bowl")
    )
    assert facts(found.train) == ["a steel knife", "a glass bowl"] and found.leaking == 1
    assert "1 samples left out: each is like an input that the run holds out" in found.remarks
    with pytest.raises(UsageError, match="each of the 1 samples is like the fine-tune's held-out data"):
        continuation_data(own, tasks(own, "tiny.copy"), trade, rows("a linen scarf"))
    with pytest.raises(UsageError, match="cannot hold samples of 2 tasks"):
        continuation_data(own, tasks(own, "tiny.copy", "tiny.item"), trade, file)


def test_without_held_out_data_nothing_leaks() -> None:
    assert facts(without_leaks(copies("a jug"), [])) == ["a jug"]
