"""Quality against the number of samples: a power law with its uncertainty, and its predictions for more samples.

The held-out loss of a fine-tuned model falls as `floor + gap · n^-rate` in its samples n (Hestness et al., arXiv
1712.00409; for fine-tuning Hernandez et al., arXiv 2102.01293). With three to five sizes and a few seeds the
fit is loose: every prediction has an interval, and none goes far beyond the measured sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metier.contracts import Recipe, Sample, TaskContract, UsageError
from metier.contracts.schema import Data
from metier.data.split import select
from metier.disk import write_atomic
from metier.metrics.results import Interval

Array = NDArray[np.float64]

RATES = np.geomspace(0.05, 2.0, 60)
"""Exponents that are tried. Published ones lie between 0.07 and 0.5; above 1 a curve is flat after a few samples."""

REACH = 20
"""Predictions go up to this multiple of the largest measured size."""

RESAMPLES = 400


class Point(Data):
    """One run: the number of samples, the seed and the held-out loss."""

    samples: int = Field(ge=1)
    seed: int
    loss: float
    """Nats per reply token, or per label of a head; lower is better."""


class _Law(NamedTuple):
    floor: float
    gap: float
    rate: float

    def at(self, samples: float) -> float:
        return float(self.floor + self.gap * samples**-self.rate)

    def samples_for(self, loss: float) -> float:
        """Samples at which the curve falls to `loss`; infinite where it never does."""
        if loss <= self.floor or self.gap <= 0:
            return math.inf
        return float(((loss - self.floor) / self.gap) ** (-1 / self.rate))


class Curve(Data):
    """`loss(n) = floor + gap · n^-rate`, and the same law for resampled runs."""

    points: tuple[Point, ...]
    law: tuple[float, float, float]
    """floor, gap, rate."""
    resampled: tuple[tuple[float, float, float], ...]
    """Laws of bootstrap samples of the runs, resampled within each size."""

    @property
    def farthest(self) -> int:
        """Largest number of samples that is predicted."""
        return REACH * max(point.samples for point in self.points)

    def loss(self, samples: float) -> Interval:
        """The loss at a number of samples, with its 95% interval."""
        every = [_Law(*law).at(samples) for law in self.resampled]
        value = _Law(*self.law).at(samples)
        low, high = np.quantile(every, [0.025, 0.975])
        return Interval(value=value, low=min(float(low), value), high=max(float(high), value))

    def more_for(self, samples: int, gain: float) -> tuple[int | None, int | None, int | None]:
        """How many more samples reduce the loss by `gain`: (estimate, fewest, most) with a 95% interval.

        None means more than `farthest`, or never.
        """
        totals = [
            law.samples_for(law.at(samples) - gain)
            for law in (_Law(*self.law), *(_Law(*law) for law in self.resampled))
        ]
        low, high = np.quantile(np.minimum(totals[1:], 10.0 * self.farthest), [0.025, 0.975])

        def more(count: float) -> int | None:
            return max(1, math.ceil(count) - samples) if count <= self.farthest else None

        return more(totals[0]), more(float(low)), more(float(high))


def fit(points: Sequence[Point], seed: int = 0) -> Curve:
    """The power law of some runs.

    Args:
        points: at least three sizes, each with several seeds for a meaningful interval.
        seed: of the bootstrap.

    Raises:
        UsageError: fewer than three sizes.
    """
    sizes = sorted({point.samples for point in points})
    if len(sizes) < 3:
        raise UsageError(f"a curve needs three sizes, not {len(sizes)}", remedy="give more --sizes")
    groups = [[p.loss for p in points if p.samples == size] for size in sizes]
    rng = np.random.default_rng(seed)
    spread = _spread(groups)

    def drawn(losses: list[float]) -> list[float]:
        # A size with one seed has no scatter of its own: it takes that of the other sizes.
        again = rng.choice(losses, len(losses))
        return list(again if len(losses) > 1 else again + rng.normal(0, spread, len(losses)))

    resampled = [_fit(sizes, [drawn(losses) for losses in groups]) for _ in range(RESAMPLES)]
    return Curve(points=tuple(points), law=_fit(sizes, groups), resampled=tuple(resampled))


def measure(
    task: TaskContract,
    train: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Recipe,
    sizes: Sequence[int],
    seeds: int,
    folder: Path,
    *,
    base: Any = None,
    progress: Callable[..., None] | None = None,
) -> list[Point]:
    """Adapt the base with more and more samples and measure the held-out loss of each run.

    A run whose result is in `folder` is not repeated, so that an interruption costs at most one run.

    Args:
        task: the contract.
        train: samples to draw from; a smaller draw of a seed is part of its larger ones.
        held_out: samples that the loss is measured on.
        recipe: of each run, except the seed.
        sizes: numbers of samples.
        seeds: runs of each size, each with its own draw.
        folder: where points are stored; runs are removed after measuring.
        base: a local base; None resolves the recipe's.
        progress: called as `progress(step, done, total)`.

    Raises:
        UsageError: a size is larger than `train`.
    """
    import shutil

    from metier.bases.resolve import resolve

    if max(sizes) > len(train):
        raise UsageError(f"there are {len(train)} samples, not {max(sizes)}", remedy="give smaller --sizes")
    report = progress or (lambda *_, **__: None)
    base = base or resolve(recipe.base)
    points = []
    for done, (size, seed) in enumerate((size, seed) for size in sorted(sizes) for seed in range(seeds)):
        report(f"run of {size} samples, seed {seed}", done, len(sizes) * seeds)
        seeded = recipe.model_copy(update={"seed": seed})
        file = folder / f"{_key(task, train, held_out, seeded, size, base)}.json"
        if not file.is_file():
            run = file.with_suffix("")
            loss = _run(task, select(train, size, seed), held_out, seeded, run, base)
            write_atomic(file, Point(samples=size, seed=seed, loss=loss).model_dump_json())
            shutil.rmtree(run)
        points.append(Point.model_validate_json(file.read_bytes()))
    return points


def _run(
    task: TaskContract, train: Sequence[Sample], held_out: Sequence[Sample], recipe: Recipe, run: Path, base: Any
) -> float:
    """Adapt and return the held-out loss; held-out samples do not influence the training."""
    from metier.adapt.fine_tuning import adapt
    from metier.adapt.methods import method_of
    from metier.iterate.judge import likelihoods_of

    if not method_of(recipe).generates:  # held-out samples of a head choose nothing
        return adapt(task, train, held_out, recipe, run, base=base).card.training["held_out_loss"]
    measured = likelihoods_of(adapt(task, train, [], recipe, run, base=base), task, held_out, base)
    return float(sum(measured["nats"]) / sum(measured["tokens"]))


def _fit(sizes: Sequence[int], groups: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Least squares over all runs: for each rate, floor and gap are linear; a negative gap is set to zero."""
    n = np.concatenate([np.full(len(losses), float(size)) for size, losses in zip(sizes, groups, strict=True)])
    y = np.concatenate([np.asarray(losses, dtype=np.float64) for losses in groups])
    x = n[None, :] ** -RATES[:, None]  # [rates, runs]
    mean = x.mean(1, keepdims=True)
    gap = np.maximum(0.0, ((x - mean) * (y - y.mean())).sum(1) / ((x - mean) ** 2).sum(1))
    floor = np.maximum(0.0, y.mean() - gap * mean[:, 0])  # no loss is below zero
    gap = np.where(floor > 0, gap, np.maximum(0.0, (x * y).sum(1) / (x * x).sum(1)))
    error = ((floor[:, None] + gap[:, None] * x - y) ** 2).sum(1)
    best = int(error.argmin())
    return float(floor[best]), float(gap[best]), float(RATES[best])


def _spread(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation of a run within its size."""
    scatter = [np.var(losses, ddof=1) for losses in groups if len(losses) > 1]
    return float(np.sqrt(np.mean(scatter))) if scatter else 0.0


def _key(
    task: TaskContract, train: Sequence[Sample], held_out: Sequence[Sample], recipe: Recipe, size: int, base: Any
) -> str:
    import hashlib

    from metier.contracts import samples_sha256
    from metier.iterate.judge import MEASURING

    settings = task.model_dump_json(), recipe.model_dump_json(), str(base.sha256)
    parts = [MEASURING, *settings, samples_sha256(train), samples_sha256(held_out), str(size)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]
