"""A measure: a metric as sums over inputs, so that a thousand resamples cost one matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metier.metrics.bootstrap import Array, Weights
from metier.metrics.cases import Case
from metier.metrics.results import ReportedAnswer
from metier.plugins.metric import Metric

Scorer = Callable[[Sequence[Case], Sequence[ReportedAnswer], Weights], Array]
"""Cases, their answers, weights `[resamples, inputs]` → scores `[resamples]`."""


Statistics = Callable[[Sequence[Case], Sequence[ReportedAnswer]], Array]
"""Cases and their answers → statistics per input, `[inputs, k]`, whose sums give the score."""


@dataclass(frozen=True)
class Measure:
    """A named figure of a system's answers."""

    name: str
    title: str
    scores: Scorer
    higher_is_better: bool = True
    unit: Literal["points", "percent", "count"] = "percent"
    kind: Literal["task", "check"] = "task"
    signature: Callable[[Sequence[Case]], str] | None = None


def from_sums(statistics: Statistics, score: Callable[[Array], Array]) -> Scorer:
    """A scorer from per-input statistics `[inputs, k]` and a score of their sums `[..., k] → [...]`."""

    def scores(cases: Sequence[Case], answers: Sequence[ReportedAnswer], weights: Weights) -> Array:
        return score(weights.astype(np.float64) @ statistics(cases, answers))

    return scores


def mean_of(per_input: Callable[[Case, ReportedAnswer], float], scale: float = 1.0) -> Scorer:
    """A scorer that is the mean of one figure per input, times `scale`."""

    def statistics(cases: Sequence[Case], answers: Sequence[ReportedAnswer]) -> Array:
        figures = [(per_input(case, answer), 1.0) for case, answer in zip(cases, answers, strict=True)]
        return np.array(figures, dtype=np.float64)

    return from_sums(statistics, lambda sums: scale * sums[..., 0] / sums[..., 1])


def from_plugin(metric: Metric) -> Measure:
    """A plugin's metric. One that scores the corpus is computed again for every resample."""

    def scores(cases: Sequence[Case], answers: Sequence[ReportedAnswer], weights: Weights) -> Array:
        texts, references = [a.text for a in answers], [list(c.reference_texts) for c in cases]
        total = metric.score(texts, references)
        first = metric.compute(texts, references)
        if isinstance(first, Sequence):
            return np.asarray(weights @ np.array(first, dtype=np.float64) / weights.sum(axis=1))
        figures = [total]
        for drawn in weights[1:]:
            picked = np.repeat(np.arange(len(texts)), drawn).tolist()
            figures.append(metric.score([texts[i] for i in picked], [references[i] for i in picked]))
        return np.array(figures)

    return Measure(metric.name, metric.title or metric.name, scores, metric.higher_is_better, unit="points")
