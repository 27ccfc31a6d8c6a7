"""One iteration of the loop: collect feedback, train from the champion, measure, and promote what passes the gate.

An iteration writes the result of each step to `work/` of the registry before the next one; an interrupted iteration is
resumed from there. The registry's state changes once, at the end, in one rename.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metier.adapt.methods import method_of
from metier.bases.finetune import check_continues, load_finetune
from metier.bases.resolve import LocalBase, resolve
from metier.contracts import Check, FineTune, Sample, samples_sha256
from metier.contracts.finetune import CARD
from metier.contracts.schema import Data
from metier.disk import write_atomic
from metier.disk.private import make_private
from metier.feedback.store import FeedbackStore
from metier.feedback.training_data import FeedbackData, collect_feedback
from metier.iterate.erasure import remove_events
from metier.iterate.gate import GateVerdict, judge
from metier.iterate.judge import Comparison, Judge
from metier.iterate.live_engine import unload_version
from metier.iterate.registry import WORK, Registry
from metier.iterate.training_set import (
    VERDICT,
    IterationSettings,
    IterationStart,
    TrainingSet,
    discard,
    read_note,
    recipe_of,
    start_or_resume,
    training_set_of,
)
from metier.iterate.version import Version, subtract_ranges
from metier.runtime.engine import Engine

CANDIDATE = "candidate"
"""Name in the engine of weights that are being measured: no user gets them under this name."""

Outcome = Literal["promoted", "canary", "rejected", "waiting", "too few", "on trial"]


class Iteration(Data):
    """The result of an iteration."""

    outcome: Outcome
    version: str | None
    """The challenger's version, or the one on trial; None where the challenger was not kept."""
    champion: str
    """The champion after the iteration."""
    why: str
    feedback: FeedbackData
    replayed: int = 0
    comparison: Comparison | None = None
    verdict: GateVerdict | None = None
    resumed: str | None = None
    """What an interrupted iteration with other settings contributed; None where there was none."""


class _Measured(Data):
    comparison: Comparison
    verdict: GateVerdict


def run_iteration(
    registry: Registry,
    store: FeedbackStore,
    engine: Engine,
    *,
    settings: IterationSettings | None = None,
    checks: Sequence[Check] = (),
    base: LocalBase | None = None,
    progress: Callable[..., None] | None = None,
) -> Iteration:
    """Run one iteration, or resume the one that was interrupted.

    A challenger that passes the gate becomes the champion, or gets its share of the users. One that is worse for sure
    is stored, and its feedback is rejected until it is reinstated, except events that an earlier iteration has cleared.
    One that is not proved either way is not stored, and its feedback waits for more. While a challenger is on trial no
    iteration runs: it would start from a champion that lacks the challenger's feedback. After a trial is withdrawn or a
    champion rolled back, the feedback of those versions counts as new again, and waits for more.

    Args:
        registry: of the task.
        store: its feedback.
        engine: running, of a bundle with slots of the same base, or for a head with that base as a trunk; it may serve
            users meanwhile.
        settings: of the training and the gate.
        checks: the trade's, which the gate uses.
        base: a local base; None resolves the champion's.
        progress: called as `progress(step, done, total)`.

    Raises:
        UsageError: another process runs an iteration, the registry uses another store, or the engine's bundle has no
            slots, or no trunk for a head.
    """
    report = progress or (lambda *_, **__: None)
    with registry.iteration_lock():
        registry.bind_store(store)
        remove_events(registry, store.erased_numbers())
        try:
            return _Run(registry, store, engine, settings or IterationSettings(), tuple(checks), base, report).run()
        finally:
            make_private(registry.folder)


@dataclass
class _Run:
    """The steps of one iteration; the caller holds the iteration lock."""

    registry: Registry
    store: FeedbackStore
    engine: Engine
    settings: IterationSettings
    checks: Sequence[Check]
    base: LocalBase | None
    report: Callable[..., None]

    @property
    def work(self) -> Path:
        return self.registry.folder / WORK

    def run(self) -> Iteration:
        state = self.registry.state()
        if state.challenger is not None:
            return Iteration(
                outcome="on trial",
                version=state.challenger,
                champion=state.champion,
                why=f"{state.challenger} is on trial: promote or withdraw it, then run the iteration",
                feedback=collect_feedback(self.registry.task, ()),
            )
        self._check_layers(self.registry.finetune(state.champion))
        start = start_or_resume(self.registry, self.store, self.settings, self.work)
        if start.resumed is not None:
            self.report(f"resuming: {start.resumed}")
        result = Iteration(
            outcome="waiting",
            version=None,
            champion=start.parent,
            why="",
            feedback=start.feedback,
            resumed=start.resumed,
        )
        if (count := len(start.feedback.samples)) < self.settings.min_samples:
            why = f"{count} new samples, fewer than {self.settings.min_samples}"
            return result.model_copy(update={"outcome": "too few", "why": why})
        champion = self.registry.finetune(start.parent)
        training_set = training_set_of(self.registry, start, champion)
        left_out = (*start.feedback.left_out, *training_set.overruled)
        result = result.model_copy(update={"feedback": start.feedback.model_copy(update={"left_out": left_out})})
        if (version := self._withdrawn_twin(champion, start, training_set)) is not None:
            discard(self.work)
            why = f"{version} was trained on the same feedback, and withdrawn from its users"
            return result.model_copy(update={"version": version, "why": why, "resumed": None})
        base = self.base or resolve(champion.card.base.id, revision=champion.card.base.revision)
        challenger = self._train(champion, training_set.train, start.settings, base)
        measured = self._measure(champion, challenger, start, base)
        result = result.model_copy(
            update={
                "why": measured.verdict.why,
                "replayed": training_set.replayed,
                "comparison": measured.comparison,
                "verdict": measured.verdict,
            }
        )
        return self._apply(measured.verdict, start, challenger, training_set, result)

    def _check_layers(self, champion: FineTune) -> None:
        """Raise UsageError where the engine cannot load the trained layers, before it discards an earlier run."""
        graph = self.engine.bundle.manifest.graph
        if graph is not None and method_of(champion.card.recipe).continues:
            check_continues(champion, recipe_of(champion, self.settings), graph.layers)

    def _withdrawn_twin(self, champion: FineTune, start: IterationStart, training_set: TrainingSet) -> str | None:
        """A version that users had before and that this iteration would train again."""
        state = self.registry.state()
        wanted = start.parent, recipe_of(champion, start.settings), samples_sha256(training_set.train)
        used = {entry.version for entry in state.history if entry.action in ("canary", "promoted")} - {state.champion}
        for name in sorted(name for name in used if name):
            card = FineTune.packaged(self.registry.path(name)).card
            if (self.registry.version(name).parent, card.recipe, card.data.sha256) == wanted:
                return name
        return None

    def _train(self, champion: FineTune, train: list[Sample], settings: IterationSettings, base: LocalBase) -> FineTune:
        out = self.work / "run"
        if (out / CARD).is_file() and FineTune.packaged(out).card.data.sha256 == samples_sha256(train):
            return load_finetune(out, produces=None)
        self.report("loading the base")

        def on_step(step: Any) -> None:
            self.report("adapting", step.step, step.steps, loss=step.loss)

        task, recipe = champion.card.tasks[0], recipe_of(champion, settings)
        from metier.adapt.fine_tuning import adapt

        # Without held-out data: otherwise the best step would be chosen on the data that the gate judges by.
        start = champion if method_of(recipe).continues else None
        return adapt(task, train, [], recipe, out, base=base, start=start, progress=on_step)

    def _measure(self, champion: FineTune, challenger: FineTune, start: IterationStart, base: LocalBase) -> _Measured:
        if (known := read_note(self.work / VERDICT, _Measured)) is not None:
            return known.model_copy(update={"verdict": judge(known.comparison, start.settings.gate)})
        registry = self.registry
        bench = Judge(
            self.engine,
            registry.task,
            registry.held_out(),
            base,
            checks=self.checks,
            cache=registry.folder / "measured",
        )
        adapters = registry.adapter(start.parent), registry.adapter(CANDIDATE)
        try:
            before = bench.measure(champion, adapters[0], self.report)
            after = bench.measure(challenger, adapters[1], self.report)
            self.report("comparing")
            comparison = bench.compare(before, after, adapters, seed=start.settings.seed)
        finally:
            unload_version(self.engine, adapters[1])
        measured = _Measured(comparison=comparison, verdict=judge(comparison, start.settings.gate))
        write_atomic(self.work / VERDICT, measured.model_dump_json())
        return measured

    def _apply(
        self,
        verdict: GateVerdict,
        start: IterationStart,
        challenger: FineTune,
        training_set: TrainingSet,
        result: Iteration,
    ) -> Iteration:
        """Store the challenger and change the state as the verdict says."""
        registry, parent = self.registry, self.registry.version(start.parent)
        until = max(parent.until, start.feedback.until)
        if verdict.result == "unproved":
            registry.clear(until)
            return result  # the work stays: the same iteration without new feedback returns the same result
        if (now := registry.state().champion) != start.parent:
            why = f"{now} became champion meanwhile, in place of {start.parent}: the next iteration starts from it"
            return result.model_copy(update={"champion": now, "why": why})
        new = subtract_ranges(parent.untrained(until), start.rejected)
        version = self._already_added(challenger, start, verdict) or registry.add(
            challenger,
            training_set.pool,
            parent=start.parent,
            until=until,
            skipped=subtract_ranges(parent.untrained(until), new),
            new_samples=len(start.feedback.samples),
            replayed=training_set.replayed,
            verdict=verdict.model_dump(mode="json"),
        )
        result = result.model_copy(update={"version": version.name})
        outcome: Outcome = "rejected"
        if verdict.result == "failed":
            # Events that an earlier iteration cleared are not rejected with the rest.
            harmful = subtract_ranges(new, [(1, registry.state().cleared)])
            registry.reject(version.name, verdict.why, harmful)
            if not harmful:
                why = f"{verdict.why}; no feedback is rejected: an earlier iteration cleared all of it"
                # The work stays here too: another iteration would have the same result.
                return result.model_copy(update={"outcome": outcome, "why": why})
        elif start.settings.share:
            outcome = "canary"
            registry.canary(version.name, start.settings.share, verdict.why, over=start.parent)
        else:
            outcome = "promoted"
            registry.promote(version.name, verdict.why, over=start.parent)
        discard(self.work)
        return result.model_copy(update={"outcome": outcome, "champion": registry.state().champion})

    def _already_added(self, challenger: FineTune, start: IterationStart, verdict: GateVerdict) -> Version | None:
        """The version that this iteration had added before it was interrupted."""
        last = self.registry.names()[-1]
        known = self.registry.version(last)
        same_card = (self.registry.path(last) / CARD).read_bytes() == (challenger.path / CARD).read_bytes()
        same_verdict = (known.parent, known.verdict) == (start.parent, verdict.model_dump(mode="json"))
        return known if same_card and same_verdict else None
