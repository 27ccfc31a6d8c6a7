"""Bootstrap intervals over held-out inputs: samples are few, so every figure has an interval.

It knows scores of resamples only. Percentile bootstrap after Efron (1979); pairs of systems are compared on the
same resamples after Koehn (2004), https://aclanthology.org/W04-3250.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.metrics.results import Interval

Array = NDArray[np.float64]
Weights = NDArray[np.int64]


def resample_weights(inputs: int, resamples: int, seed: int) -> Weights:
    """How often each input is drawn: `[1 + resamples, inputs]`, the first row is the inputs themselves.

    All metrics and systems use the same draws, which is what makes differences paired.
    """
    drawn = np.random.default_rng(seed).multinomial(inputs, np.full(inputs, 1 / inputs), size=resamples)
    return np.concatenate([np.ones((1, inputs), dtype=np.int64), drawn.astype(np.int64)])


def interval(scores: Array, confidence: float = 0.95) -> Interval:
    """The figure `scores[0]` with the percentile interval of the resamples `scores[1:]`.

    The percentiles of a skewed statistic may exclude the figure itself; the interval is then widened to it.
    """
    value = float(scores[0])
    if len(scores) == 1:
        return Interval(value=value, low=value, high=value)
    tail = (1 - confidence) / 2
    low, high = np.quantile(scores[1:], [tail, 1 - tail])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def share_better(scores: Array, against: Array, higher_is_better: bool) -> float:
    """Share of resamples in which `scores` is strictly better."""
    difference: Any = (scores - against)[1:] if higher_is_better else (against - scores)[1:]
    return float(np.mean(difference > 0)) if len(difference) else 0.0
