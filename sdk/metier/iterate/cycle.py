"""One turn of the loop: harvest the feedback, adapt from the champion, judge, and promote what passes the gate.

A turn writes each step down before the next, in `work/` of the registry; whoever is interrupted goes on there. The
registry changes once, at the end, in one rename. What is learnt is decided when a turn begins: feedback that comes in
meanwhile waits for the next.

A champion that is a head is not gone on from: its training takes seconds, so that the challenger learns all that the
champion did and what is new, from the untouched base.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase, resolve
from metier.contracts import Check, FineTune, Recipe, Sample, UsageError
from metier.contracts.finetune import CARD
from metier.contracts.schema import Data
from metier.data.clean import deduplicate
from metier.data.split import select
from metier.iterate.erasure import take_out
from metier.iterate.gate import Gate, Verdict, judge
from metier.iterate.harvest import Harvest, LeftOut, harvest
from metier.iterate.judge import Comparison, Judge
from metier.iterate.live import doff
from metier.iterate.overruled import overrule
from metier.iterate.registry import BEGUN, TURN_LOCK, WORK, Registry
from metier.iterate.store import FeedbackStore
from metier.iterate.version import Stretch, Version, without
from metier.iterate.whole import write_whole
from metier.runtime.engine import Engine

JUDGED = "verdict.json"
CANDIDATE = "candidate"
"""Stands in for the version of weights that are being judged: no user gets them under this name."""

Outcome = Literal["promoted", "canary", "refused", "waiting", "too few", "on trial"]


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
    share: float = Field(default=0.0, ge=0, lt=1)
    """Users that get what passes the gate as a challenger; 0 makes it champion at once."""
    gate: Gate = Gate()
    seed: int = 0


class Turn(Data):
    """What came of a turn."""

    outcome: Outcome
    version: str | None
    """What was made of the challenger, or is on trial; None where it was not kept."""
    champion: str
    """Who is champion now."""
    why: str
    harvest: Harvest
    replayed: int = 0
    comparison: Comparison | None = None
    verdict: Verdict | None = None
    taken_up: str | None = None
    """What was taken up of an interrupted turn whose settings were others; None where none was."""


class _Begun(Data):
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


class _Judged(Data):
    comparison: Comparison
    verdict: Verdict


_Kept = TypeVar("_Kept", _Begun, _Judged)

SCHEDULE = ("epochs", "replay", "learning_rate", "seed")
"""Settings that the trained weights depend on; the others only decide what becomes of them."""


class _Plan(NamedTuple):
    train: list[Sample]
    replayed: int
    pool: list[Sample]
    overruled: tuple[LeftOut, ...]


def turn(
    registry: Registry,
    store: FeedbackStore,
    engine: Engine,
    *,
    settings: Settings | None = None,
    checks: Sequence[Check] = (),
    base: LocalBase | None = None,
    progress: Callable[..., None] | None = None,
) -> Turn:
    """Take one turn, or go on with the one that was interrupted.

    A challenger that passes becomes champion, or gets its share of the users. One that is worse for sure is kept but
    refused, and what it learnt is not learnt again unless it is pardoned, but for what an earlier turn judged harmless.
    One that is not proved either way is given up, and its feedback waits for more. While a challenger is on trial no
    turn is taken: it would go on from a champion that has not learnt what the challenger has. Where a trial is
    withdrawn, or a champion rolled back, what they learnt counts as new again, and waits for more.

    Args:
        registry: of the task.
        store: its feedback.
        engine: running, of a bundle with slots of the same base, or for a head with that base as a trunk; users may be
            on it meanwhile.
        settings: how.
        checks: the trade's, which the gate goes by.
        base: at hand; None resolves the champion's.
        progress: called as `progress(what, done, total)`.

    Raises:
        UsageError: another process takes a turn, or the engine's bundle has no slots, or no trunk for a head.
    """
    say = progress or (lambda *_, **__: None)
    try:
        with FileLock(registry.folder / TURN_LOCK, timeout=0):
            take_out(registry, store.erased())
            return _turn(registry, store, engine, settings or Settings(), tuple(checks), base, say)
    except Timeout as error:
        raise UsageError(
            "another process takes a turn", where=str(registry.folder), remedy="wait for it to end"
        ) from error


def _turn(
    registry: Registry,
    store: FeedbackStore,
    engine: Engine,
    settings: Settings,
    checks: Sequence[Check],
    base: LocalBase | None,
    say: Callable[..., None],
) -> Turn:
    work, state = registry.folder / WORK, registry.state()
    if state.challenger is not None:
        why = f"{state.challenger} is on trial: promote or withdraw it, then take the turn"
        nothing = harvest(registry.task, ())
        return Turn(outcome="on trial", version=state.challenger, champion=state.champion, why=why, harvest=nothing)
    begun = _begin(registry, store, settings, work)
    if begun.taken_up is not None:
        say(f"taking up {begun.taken_up}")
    said, champion = begun.harvest, registry.finetune(begun.parent)
    if len(said.samples) < settings.least:
        why = f"{len(said.samples)} new samples, fewer than {settings.least}"
        return Turn(
            outcome="too few",
            version=None,
            champion=begun.parent,
            why=why,
            harvest=said,
            taken_up=begun.taken_up,
        )
    base = base or resolve(champion.card.base.id, revision=champion.card.base.revision)
    plan = _plan(registry, begun, champion)
    said = said.model_copy(update={"left_out": (*said.left_out, *plan.overruled)})
    if (lost := _given_up(registry, champion, begun, plan)) is not None:
        shutil.rmtree(work, ignore_errors=True)
        why = f"{lost} was made of the same feedback, and taken from its users again"
        return Turn(outcome="waiting", version=lost, champion=begun.parent, why=why, harvest=said)
    made = _adapted(champion, plan.train, begun.settings, base, work, say)
    found = _judged(registry, engine, champion, made, checks, base, begun, work, say)
    parent = registry.version(begun.parent)
    until = max(parent.until, said.until)
    new = without(parent.unlearnt(until), begun.refused)
    result = Turn(
        outcome="waiting",
        version=None,
        champion=begun.parent,
        why=found.verdict.why,
        harvest=said,
        replayed=plan.replayed,
        comparison=found.comparison,
        verdict=found.verdict,
        taken_up=begun.taken_up,
    )
    if found.verdict.found == "unproved":
        registry.clear(until)
        return result  # the work stays: asked again without new feedback, the answer is there
    version = _kept(registry, made, begun, found.verdict) or registry.add(
        made,
        plan.pool,
        parent=begun.parent,
        until=until,
        skipped=without(parent.unlearnt(until), new),
        learnt=len(said.samples),
        replayed=plan.replayed,
        verdict=found.verdict.model_dump(mode="json"),
    )
    outcome: Outcome = "refused"
    if found.verdict.found == "failed":
        # What an earlier turn has judged harmless is not condemned with the rest.
        bad = without(new, [(1, registry.state().cleared)])
        registry.refuse(version.name, found.verdict.why, bad)
        if not bad:
            why = f"{found.verdict.why}; no feedback is blamed: an earlier turn found all of it harmless"
            # The work stays here, too: nothing has changed by which another turn would come to something else.
            return result.model_copy(update={"outcome": "refused", "version": version.name, "why": why})
    elif begun.settings.share:
        outcome = "canary"
        registry.canary(version.name, begun.settings.share, found.verdict.why)
    else:
        outcome = "promoted"
        registry.promote(version.name, found.verdict.why)
    shutil.rmtree(work, ignore_errors=True)
    now = registry.state().champion
    return result.model_copy(update={"outcome": outcome, "version": version.name, "champion": now})


def _kept(registry: Registry, made: FineTune, begun: _Begun, verdict: Verdict) -> Version | None:
    """The version that this very turn had added before it was interrupted."""
    last = registry.names()[-1]
    known = registry.version(last)
    same = (registry.path(last) / CARD).read_bytes() == (made.path / CARD).read_bytes()
    return known if same and (known.parent, known.verdict) == (begun.parent, verdict.model_dump(mode="json")) else None


def _given_up(registry: Registry, champion: FineTune, begun: _Begun, plan: _Plan) -> str | None:
    """A version that users had and lost, where this turn would make the same again."""
    state, recipe = registry.state(), recipe_of(champion, begun.settings)
    until = max(registry.version(begun.parent).until, begun.harvest.until)
    wanted = begun.parent, until, len(begun.harvest.samples), plan.replayed
    had = {move.version for move in state.history if move.what in ("canary", "promoted")} - {state.champion}
    for name in sorted(name for name in had if name):
        known = registry.version(name)
        made = known.parent, known.until, known.learnt, known.replayed
        if made == wanted and FineTune.packaged(registry.path(name)).card.recipe == recipe:
            return name
    return None


def _begin(registry: Registry, store: FeedbackStore, settings: Settings, work: Path) -> _Begun:
    """The turn that was interrupted, where it still holds; else a new one."""
    state, taken_up = registry.state(), None
    known = _read(work / BEGUN, _Begun)
    then = None if known is None else (known.parent, known.consumed, known.refused)
    if known is not None and then == (state.champion, state.consumed, state.refused):
        # A turn that came to nothing is not taken again until there is more to learn, or it is asked otherwise.
        waiting = (work / JUDGED).is_file() or len(known.harvest.samples) < known.settings.least
        other = [name for name in SCHEDULE if getattr(known.settings, name) != getattr(settings, name)]
        if not other and (not waiting or store.last() == known.last):
            return _taken_up(known, settings, work, told=not waiting)
        if not waiting:
            taken_up = f"nothing: an interrupted turn had another schedule ({', '.join(other)})"
    shutil.rmtree(work, ignore_errors=True)
    task, last = registry.task, store.last()
    new = without(registry.version(state.champion).unlearnt(last), state.refused)
    told = (
        item
        for item in store.told(task.name, after=min((first for first, _ in new), default=last + 1) - 1)
        if any(first <= item.number <= end for first, end in new)
    )
    said = harvest(task, told, registry.held_out())
    begun = _Begun(
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


def _taken_up(known: _Begun, settings: Settings, work: Path, *, told: bool) -> _Begun:
    """An earlier turn, to be judged and put to work as it is asked now."""
    if settings == known.settings:
        return known
    other = "what an interrupted turn had trained, by the gate and the share of now" if told else known.taken_up
    begun = known.model_copy(update={"settings": settings, "taken_up": other})
    write_whole(work / BEGUN, begun.model_dump_json())
    return begun


def _read(path: Path, of: type[_Kept]) -> _Kept | None:
    try:
        return of.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # of an earlier Metier, or none: what it was about is in the store


def _plan(registry: Registry, begun: _Begun, champion: FineTune) -> _Plan:
    """New samples, and replayed ones that those do not overrule, in an order that depends on nothing but themselves and
    the seed."""
    new = list(begun.harvest.samples)
    pool, overruled = overrule(registry.task, registry.pool(begun.parent), begun.harvest)
    if champion.card.recipe.way == "head":
        whole = deduplicate([*new, *pool]).kept
        return _Plan(whole, len(whole) - len(new), whole, overruled)
    replayed = select(pool, round(begun.settings.replay * len(new)), begun.settings.seed)
    whole = deduplicate([*new, *pool]).kept
    return _Plan(deduplicate([*new, *replayed]).kept, len(replayed), whole, overruled)


def recipe_of(champion: FineTune, settings: Settings) -> Recipe:
    """The champion's recipe, with a turn's own schedule; of a head, with a turn's seed."""
    if champion.card.recipe.way == "head":
        return champion.card.recipe.model_copy(update={"seed": settings.seed})
    update = {"epochs": settings.epochs, "learning_rate": settings.learning_rate, "seed": settings.seed}
    return champion.card.recipe.model_copy(update=update)


def _adapted(
    champion: FineTune, train: list[Sample], settings: Settings, base: LocalBase, work: Path, say: Callable[..., None]
) -> FineTune:
    out = work / "run"
    if (out / CARD).is_file():
        return load_finetune(out, way=None)
    say("loading the base")

    def told(event: Any) -> None:
        say("adapting", event.step, event.steps, loss=event.loss)

    recipe = recipe_of(champion, settings)
    if recipe.way == "head":
        from metier.transfer import adapt_head

        return adapt_head(champion.card.tasks[0], train, [], recipe, out, base=base, progress=told)
    from metier.adapt import adapt

    # No held-out data: the best moment would be chosen on the very data that the gate judges by.
    return adapt(
        champion.card.tasks[0],
        train,
        [],
        recipe,
        out,
        base=base,
        start=champion,
        progress=told,
    )


def _judged(
    registry: Registry,
    engine: Engine,
    champion: FineTune,
    made: FineTune,
    checks: Sequence[Check],
    base: LocalBase,
    begun: _Begun,
    work: Path,
    say: Any,
) -> _Judged:
    if (known := _read(work / JUDGED, _Judged)) is not None:
        return known.model_copy(update={"verdict": judge(known.comparison, begun.settings.gate)})
    bench = Judge(engine, registry.task, registry.held_out(), base, checks=checks, cache=registry.folder / "measured")
    adapters = registry.adapter(begun.parent), registry.adapter(CANDIDATE)
    before, after = bench.measure(champion, adapters[0], say), bench.measure(made, adapters[1], say)
    say("comparing")
    comparison = bench.compare(before, after, adapters, seed=begun.settings.seed)
    doff(engine, adapters[1])
    found = _Judged(comparison=comparison, verdict=judge(comparison, begun.settings.gate))
    write_whole(work / JUDGED, found.model_dump_json())
    return found
