"""The most likely tokens of a row of logits, found where the logits are, so that only they need to be copied.

A decision from these candidates equals the decision from all logits, or none is made. It knows nothing about sessions
or devices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
Weights = npt.NDArray[np.float64]

CANDIDATES = 64
"""Candidates of a row: enough for greedy, a usual top-k, and nearly every top-p of a confident model."""

GROUPS = 4
"""Groups of tokens for each candidate to be found."""

MARGIN = 1e-5
"""Largest relative error of the sum over a row, of float32 exponentials: 20 times float32's own."""


@dataclass(frozen=True)
class Candidates:
    """The best K tokens of one row; every other token's logit is at most the last one's."""

    ids: Ids
    """[K]"""
    values: Logits
    """[K], falling."""
    mass: float
    """Sum of exp((logit - values[0]) / temperature) over the whole row."""
    temperature: float = 1.0
    every: bool = False
    """Whether these are all tokens of the vocabulary."""

    def ranked(self, values: Logits) -> tuple[Ids, Logits]:
        """(ids, values), best first and the lower id first among equals, as far as no other token can rank among them.

        `values` are these candidates' logits after edits that only lower logits, such as a mask.
        """
        certain = values > (-np.inf if self.every else self.values[-1])
        ids, kept = self.ids[certain], values[certain]
        order = np.lexsort((ids, -kept))
        return ids[order], kept[order]

    def bounds(self, values: Logits, top: float) -> tuple[float, float]:
        """Bounds of the sum of exp((logit - top) / temperature) over all edited logits."""
        weights = weights_of(self.values, self.values[0], self.temperature).sum()
        # Beyond 700 float64 overflows; then the margin alone is so wide that nothing is decided.
        scale = float(np.exp(min((float(self.values[0]) - top) / self.temperature, 700.0)))
        beside, margin = 0.0 if self.every else (self.mass - weights) * scale, MARGIN * self.mass * scale
        edited = weights_of(values, top, self.temperature).sum()
        unedited = values is self.values  # else the others may have been lowered, too, down to -inf
        return edited + max(beside - margin, 0.0) * unedited, edited + max(beside, 0.0) + margin


@dataclass(frozen=True)
class TokenScores:
    """Logits of one row after a step: the candidates, if a device found them, and a function that returns all."""

    full: Callable[[], Logits]
    """Logits of the row, [vocab_size]; a copy of one row where they are on a device."""
    candidates: Candidates | None = None

    def log_probability(self, token: int) -> float:
        """Log-probability of a token in nats, before temperature and cuts."""
        few = self.candidates
        if few is not None and few.temperature == 1 and len(places := np.flatnonzero(few.ids == token)):
            return float(few.values[places[0]] - few.values[0] - np.log(few.mass))
        logits = self.full()
        top = logits.max()
        return float(logits[token] - top - np.log(np.exp(logits - top).sum()))

    def likeliest(self, count: int) -> list[tuple[int, float]]:
        """(token, log-probability in nats) of the likeliest tokens, before temperature and cuts."""
        few = best_of(self.full(), count, 1.0)
        values = few.values - few.values[0] - np.log(few.mass)
        return [(int(token), float(value)) for token, value in zip(few.ids, values, strict=True)]


def weights_of(values: Logits, top: float, temperature: float) -> Weights:
    """exp((logit - top) / temperature), in the sampler's own order of operations."""
    scaled = values.astype(np.float64) / temperature
    return np.asarray(np.exp(scaled - np.float64(top) / temperature), np.float64)


def best_of(logits: Logits, count: int, temperature: float) -> Candidates:
    """The candidates of a row in host memory, [vocab_size]."""
    count = min(count, len(logits))
    kept = np.flatnonzero(logits >= _threshold(logits, count))
    if len(kept) > GROUPS * count:
        kept = kept[logits[kept] >= np.partition(logits[kept], -count)[-count]]
    ids = kept[np.argsort(-logits[kept], kind="stable")][:count]
    mass = float(np.exp((logits - logits[ids[0]]) / temperature).sum(dtype=np.float64))
    return Candidates(ids, logits[ids], mass, temperature, every=count == len(logits))


def _threshold(logits: Logits, count: int) -> np.float32:
    """A logit that at least `count` tokens reach, and rarely many more: the maxima of as many groups do. Partitioning
    the whole row would take three times as long as the rest of drawing a token."""
    groups = GROUPS * count
    if len(logits) < 2 * groups:
        return np.float32(np.partition(logits, -count)[-count])
    best = logits[: len(logits) - len(logits) % groups].reshape(-1, groups).max(0)
    return np.float32(np.partition(best, -count)[-count])
