"""How well a reward model is calibrated: accuracy, calibration error and Brier score over pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metier.contracts.alignment import PairFigures

BINS = 10
"""Of equal width over confidences from a half to one."""


def pair_figures(margins: Sequence[float]) -> PairFigures:
    """Figures of held-out pairs.

    In the Bradley-Terry model a margin of rewards m means that the chosen answer is better with probability σ(m). The
    prediction is the answer with the higher reward, its confidence σ(|m|).

    Args:
        margins: reward of the chosen minus reward of the rejected answer, one a pair, at least one.
    """
    m = np.asarray(margins, np.float64)
    right = (m > 0) + 0.5 * (m == 0)  # a tie is half right
    confidence = 1 / (1 + np.exp(-np.abs(m)))
    bins = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    error = sum(
        abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)
    )
    return PairFigures(
        pairs=len(m),
        accuracy=float(right.mean()),
        ece=float(error),
        brier=float(((1 - 1 / (1 + np.exp(-m))) ** 2).mean()),
        margin=float(m.mean()),
    )
