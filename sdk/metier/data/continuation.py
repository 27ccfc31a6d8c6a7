"""Data to continue a fine-tune: the samples it was trained on, and the held-out ones it must never be trained on.

Both lie in its folder; one that a plugin packages has them among the plugin's samples instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metier.contracts import FineTune, Sample, TaskContract, UsageError, Vertical
from metier.data.leakage import without_leaks
from metier.data.samples_file import samples_in
from metier.data.split import select
from metier.data.training import TrainingData, packaged, train_of, training_data


def continuation_data(
    finetune: FineTune,
    tasks: Sequence[TaskContract],
    vertical: Vertical,
    path: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
    samples: int | None = None,
    seed: int = 0,
) -> TrainingData:
    """Samples to continue the training of a fine-tune, without any that is like its held-out data.

    Args:
        finetune: whose own samples are taken, and whose held-out data is kept apart.
        tasks: of the fine-tune; samples are ordered by task.
        vertical: of the tasks.
        path: the user's file, of one task; None takes what the fine-tune was trained on.
        columns: header → field, for tables with names of their own.
        on_bad: what a row that does not fit does.
        samples: how many of each task, distinct inputs first; None takes all.
        seed: of that choice.

    Raises:
        DataError: a file cannot be read, or (on_bad="raise") a row does not fit.
        UsageError: the file would have to hold several tasks; the fine-tune's samples did not travel with it; or
            everything is like the held-out data.
    """
    apart = held_out_data(finetune, vertical)
    if path is not None and len(tasks) > 1:
        raise UsageError(f"{path} cannot hold samples of {len(tasks)} tasks", remedy="name one of them with --task")
    if path is not None:
        read = training_data(vertical, tasks[0], path, columns=columns, on_bad=on_bad, held_out=0)
    else:
        read = TrainingData(train=_trained_on(finetune, tasks, vertical), held_out=[])
    kept = without_leaks(read.train, apart)
    if not kept:
        raise UsageError(
            f"each of the {len(read.train)} samples is like the fine-tune's held-out data",
            where=str(path or finetune.path),
            remedy="give other samples with --data: held-out data is never trained on",
        )
    leaking = len(read.train) - len(kept)
    if samples is not None:
        kept = [s for task in tasks for s in select([s for s in kept if s.task == task.name], samples, seed)]
    return read.model_copy(update={"train": kept, "held_out": apart, "leaking": leaking})


def held_out_data(finetune: FineTune, vertical: Vertical | None) -> list[Sample]:
    """The held-out samples of a fine-tune; empty where they are unknown.

    Args:
        finetune: with its held-out samples in its folder; or one that the vertical packages, or one
            that alignment continued from a packaged one.
        vertical: of its tasks; None where its plugin is not installed.
    """
    found = samples_in(finetune.path / "held_out.jsonl")
    if found or vertical is None or not _is_packaged(finetune, vertical):
        return found
    return [
        s for task in finetune.card.tasks if task.name in vertical.samples for s in packaged(vertical, task, "held_out")
    ]


def _trained_on(finetune: FineTune, tasks: Sequence[TaskContract], vertical: Vertical) -> list[Sample]:
    names = {task.name for task in tasks}
    if found := [sample for sample in train_of(finetune.path) if sample.task in names]:
        return found
    if _is_packaged(finetune, vertical):
        return [sample for task in tasks for sample in packaged(vertical, task)]
    raise UsageError(
        f"the fine-tune has no samples of {', '.join(sorted(names))} with it",
        where=str(finetune.path / "train.jsonl"),
        remedy="give inputs with --data",
    )


def _is_packaged(finetune: FineTune, vertical: Vertical) -> bool:
    began = {finetune.card.weights_sha256, *(step.began_from for step in finetune.card.alignment)}
    return any(shipped.card.weights_sha256 in began for shipped in vertical.fine_tunes)
