"""Quality against the number of samples: a power law with its uncertainty, and what it says of samples not yet there.

The held-out loss of a fine-tuned model falls as `floor + gap · n^-rate` in its samples n (Hestness et al., arXiv
1712.00409; for fine-tuning Hernandez et al., arXiv 2102.01293). Where three to five sizes and a few seeds are all there
is, the fit is loose: every prediction comes with an interval, and none is made far beyond what was measured.
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
from metier.disk import write_whole
from metier.metrics.results import Interval

Array = NDArray[np.float64]

RATES = np.geomspace(0.05, 2.0, 60)
"""Exponents that are tried. Published ones lie between 0.07 and 0.5; above 1 a curve is flat after a few samples."""

REACH = 20
"""Times the largest measured size up to which anything is predicted."""

RESAMPLES = 400


class Point(Data):
    """One run: how many samples, which seed, and the held-out loss it came to."""

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
        """Samples at which the curve comes down to `loss`; infinite where it never does."""
        if loss <= self.floor or self.gap <= 0:
            return math.inf
        return float(((loss - self.floor) / self.gap) ** (-1 / self.rate))


class Curve(Data):
    """`loss(n) = floor + gap · n^-rate`, and the same of resampled runs."""

    points: tuple[Point, ...]
    law: tuple[float, float, float]
    """floor, gap, rate."""
    resampled: tuple[tuple[float, float, float], ...]
    """Laws of bootstrap samples of the runs, each size resampled within itself."""

    @property
    def farthest(self) -> int:
        """Largest number of samples that anything is said about."""
        return REACH * max(point.samples for point in self.points)

    def loss(self, samples: float) -> Interval:
        """The loss at a number of samples, with its 95% interval."""
        every = [_Law(*law).at(samples) for law in self.resampled]
        value = _Law(*self.law).at(samples)
        low, high = np.quantile(every, [0.025, 0.975])
        return Interval(value=value, low=min(float(low), value), high=max(float(high), value))

    def more_for(self, samples: int, gain: float) -> tuple[int | None, int | None, int | None]:
        """How many samples more bring the loss down by `gain`: best guess, and the interval's ends, the fewest first.

        None stands for more than can be said, or never.
        """
        found = [
            law.samples_for(law.at(samples) - gain)
            for law in (_Law(*self.law), *(_Law(*law) for law in self.resampled))
        ]
        low, high = np.quantile(np.minimum(found[1:], 10.0 * self.farthest), [0.025, 0.975])

        def more(count: float) -> int | None:
            return max(1, math.ceil(count) - samples) if count <= self.farthest else None

        return more(found[0]), more(float(low)), more(float(high))


def fit(points: Sequence[Point], seed: int = 0) -> Curve:
    """The power law of some runs.

    Args:
        points: at least three sizes; several seeds each make the interval mean something.
        seed: of the bootstrap.

    Raises:
        UsageError: fewer than three sizes.
    """
    sizes = sorted({point.samples for point in points})
    if len(sizes) < 3:
        raise UsageError(f"a curve needs three sizes, and there are {len(sizes)}", remedy="give more --sizes")
    groups = [[p.loss for p in points if p.samples == size] for size in sizes]
    rng = np.random.default_rng(seed)
    spread = _spread(groups)

    def drawn(losses: list[float]) -> list[float]:
        # One seed alone says nothing of its own scatter: it takes the other sizes'.
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
    """Adapt the base to more and more samples and take each run's held-out loss.

    A run that is in `folder` already is not made again, so that an interruption costs one run at most.

    Args:
        task: the contract.
        train: what samples are drawn from; smaller draws of one seed are parts of its larger ones.
        held_out: what the loss is taken over.
        recipe: of each run, but for its seed.
        sizes: how many samples.
        seeds: runs of each size, each with draws of its own.
        folder: where points are kept; runs are removed once measured.
        base: at hand; None resolves the recipe's.
        progress: called as `progress(what, done, total)`.

    Raises:
        UsageError: a size is larger than `train`.
    """
    import shutil

    from metier.bases.resolve import resolve

    if max(sizes) > len(train):
        raise UsageError(f"there are {len(train)} samples, not {max(sizes)}", remedy="give smaller --sizes")
    say = progress or (lambda *_, **__: None)
    base = base or resolve(recipe.base)
    points = []
    for done, (size, seed) in enumerate((size, seed) for size in sorted(sizes) for seed in range(seeds)):
        say(f"run of {size} samples, seed {seed}", done, len(sizes) * seeds)
        chosen = recipe.model_copy(update={"seed": seed})
        known = folder / f"{_key(task, train, held_out, chosen, size, base)}.json"
        if not known.is_file():
            run = known.with_suffix("")
            loss = _run(task, select(train, size, seed), held_out, chosen, run, base)
            write_whole(known, Point(samples=size, seed=seed, loss=loss).model_dump_json())
            shutil.rmtree(run)
        points.append(Point.model_validate_json(known.read_bytes()))
    return points


def _run(
    task: TaskContract, train: Sequence[Sample], held_out: Sequence[Sample], recipe: Recipe, run: Path, base: Any
) -> float:
    """Adapt, and give the held-out loss; no held-out sample chooses anything."""
    from metier.adapt.fine_tuning import adapt
    from metier.adapt.methods import method_of
    from metier.iterate.judge import likelihoods_of

    if not method_of(recipe).generates:  # held-out samples of a head choose nothing
        return adapt(task, train, held_out, recipe, run, base=base).card.training["held_out_loss"]
    found = likelihoods_of(adapt(task, train, [], recipe, run, base=base), task, held_out, base)
    return float(sum(found["nats"]) / sum(found["tokens"]))


def _fit(sizes: Sequence[int], groups: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Least squares over all runs: for each rate floor and gap are linear; a gap below zero is none."""
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

    about = task.model_dump_json(), recipe.model_dump_json(), str(base.sha256)
    parts = [MEASURING, *about, samples_sha256(train), samples_sha256(held_out), str(size)]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]
