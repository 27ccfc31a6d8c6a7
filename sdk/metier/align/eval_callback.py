"""What a model in training answers to held-out inputs, asked of the ONNX engine with the LoRA of that moment.

A loss says how likely the references are; answers say what a user would read.
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
from metier.contracts import Check, FineTune, RequestError, Sample, TaskContract, UsageError, Vertical
from metier.decoding.generation import Request
from metier.evaluate.systems import report_answer
from metier.metrics.cases import Case, cases_of
from metier.metrics.measures import Measure
from metier.metrics.selection import choose_measures
from metier.runtime.bundle import Bundle
from metier.runtime.engine import Engine
from metier.runtime.input_bridges import skip_input_bridges


class Watched(NamedTuple):
    """A task, what is asked of it, and what is measured of the answers."""

    task: TaskContract
    cases: list[Case]
    requests: list[Request]
    checks: tuple[Check, ...]
    measures: list[Measure]


def watch_for(
    begin: FineTune,
    held_out: Sequence[Sample],
    vertical: Vertical | None,
    inputs: int,
    tasks: Sequence[TaskContract] = (),
) -> Watch:
    """A watch over a fine-tune that goes on, with its trade's checks.

    Args:
        begin: the fine-tune, of which base and tasks are taken.
        held_out: what it is measured on.
        vertical: whose checks; None where the plugin is not installed.
        inputs: distinct inputs of each task.
        tasks: which of its tasks; all where none is given.

    Raises:
        UsageError, RequestError, ExportError: as `Watch`. BaseError: as resolving the base.
    """
    checks: Callable[[str], Sequence[Check]] = vertical.checks_for if vertical else lambda task: ()
    return Watch(base_of(begin), tasks or begin.card.tasks, held_out, checks, inputs=inputs)


class Watch:
    """Call it with a PEFT model: figures of its greedy answers, under the contract's grammar. A context manager.

    Weights are read where they stand, a copy of the LoRA a call. The base's graph is exported once, and cached.
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
        """Begin to watch.

        Args:
            base: what the model in training stands on.
            tasks: contracts of the samples; those without any are passed over.
            held_out: samples that are not learnt from. Several outputs of one input are its references.
            checks: a trade's checks of a task, such as `vertical.checks_for`.
            inputs: distinct inputs of each task that are asked, the first ones.
            rows: answers decoded together.
            threads: CPU threads; None takes as many as torch does, which rests meanwhile.
            bundle: the base's graph from `rollout_bundle`; None makes or finds it.

        Raises:
            UsageError: none of the samples is of these tasks.
            RequestError: a prompt and its reply do not fit the base.
            ExportError: the graph cannot be built.
        """
        import torch

        own = {task.name: (task, [s for s in held_out if s.task == task.name]) for task in tasks}
        found = [(task, cases_of(task, samples)[:inputs]) for task, samples in own.values() if samples]
        if not found:
            raise UsageError("there are no held-out samples to watch", remedy="keep some apart, or do not watch")
        graph = bundle or rollout_bundle(base)
        manifest = graph.manifest.model_copy(update={"tasks": tuple(task for task, _ in found)})
        self._engine = Engine(
            replace(graph, manifest=manifest),
            device="cpu",
            rows=rows,
            threads=threads or torch.get_num_threads(),
            queue=1 << 16,
        )
        self.watched: list[Watched] = []
        for task, cases in found:
            requests = [self._request(task, case) for case in cases]
            rules = tuple(checks(task.name))
            self.watched.append(Watched(task, cases, requests, rules, choose_measures(task, checks=rules)))

    def __call__(self, adapted: Any) -> dict[str, float]:
        """Figures of the model as it is now, by the measure's name; with several tasks, behind the task's."""
        self._engine.load_adapter(POLICY, *live_lora(adapted))
        asked = [[self._engine.submit(request, wait=None) for request in one.requests] for one in self.watched]
        figures: dict[str, float] = {}
        for one, generations in zip(self.watched, asked, strict=True):
            answers = [
                report_answer(
                    one.task, one.checks, case.input, made.result(), len(made.ids), made.finish_reason != "length"
                )
                for case, made in zip(one.cases, generations, strict=True)
            ]
            once = np.ones((1, len(answers)), dtype=np.int64)
            for measure in one.measures:
                name = measure.name if len(self.watched) == 1 else f"{one.task.name}.{measure.name}"
                figures[name] = float(measure.scores(one.cases, answers, once)[0])
        return figures

    def _request(self, task: TaskContract, case: Case) -> Request:
        made = self._engine.request(
            task.name, skip_input_bridges(task, case.input), language=case.language, adapter=POLICY
        )
        if len(made.ids) + made.max_tokens > self._engine.max_len:
            raise RequestError(
                f"the prompt's {len(made.ids)} tokens leave no room for a reply within {self._engine.max_len}",
                where=case.place,
                remedy="shorten the input, or do not watch",
            )
        return made

    def close(self) -> None:
        """Stop the engine."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
