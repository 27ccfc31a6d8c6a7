"""What a challenger must gain, and what it must keep, before it takes the champion's place.

Two errors are possible: to promote what is worse, and to wait where one could be better. Each criterion says by an
interval which of the two it is sure of: *worse for sure* refuses the challenger and the feedback it learnt, until that
is pardoned; *not better for sure* lets both wait for more. A budget of speed or size that is missed waits too: no
feedback is to blame.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from metier.contracts.schema import Data
from metier.iterate.judge import CHALLENGER, CHAMPION, Comparison
from metier.metrics.results import MetricReport

Found = Literal["passed", "unproved", "failed"]

CHANCE = 0.05
"""Share of resamples in which a challenger is better from which a measured fall counts as chance. On 61 inputs the
difference of a check had a standard error of some 6 points, and that of BLEU 1.4: were each fall beyond its bound taken
as it is measured, a challenger equal in all figures would wait every other time; so it waits at most every fourth."""

LEAST = 6
"""Held-out inputs below which nothing is sure: five all lean to one side by chance 2 · ½⁵, six times in a hundred."""


class Gate(Data):
    """Bounds. Points are those of a metric from 0 to 100."""

    min_gain: float = Field(default=0.0, ge=0)
    """Nats per reply token, or per label of a head, by which the held-out loss must fall for sure: its 95% interval
    must lie below this. The loss decides gain, since it sees more: over six turns on 40 inputs
    (`examples/iterate_week.py`) it was sure five times, BLEU not once."""
    max_metric_drop: float = Field(default=2.0, ge=0)
    """Points that a metric of the task may fall; one that falls further waits, unless that may be chance."""
    max_check_drop: float = Field(default=5.0, ge=0)
    """The same of the pass rate of a check of the trade."""
    max_forgetting: float = Field(default=0.1, ge=0)
    """Growth of perplexity on general text over the champion's; 0.1 is ten percent. Its interval over the passages must
    lie below this to pass, and above to fail."""
    max_slowdown: float = Field(default=1.5, gt=0)
    """Times the champion's time per token."""
    max_milliseconds: float | None = Field(default=None, gt=0)
    """Longest median answer time; None sets no bound of its own."""
    max_megabytes: float = Field(default=64.0, gt=0)
    """Of the challenger's weights."""


class Criterion(Data):
    """One thing that was asked of the challenger."""

    name: str
    found: Found
    said: str
    """What was measured against what bound, in words."""


class Verdict(Data):
    """What the gate found."""

    found: Found
    """`passed` where every criterion did, `failed` where any did, else `unproved`."""
    criteria: tuple[Criterion, ...]

    @property
    def why(self) -> str:
        """The criteria that decided, in a line."""
        decided = [c for c in self.criteria if c.found == self.found] if self.found != "passed" else self.criteria[:1]
        return "; ".join(f"{c.name}: {c.said}" for c in decided)


def judge(comparison: Comparison, gate: Gate) -> Verdict:
    """Hold a comparison against the bounds."""
    criteria = [_gain(comparison, gate), *(_metric(m, gate) for m in comparison.metrics if m.unit != "count")]
    criteria += [_forgetting(comparison, gate), _budget("size", comparison.bytes / 1e6, gate.max_megabytes, "MB")]
    if comparison.per_token:
        slower = comparison.per_token[CHALLENGER] / comparison.per_token[CHAMPION]
        criteria.append(_budget("speed", slower, gate.max_slowdown, "times the champion's time per token"))
    if gate.max_milliseconds is not None:
        criteria.append(_budget("latency", comparison.milliseconds[CHALLENGER], gate.max_milliseconds, "ms an answer"))
    if comparison.inputs < LEAST:
        said = f"{comparison.inputs}, of at least {LEAST} that a verdict takes"
        criteria.insert(0, Criterion(name="held-out inputs", found="unproved", said=said))
        criteria = [c.model_copy(update={"found": "unproved"}) if c.found == "failed" else c for c in criteria]
    found = {criterion.found for criterion in criteria}
    whole: Found = "failed" if "failed" in found else "unproved" if "unproved" in found else "passed"
    return Verdict(found=whole, criteria=tuple(criteria))


def _gain(comparison: Comparison, gate: Gate) -> Criterion:
    change = comparison.loss_difference
    said = f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}] nats per held-out {comparison.per}"
    found: Found = "failed" if change.low > 0 else "passed" if change.high < -gate.min_gain else "unproved"
    return Criterion(name="held-out loss", found=found, said=said)


def _forgetting(comparison: Comparison, gate: Gate) -> Criterion:
    growth = comparison.general_growth
    if growth is None:
        return Criterion(name="forgetting", found="passed", said="the base is frozen and forgets nothing")
    bound = gate.max_forgetting
    found: Found = "passed" if growth.high <= bound else "failed" if growth.low > bound else "unproved"
    measured = f"{growth.value:+.1%} [{growth.low:+.1%}, {growth.high:+.1%}]"
    return Criterion(
        name="forgetting", found=found, said=f"perplexity on general text {measured}, at most {bound:+.1%}"
    )


def _metric(metric: MetricReport, gate: Gate) -> Criterion:
    """A figure that may fall by the bound. Where it falls by more it fails if that is sure among all figures together,
    and waits if it is sure of this one alone."""
    (difference,) = metric.differences
    sign = 1 if metric.higher_is_better else -1
    change = difference.interval
    high = max(sign * change.low, sign * change.high)
    bound = gate.max_check_drop if metric.kind == "check" else gate.max_metric_drop
    said = f"{change.value:+.1f} [{change.low:+.1f}, {change.high:+.1f}] points"
    kept = sign * change.value >= -bound
    found: Found = (
        "passed" if kept else "failed" if high < 0 else "unproved" if difference.better < CHANCE else "passed"
    )
    return Criterion(name=metric.title, found=found, said=said)


def _budget(name: str, value: float, most: float, unit: str) -> Criterion:
    found: Found = "passed" if value <= most else "unproved"
    return Criterion(name=name, found=found, said=f"{value:.2f} {unit}, at most {most:g}")
