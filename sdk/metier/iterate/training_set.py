"""What one turn of the loop learns: which feedback, which replayed samples, by which schedule.

It is decided when a turn begins, and written down; whoever takes up an interrupted turn learns the same. Feedback that
comes in meanwhile waits for the next turn.

A champion that is a head is not gone on from: its training takes seconds, so that the challenger learns all that the
champion did and what is new, from the untouched base.
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
from metier.disk import write_whole
from metier.feedback.conflicts import overrule
from metier.feedback.harvest import Harvest, LeftOut, harvest
from metier.feedback.store import FeedbackStore
from metier.iterate.gate import Gate
from metier.iterate.registry import BEGUN, Registry
from metier.iterate.version import Stretch, without

JUDGED = "verdict.json"

SCHEDULE = ("layers", "epochs", "replay", "learning_rate", "seed")
"""Settings that the trained weights depend on; the others only decide what becomes of them."""


class Settings(Data):
    """How a turn is taken."""

    least: int = Field(default=16, ge=1)
    """New samples below which a turn waits for more."""
    replay: float = Field(default=1.0, ge=0)
    """Samples of the champion's own pool per new one, against forgetting (experience replay, arXiv 1811.11682). A head
    learns all of them."""
    epochs: float = Field(default=2, gt=0)
    """Over new and replayed samples together. With 64 new ones, one was told from the run on all samples by 0.027 nats
    a token, two by 0.015 (`tests/benchmarks/iterate.py`). Of LoRA, as the learning rate: a head keeps its recipe's."""
    learning_rate: float = Field(default=5e-4, gt=0)
    layers: Layers | None = None
    """In which of its layers the champion's LoRA goes on learning, as a recipe says it; None is in all that it has.
    With `top:10` of 30, training took half of the time and gained half as much. Of LoRA alone."""
    share: float = Field(default=0.0, ge=0, lt=1)
    """Users that get what passes the gate as a challenger; 0 makes it champion at once."""
    gate: Gate = Gate()
    seed: int = 0


class Begun(Data):
    """What a turn is about; written before anything is done."""

    parent: str
    consumed: int
    """Where the harvest began."""
    last: int
    """Newest event of the store at that moment, of whatever task."""
    refused: tuple[Stretch, ...] = ()
    """What was refused then."""
    settings: Settings
    harvest: Harvest
    taken_up: str | None = None


class Lesson(NamedTuple):
    """What a challenger is trained on."""

    train: list[Sample]
    replayed: int
    """How many of them its parent knows."""
    pool: list[Sample]
    """All that it and its ancestors learnt; what its own children replay."""
    overruled: tuple[LeftOut, ...]


_Noted = TypeVar("_Noted", bound=Data)


def begin(registry: Registry, store: FeedbackStore, settings: Settings, work: Path) -> Begun:
    """The turn that was interrupted, where it still holds; else a new one."""
    state, taken_up = registry.state(), None
    known = noted(work / BEGUN, Begun)
    then = None if known is None else (known.parent, known.consumed, known.refused)
    if known is not None and then == (state.champion, state.consumed, state.refused):
        # A turn that came to nothing is not taken again until there is more to learn, or it is asked otherwise.
        waiting = (work / JUDGED).is_file() or len(known.harvest.samples) < known.settings.least
        other = [name for name in SCHEDULE if getattr(known.settings, name) != getattr(settings, name)]
        if not other and (not waiting or store.last() == known.last):
            return _taken_up(known, settings, work, told=not waiting)
        if not waiting:
            taken_up = f"nothing: an interrupted turn had another schedule ({', '.join(other)})"
    throw_away(work)
    task, last = registry.task, store.last()
    new = without(registry.version(state.champion).unlearnt(last), state.refused)
    told = (
        item
        for item in store.told(task.name, after=min((first for first, _ in new), default=last + 1) - 1)
        if any(first <= item.number <= end for first, end in new)
    )
    said = harvest(task, told, registry.held_out())
    begun = Begun(
        parent=state.champion,
        consumed=state.consumed,
        last=last,
        refused=state.refused,
        settings=settings,
        harvest=said,
        taken_up=taken_up,
    )
    write_whole(work / BEGUN, begun.model_dump_json())
    return begun


def _taken_up(known: Begun, settings: Settings, work: Path, *, told: bool) -> Begun:
    """An earlier turn, to be judged and put to work as it is asked now."""
    if settings == known.settings:
        return known
    other = "what an interrupted turn had trained, by the gate and the share of now" if told else known.taken_up
    begun = known.model_copy(update={"settings": settings, "taken_up": other})
    write_whole(work / BEGUN, begun.model_dump_json())
    return begun


def throw_away(work: Path) -> None:
    """Remove what a turn has made: first the note by which another would take it up."""
    (work / BEGUN).unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


def noted(path: Path, of: type[_Noted]) -> _Noted | None:
    """What a turn has written down at `path`; None where that is nothing, or of another version of Metier."""
    try:
        return of.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # what it was about is in the store


def lesson_of(registry: Registry, begun: Begun, champion: FineTune) -> Lesson:
    """New samples, and replayed ones that those do not overrule, in an order that depends on nothing but themselves and
    the seed."""
    new = list(begun.harvest.samples)
    pool, overruled = overrule(registry.task, registry.pool(begun.parent), begun.harvest)
    if not method_of(champion.card.recipe).continues:
        whole = deduplicate([*new, *pool]).kept
        return Lesson(whole, len(whole) - len(new), whole, overruled)
    replayed = select(pool, round(begun.settings.replay * len(new)), begun.settings.seed)
    whole = deduplicate([*new, *pool]).kept
    return Lesson(deduplicate([*new, *replayed]).kept, len(replayed), whole, overruled)


def recipe_of(champion: FineTune, settings: Settings) -> Recipe:
    """The champion's recipe, with a turn's own layers and schedule; of a head, with a turn's seed.

    Raises:
        RecipeError: `layers` are no layers that LoRA learns in.
    """
    if not method_of(champion.card.recipe).continues:
        return champion.card.recipe.model_copy(update={"seed": settings.seed})
    named = {"layers": settings.layers} if settings.layers else {}
    schedule = {"epochs": settings.epochs, "learning_rate": settings.learning_rate, "seed": settings.seed}
    return Recipe.parse({**lora_recipe(champion).model_dump(), **schedule, **named})
