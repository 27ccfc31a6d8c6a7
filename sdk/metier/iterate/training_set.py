"""What one iteration trains on: the feedback, the replayed samples and the schedule.

They are fixed when the iteration starts and written to a file, so that a resumed iteration trains on the same. Feedback
that arrives meanwhile waits for the next iteration.

A head does not start from the champion's weights: its training takes seconds, so that the challenger is trained on all
of the champion's samples and the new ones, from the unchanged base.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import Field, ValidationError

from metier.adapt.methods import method_of
from metier.bases.finetune import lora_recipe
from metier.contracts import FineTune, Recipe, Sample
from metier.contracts.recipe import Layers
from metier.contracts.schema import Data
from metier.data.deduplicate import deduplicate
from metier.data.split import select
from metier.disk import write_atomic
from metier.disk.private import make_private
from metier.feedback.conflicts import drop_overruled
from metier.feedback.store import FeedbackStore
from metier.feedback.training_data import FeedbackData, LeftOut, collect_feedback
from metier.iterate.gate import Gate
from metier.iterate.registry import START, Registry
from metier.iterate.version import EventRange, subtract_ranges

VERDICT = "verdict.json"

SCHEDULE = ("layers", "epochs", "replay", "learning_rate", "seed")
"""Settings that the trained weights depend on; the others only decide whether and how they are used."""


class IterationSettings(Data):
    """How an iteration trains, and when it promotes."""

    min_samples: int = Field(default=16, ge=1)
    """New samples below which an iteration waits for more feedback."""
    replay: float = Field(default=1.0, ge=0)
    """Samples of the champion's pool per new sample, against forgetting (experience replay, arXiv 1811.11682). A head
    trains on all of them."""
    epochs: float = Field(default=2, gt=0)
    """Over new and replayed samples together. With 64 new samples, one epoch was 0.027 nats a token worse than training
    on all samples, two epochs 0.015 (`tests/benchmarks/iterate.py`). Of LoRA only, as the learning rate: a head keeps
    its recipe's."""
    learning_rate: float = Field(default=5e-4, gt=0)
    layers: Layers | None = None
    """Layers in which the champion's LoRA is trained further, in a recipe's notation; None trains all that it has. With
    `top:10` of 30, training took half of the time and gained half as much. Of LoRA only."""
    share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the users that get a version that passes the gate as a challenger; 0 makes it the champion at once."""
    gate: Gate = Gate()
    seed: int = 0


class IterationStart(Data):
    """The champion, feedback and settings of an iteration; written before it trains."""

    parent: str
    consumed: int
    """`State.consumed` at that moment."""
    last: int
    """Number of the store's newest event at that moment, of any task."""
    rejected: tuple[EventRange, ...] = ()
    """`State.rejected` at that moment."""
    settings: IterationSettings
    feedback: FeedbackData
    resumed: str | None = None
    """What an interrupted iteration with other settings contributed; None where there was none."""


class TrainingSet(NamedTuple):
    """The samples of a challenger."""

    train: list[Sample]
    replayed: int
    """How many of them its parent was trained on."""
    pool: list[Sample]
    """All samples that it and its ancestors were trained on; its own children replay them."""
    overruled: tuple[LeftOut, ...]


_Note = TypeVar("_Note", bound=Data)


def start_or_resume(
    registry: Registry, store: FeedbackStore, settings: IterationSettings, work: Path
) -> IterationStart:
    """The interrupted iteration where it is still valid; otherwise a new one."""
    state, resumed = registry.state(), None
    known = read_note(work / START, IterationStart)
    basis = None if known is None else (known.parent, known.consumed, known.rejected)
    if known is not None and basis == (state.champion, state.consumed, state.rejected):
        # An iteration without a result is not repeated until there is more feedback, or the schedule changes.
        waiting = (work / VERDICT).is_file() or len(known.feedback.samples) < known.settings.min_samples
        changed = [name for name in SCHEDULE if getattr(known.settings, name) != getattr(settings, name)]
        if not changed and (not waiting or store.last_number() == known.last):
            return _with_settings(known, settings, work, interrupted=not waiting)
        if not waiting:
            resumed = f"nothing: the interrupted iteration had another schedule ({', '.join(changed)})"
    discard(work)
    task, last = registry.task, store.last_number()
    new = subtract_ranges(registry.version(state.champion).untrained(last), state.rejected)
    events = (
        item
        for item in store.events(task.name, after=min((first for first, _ in new), default=last + 1) - 1)
        if any(first <= item.number <= end for first, end in new)
    )
    start = IterationStart(
        parent=state.champion,
        consumed=state.consumed,
        last=last,
        rejected=state.rejected,
        settings=settings,
        feedback=collect_feedback(task, events, registry.held_out()),
        resumed=resumed,
    )
    _write_start(work, start)
    return start


def _with_settings(
    known: IterationStart, settings: IterationSettings, work: Path, *, interrupted: bool
) -> IterationStart:
    """An earlier iteration, to be judged and used by the present gate and share."""
    if settings == known.settings:
        return known
    resumed = (
        "the weights of an interrupted iteration, with the present gate and share" if interrupted else known.resumed
    )
    start = known.model_copy(update={"settings": settings, "resumed": resumed})
    _write_start(work, start)
    return start


def _write_start(work: Path, start: IterationStart) -> None:
    write_atomic(work / START, start.model_dump_json())
    make_private(work)


def discard(work: Path) -> None:
    """Remove the files of an iteration, first the one by which it would be resumed."""
    (work / START).unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


def read_note(path: Path, type_: type[_Note]) -> _Note | None:
    """What an iteration wrote at `path`; None where there is nothing, or a file of another version of Metier."""
    try:
        return type_.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # the feedback itself is in the store


def training_set_of(registry: Registry, start: IterationStart, champion: FineTune) -> TrainingSet:
    """New samples, and replayed ones that they do not overrule; the order depends on the samples and the seed only."""
    new = list(start.feedback.samples)
    pool, overruled = drop_overruled(registry.task, registry.pool(start.parent), start.feedback)
    everything = deduplicate([*new, *pool]).kept
    if not method_of(champion.card.recipe).continues:
        return TrainingSet(everything, len(everything) - len(new), everything, overruled)
    replayed = select(pool, round(start.settings.replay * len(new)), start.settings.seed)
    return TrainingSet(deduplicate([*new, *replayed]).kept, len(replayed), everything, overruled)


def recipe_of(champion: FineTune, settings: IterationSettings) -> Recipe:
    """The champion's recipe with the iteration's layers and schedule; for a head, with the iteration's seed only.

    Raises:
        RecipeError: LoRA cannot train in these `layers`.
    """
    if not method_of(champion.card.recipe).continues:
        return champion.card.recipe.model_copy(update={"seed": settings.seed})
    layers = {"layers": settings.layers} if settings.layers else {}
    schedule = {"epochs": settings.epochs, "learning_rate": settings.learning_rate, "seed": settings.seed}
    return Recipe.parse({**lora_recipe(champion).model_dump(), **schedule, **layers})
