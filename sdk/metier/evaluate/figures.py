"""Computes metrics of answers: each measure of each system with its interval, and each pair of systems compared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from metier.contracts import Check, TaskContract
from metier.evaluate.systems import SystemAnswers, report_answer
from metier.metrics.bootstrap import Weights, interval, share_better
from metier.metrics.cases import Case
from metier.metrics.measures import Measure
from metier.metrics.results import Difference, MetricReport, ReportedAnswer


def measured(
    measure: Measure,
    cases: Sequence[Case],
    systems: Sequence[SystemAnswers],
    references: Sequence[ReportedAnswer],
    weights: Weights,
    confidence: float,
) -> MetricReport:
    """One measure over all systems.

    Args:
        measure: the metric.
        cases: the inputs.
        systems: their answers; each later one is compared with each earlier one.
        references: the first reference of each case as if it were an answer, for checks.
        weights: `[1 + resamples, inputs]`, of `resample_weights`.
        confidence: of the intervals.
    """
    scores = {s.report.name: measure.scores(cases, s.answers, weights) for s in systems}
    return MetricReport(
        name=measure.name,
        title=measure.title,
        kind=measure.kind,
        higher_is_better=measure.higher_is_better,
        unit=measure.unit,
        signature=measure.signature(cases) if measure.signature else None,
        values={name: interval(figures, confidence) for name, figures in scores.items()},
        references=_expected(measure, cases, references),
        differences=tuple(
            Difference(
                system=later,
                against=earlier,
                interval=interval(scores[later] - scores[earlier], confidence),
                better=share_better(scores[later], scores[earlier], measure.higher_is_better),
            )
            for earlier, later in combinations(scores, 2)
        ),
    )


def reference_answers(task: TaskContract, cases: Sequence[Case], checks: Sequence[Check]) -> list[ReportedAnswer]:
    """Each case's first reference as an answer."""
    return [report_answer(task, checks, case.input, case.reference_texts[0]) for case in cases]


def _expected(measure: Measure, cases: Sequence[Case], references: Sequence[ReportedAnswer]) -> float | None:
    if measure.kind != "check":
        return None
    once = np.ones((1, len(cases)), dtype=np.int64)
    return float(measure.scores(cases, references, once)[0])
