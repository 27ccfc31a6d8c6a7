"""Evaluates a model in training: answers to held-out inputs from the ONNX engine with the current LoRA weights.

A loss measures how likely the references are; answers show what a user would read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from metier.align.policy_init import base_of
from metier.align.rollout import POLICY, live_lora, rollout_bundle
from metier.bases.resolve import LocalBase
from metier.contracts import Check, FineTune, Recipe, RequestError, Sample, TaskContract, UsageError, Vertical
from metier.decoding.generation import Request
from metier.evaluate.systems import report_answer
from metier.metrics.cases import Case, cases_of
from metier.metrics.measures import Measure
from metier.metrics.selection import choose_measures
from metier.runtime.bundle import Bundle
from metier.runtime.engine import Engine
from metier.runtime.input_bridges import skip_input_bridges
from metier.training import schedule


class TaskEvaluation(NamedTuple):
    """A task with its requests, and the measures of the answers."""

    task: TaskContract
    cases: list[Case]
    requests: list[Request]
    checks: tuple[Check, ...]
    measures: list[Measure]


def evaluation_steps(steps: int) -> frozenset[int]:
    """Numbers of finished steps, or updates, after which an alignment is evaluated: as many as a recipe has by default,
    evenly spaced, the last step included."""
    return schedule.evaluation_steps(Recipe(), steps)


def eval_callback_for(
    begin: FineTune,
    held_out: Sequence[Sample],
    vertical: Vertical | None,
    inputs: int,
    tasks: Sequence[TaskContract] = (),
) -> EvalCallback:
    """An evaluation callback for a fine-tune that is trained further, with its trade's checks.

    Args:
        begin: the fine-tune; its base and tasks are used.
        held_out: samples to measure on.
        vertical: its checks are used; None where the plugin is not installed.
        inputs: distinct inputs of each task.
        tasks: of the fine-tune; by default all.

    Raises:
        UsageError, RequestError, ExportError: as `EvalCallback`. BaseError: as resolving the base.
    """
    checks: Callable[[str], Sequence[Check]] = vertical.checks_for if vertical else lambda task: ()
    return EvalCallback(base_of(begin), tasks or begin.card.tasks, held_out, checks, inputs=inputs)


class EvalCallback:
    """Called with a PEFT model, it measures the greedy answers under the contract's grammar. A context manager.

    A call copies the LoRA weights from their device. The base's graph is exported once, and cached.
    """

    def __init__(
        self,
        base: LocalBase,
        tasks: Iterable[TaskContract],
        held_out: Sequence[Sample],
        checks: Callable[[str], Sequence[Check]] = lambda task: (),
        *,
        inputs: int = 16,
        rows: int = 16,
        threads: int | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        """Open an engine on the base's graph.

        Args:
            base: of the model in training.
            tasks: contracts of the samples; tasks without samples are skipped.
            held_out: samples that are not trained on. Several outputs of one input are its references.
            checks: a trade's checks of a task, such as `vertical.checks_for`.
            inputs: number of distinct inputs of each task, the first ones.
            rows: answers decoded together.
            threads: CPU threads; None takes as many as torch, which is idle meanwhile.
            bundle: the base's graph from `rollout_bundle`; None exports it or takes it from the cache.

        Raises:
            UsageError: no sample belongs to these tasks.
            RequestError: a prompt and its reply do not fit the base's context.
            ExportError: the graph cannot be built.
        """
        import torch

        own = {task.name: (task, [s for s in held_out if s.task == task.name]) for task in tasks}
        measured = [(task, cases_of(task, samples)[:inputs]) for task, samples in own.values() if samples]
        if not measured:
            raise UsageError(
                "there are no held-out samples to evaluate on", remedy="hold some out, or train without --watch"
            )
        graph = bundle or rollout_bundle(base)
        manifest = graph.manifest.model_copy(update={"tasks": tuple(task for task, _ in measured)})
        self._engine = Engine(
            replace(graph, manifest=manifest),
            device="cpu",
            rows=rows,
            threads=threads or torch.get_num_threads(),
            queue=1 << 16,
        )
        self.evaluations: list[TaskEvaluation] = []
        try:
            for task, cases in measured:
                requests = [self._request(task, case) for case in cases]
                rules = tuple(checks(task.name))
                measures = choose_measures(task, checks=rules)
                self.evaluations.append(TaskEvaluation(task, cases, requests, rules, measures))
        except BaseException:  # such as a prompt that does not fit
            self._engine.close()
            raise

    def __call__(self, adapted: Any) -> dict[str, float]:
        """Measure → value for the present model; with several tasks the keys are `task.measure`."""
        self._engine.load_adapter(POLICY, *live_lora(adapted))
        running = [[self._engine.submit(request, wait=None) for request in one.requests] for one in self.evaluations]
        figures: dict[str, float] = {}
        for one, generations in zip(self.evaluations, running, strict=True):
            answers = [
                report_answer(
                    one.task,
                    one.checks,
                    case.input,
                    generation.result(),
                    len(generation.ids),
                    generation.finish_reason != "length",
                )
                for case, generation in zip(one.cases, generations, strict=True)
            ]
            once = np.ones((1, len(answers)), dtype=np.int64)
            for measure in one.measures:
                name = measure.name if len(self.evaluations) == 1 else f"{one.task.name}.{measure.name}"
                figures[name] = float(measure.scores(one.cases, answers, once)[0])
        return figures

    def _request(self, task: TaskContract, case: Case) -> Request:
        request = self._engine.request(
            task.name, skip_input_bridges(task, case.input), language=case.language, adapter=POLICY
        )
        if len(request.ids) + request.max_tokens > self._engine.max_len:
            raise RequestError(
                f"the prompt's {len(request.ids)} tokens leave no room for a reply within {self._engine.max_len}",
                where=case.place,
                remedy="shorten the input, or train without --watch",
            )
        return request

    def close(self) -> None:
        """Stop the engine."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
