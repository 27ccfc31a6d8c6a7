"""Training and held-out samples of one adaptation, from a file or from a trade's packaged samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metier.contracts import BadRow, Sample, TaskContract, UsageError, Vertical
from metier.contracts.schema import Data
from metier.data.deduplicate import deduplicate
from metier.data.load import load_samples
from metier.data.samples_file import read_samples, samples_in
from metier.data.split import select, split

HELD_OUT = 60
"""Distinct held-out inputs by default, and never more than a fifth of all: enough for an interval of a few BLEU, few
enough to leave the rest of a small file for training."""


class TrainingData(Data):
    """What one adaptation takes, and what was left out on the way."""

    train: list[Sample]
    held_out: list[Sample]
    """All references of each held-out input."""
    bad: list[BadRow] = []
    """Rows that did not fit, where they were to be skipped."""
    doubled: int = 0
    """Samples left out as duplicates or near-duplicates."""
    leaking: int = 0
    """Samples left out because they are like what a fine-tune is measured on."""

    @property
    def remarks(self) -> list[str]:
        """Remarks for the user before the training begins, one line each."""
        lines = [str(row) for row in self.bad[:20]]
        if len(self.bad) > 20:
            lines.append(f"… and {len(self.bad) - 20} more rows that do not fit")
        if self.doubled:
            lines.append(f"{self.doubled} samples left out: each repeats another, or nearly")
        if self.leaking:
            lines.append(f"{self.leaking} samples left out: each is like an input that the run holds out")
        inputs = len(_by_input(self.held_out))
        return [*lines, f"{len(self.train)} samples to train on, {inputs} inputs held out"]


def training_data(
    vertical: Vertical,
    task: TaskContract,
    path: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
    samples: int | None = None,
    held_out: int | None = None,
    seed: int = 0,
) -> TrainingData:
    """Samples of a task, cleaned, and split so that no held-out input, nor one nearly like it, is trained on.

    Args:
        vertical: whose data adapters may read the file, and whose packaged samples are taken without one.
        path: the user's file; None takes the packaged samples, held-out set included.
        columns: header → field, for tables with names of their own.
        on_bad: what a row that does not fit does.
        samples: how many to train on, distinct inputs first; None takes all.
        held_out: distinct inputs to keep apart; None keeps 60, or a fifth where there are fewer than 300.
        seed: of choice and split.

    Raises:
        DataError: the file cannot be read, or (on_bad="raise") a row does not fit.
        UsageError: the vertical packages no samples and no file is given, or nothing is left to train on.
    """
    bad: list[BadRow] = []
    if path is None:
        train, kept_apart = packaged(vertical, task, "train"), packaged(vertical, task, "held_out")
        doubled = 0
    else:
        found = list(
            load_samples(task, path, adapters=vertical.adapters_for(task.name), columns=columns, on_bad=on_bad, bad=bad)
        )
        inputs = len(_by_input(found))
        parts = split(found, held_out if held_out is not None else min(HELD_OUT, inputs // 5), seed)
        # Training samples only: a held-out input is measured against every reference it has.
        train, dropped = deduplicate(parts.train)
        doubled, kept_apart = len(dropped), parts.held_out
    if samples is not None:
        train = list(select(train, samples, seed))
    if not train:
        skipped = f"; {len(bad)} rows were skipped, the first: {bad[0]}" if bad else ""
        raise UsageError(
            f"there is nothing left to train on{skipped}",
            where=str(path) if path else None,
            remedy="give more rows, or lower --held-out",
        )
    return TrainingData(train=train, held_out=kept_apart, bad=bad, doubled=doubled)


def packaged_data(
    vertical: Vertical, tasks: Sequence[TaskContract], *, samples: int | None = None, seed: int = 0
) -> TrainingData:
    """The packaged samples of several tasks, one task after the other, to train one LoRA adapter.

    Args:
        vertical: whose samples.
        tasks: of it.
        samples: how many of each task to train on, distinct inputs first; None takes all.
        seed: of that choice.

    Raises:
        UsageError: the vertical packages no samples of one of them.
    """
    parts = [training_data(vertical, task, samples=samples, seed=seed) for task in tasks]
    return TrainingData(train=[s for p in parts for s in p.train], held_out=[s for p in parts for s in p.held_out])


def packaged(vertical: Vertical, task: TaskContract, part: Literal["train", "held_out"] = "train") -> list[Sample]:
    """The samples that a vertical brings for a task.

    Raises:
        UsageError: it brings none.
    """
    if (found := vertical.samples.get(task.name)) is None:
        raise UsageError(f"{vertical.name} packages no samples of {task.name}", remedy="give a file with --data")
    path = found.train if part == "train" else found.held_out
    return [task.check_sample(sample) for sample in read_samples(path, task=task.name, licence=found.licence)]


def samples_of(
    vertical: Vertical | None,
    task: TaskContract,
    path: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
) -> list[Sample]:
    """Every sample of a file, or without one those that the vertical packages for training.

    Raises:
        DataError: the file cannot be read, or a row does not fit.
        UsageError: there is neither a file nor a packaged set.
    """
    if path is not None:
        adapters = vertical.adapters_for(task.name) if vertical else ()
        return list(load_samples(task, path, adapters=adapters, columns=columns, on_bad=on_bad))
    if vertical is None:
        raise UsageError(f"no installed plugin brings {task.vertical}", remedy="give a file with --data")
    return packaged(vertical, task)


def train_of(run: Path) -> list[Sample]:
    """The training samples in a fine-tune's folder; empty where there are none."""
    return samples_in(run / "train.jsonl")


def held_out_of(run: Path) -> list[Sample]:
    """The held-out samples in a fine-tune's folder.

    Raises:
        UsageError: the folder has none.
    """
    path = run / "held_out.jsonl"
    if found := samples_in(path):
        return found
    raise UsageError("the run has no held-out samples", where=str(path), remedy="give a file with --data")


def first_inputs(samples: Sequence[Sample], count: int) -> list[Sample]:
    """All samples of the first `count` distinct inputs."""
    wanted = set(list(_by_input(samples))[:count])
    return [sample for sample in samples if _key(sample) in wanted]


def _by_input(samples: Sequence[Sample]) -> dict[str, Sample]:
    return {_key(sample): sample for sample in samples}


def _key(sample: Sample) -> str:
    return sample.model_dump_json(include={"task", "input", "language"})
