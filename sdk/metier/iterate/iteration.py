"""One turn of the loop: harvest the feedback, adapt from the champion, judge, and promote what passes the gate.

A turn writes each step down before the next, in `work/` of the registry; whoever is interrupted goes on there. The
registry changes once, at the end, in one rename.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from metier.adapt.methods import method_of
from metier.bases.finetune import check_goes_on, load_finetune
from metier.bases.resolve import LocalBase, resolve
from metier.contracts import Check, FineTune, Sample, samples_sha256
from metier.contracts.finetune import CARD
from metier.contracts.schema import Data
from metier.disk import write_whole
from metier.feedback.harvest import Harvest, harvest
from metier.feedback.store import FeedbackStore
from metier.iterate.erasure import take_out
from metier.iterate.gate import Verdict, judge
from metier.iterate.judge import Comparison, Judge
from metier.iterate.live_engine import doff
from metier.iterate.registry import WORK, Registry
from metier.iterate.training_set import (
    JUDGED,
    Begun,
    Lesson,
    Settings,
    begin,
    lesson_of,
    noted,
    recipe_of,
    throw_away,
)
from metier.iterate.version import Version, without
from metier.runtime.engine import Engine

CANDIDATE = "candidate"
"""Stands in for the version of weights that are being judged: no user gets them under this name."""

Outcome = Literal["promoted", "canary", "refused", "waiting", "too few", "on trial"]


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


class _Judged(Data):
    comparison: Comparison
    verdict: Verdict


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
        UsageError: another process takes a turn, the registry learns from another store, or the engine's bundle has no
            slots, or no trunk for a head.
    """
    say = progress or (lambda *_, **__: None)
    with registry.between_turns():
        registry.learn_from(store)
        take_out(registry, store.erased())
        return _turn(registry, store, engine, settings or Settings(), tuple(checks), base, say)


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
    going_on, graph = registry.finetune(state.champion), engine.bundle.manifest.graph
    if graph is not None and method_of(going_on.card.recipe).continues:  # before an earlier turn is thrown away for it
        check_goes_on(going_on, recipe_of(going_on, settings), graph.layers)
    begun = begin(registry, store, settings, work)
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
    plan = lesson_of(registry, begun, champion)
    said = said.model_copy(update={"left_out": (*said.left_out, *plan.overruled)})
    if (lost := _given_up(registry, champion, begun, plan)) is not None:
        throw_away(work)
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
    if (now := registry.state().champion) != begun.parent:
        why = f"{now} became champion meanwhile, in place of {begun.parent}: the next turn goes on from there"
        return result.model_copy(update={"champion": now, "why": why})
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
        registry.canary(version.name, begun.settings.share, found.verdict.why, over=begun.parent)
    else:
        outcome = "promoted"
        registry.promote(version.name, found.verdict.why, over=begun.parent)
    throw_away(work)
    now = registry.state().champion
    return result.model_copy(update={"outcome": outcome, "version": version.name, "champion": now})


def _kept(registry: Registry, made: FineTune, begun: Begun, verdict: Verdict) -> Version | None:
    """The version that this very turn had added before it was interrupted."""
    last = registry.names()[-1]
    known = registry.version(last)
    same = (registry.path(last) / CARD).read_bytes() == (made.path / CARD).read_bytes()
    return known if same and (known.parent, known.verdict) == (begun.parent, verdict.model_dump(mode="json")) else None


def _given_up(registry: Registry, champion: FineTune, begun: Begun, plan: Lesson) -> str | None:
    """A version that users had and lost, where this turn would make the same again."""
    state, learnt = registry.state(), samples_sha256(plan.train)
    wanted = begun.parent, recipe_of(champion, begun.settings), learnt
    had = {move.version for move in state.history if move.what in ("canary", "promoted")} - {state.champion}
    for name in sorted(name for name in had if name):
        card = FineTune.packaged(registry.path(name)).card
        if (registry.version(name).parent, card.recipe, card.data.sha256) == wanted:
            return name
    return None


def _adapted(
    champion: FineTune, train: list[Sample], settings: Settings, base: LocalBase, work: Path, say: Callable[..., None]
) -> FineTune:
    out = work / "run"
    if (out / CARD).is_file() and FineTune.packaged(out).card.data.sha256 == samples_sha256(train):
        return load_finetune(out, produces=None)
    say("loading the base")

    def told(event: Any) -> None:
        say("adapting", event.step, event.steps, loss=event.loss)

    recipe = recipe_of(champion, settings)
    from metier.adapt.fine_tuning import adapt

    # No held-out data: the best moment would be chosen on the very data that the gate judges by.
    start = champion if method_of(recipe).continues else None
    return adapt(champion.card.tasks[0], train, [], recipe, out, base=base, start=start, progress=told)


def _judged(
    registry: Registry,
    engine: Engine,
    champion: FineTune,
    made: FineTune,
    checks: Sequence[Check],
    base: LocalBase,
    begun: Begun,
    work: Path,
    say: Any,
) -> _Judged:
    if (known := noted(work / JUDGED, _Judged)) is not None:
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
