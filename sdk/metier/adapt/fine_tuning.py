"""The one entry to adaptation: samples and a recipe to a fine-tune's folder, by the method that the recipe names."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metier.adapt.methods import method_of
from metier.bases.resolve import LocalBase
from metier.contracts import FineTune, Recipe, Sample, TaskContract
from metier.training.hidden_state_cache import LIMIT
from metier.training.loop import Progress, Watching
from metier.training.run import TrainingRun


def adapt(
    tasks: TaskContract | Sequence[TaskContract],
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    out: str | Path,
    *,
    base: LocalBase | None = None,
    start: FineTune | None = None,
    resume: bool = True,
    progress: Callable[[Progress], None] | None = None,
    device: str = "auto",
    watch: Watching | None = None,
    limit: int = LIMIT,
) -> FineTune:
    """Train what the recipe produces: text by LoRA (arXiv 2106.09685) or the base's own weights, or a head.

    A run that was killed continues from its last checkpoint when called again with the same arguments, and ends with
    the weights that the unbroken run would have had; a head over features, which takes seconds, is trained again. A
    finished run is returned unchanged.

    Args:
        tasks: the contract, or contracts, that the samples belong to; a head takes one.
        train: samples to train on.
        held_out: samples for the held-out loss; may be empty. For text they select the best step, whose weights are
            kept; for a head they select nothing.
        recipe: how.
        out: folder of the fine-tune; created if missing.
        base: a resolved base; None resolves the recipe's.
        start: continue from this fine-tune's weights instead of fresh ones; text only. Its LoRA must be the recipe's,
            and be in the recipe's layers at least: in others it is not trained. Of `full`, the layers are the recipe's.
        resume: False deletes what `out` holds of an earlier run.
        progress: called after every step; of a head over features, after every epoch.
        device: auto, cpu or cuda.
        watch: called with the model in training at every evaluation on `held_out`; text only. Its figures come with
            that step, are written to log.jsonl, and do not influence the training.
        limit: bytes on disk for hidden states of frozen layers, and as many for the features of a head; those of
            further samples are computed again.

    Raises:
        UsageError: no samples, another task's samples, a task or an argument that a head does not take, a start of
            another base, or `out` belongs to another run or a running one.
        ContractError, DataError: samples are too long or do not satisfy their contract.
        RecipeError: layers or targets that the base has not, or other ones than the start's.
        BaseError: the base cannot be found or read, or cannot generate.
        DeviceError: the device is not available.
        ResourceError: memory or disk ran out.
    """
    contracts = {task.name: task for task in ([tasks] if isinstance(tasks, TaskContract) else tasks)}
    run = TrainingRun(
        tasks=contracts,
        train=train,
        held_out=held_out,
        recipe=recipe,
        out=Path(out),
        base=base,
        start=start,
        resume=resume,
        progress=progress,
        device=device,
        watch=watch,
        limit=limit,
    )
    _warn_of_languages(contracts, train, base)
    return method_of(recipe).train(run)


def _warn_of_languages(tasks: Mapping[str, TaskContract], train: Sequence[Sample], base: LocalBase | None) -> None:
    """Warn where samples are in a language that the base's card does not name."""
    if base is None or not base.card.languages:
        return
    counts = Counter(tasks[sample.task].language_of(sample.input) for sample in train if sample.task in tasks)
    for language, count in sorted(counts.items()):
        if not base.card.names_language(language):
            warnings.warn(
                f"{count} of {len(train)} samples are in {language}; the card of {base.card.id} names only "
                f"{', '.join(base.card.languages)}",
                stacklevel=3,
            )
