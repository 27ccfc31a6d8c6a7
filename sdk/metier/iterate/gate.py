"""What a challenger must gain, and what it must not lose, before it replaces the champion.

Two errors are possible: promoting a worse version, and waiting with a better one. Each criterion decides by its
interval: *worse for sure* rejects the challenger and its feedback until that is reinstated; *not better for sure* lets
both wait for more feedback. A challenger over the budget of speed or size waits too, since feedback is not the cause.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from metier.contracts.schema import Data
from metier.iterate.judge import CHALLENGER, CHAMPION, Comparison
from metier.metrics.results import MetricReport

Result = Literal["passed", "unproved", "failed"]

CHANCE = 0.05
"""A measured drop counts as chance where the challenger is better in at least this share of resamples. On 61 inputs the
difference of a check had a standard error of about 6 points, and that of BLEU 1.4: if every drop beyond its bound
counted, a challenger equal in all figures would wait every other time; with this bound at most every fourth."""

MIN_INPUTS = 6
"""Held-out inputs below which no result is sure: five fall on one side by chance in 2 · ½⁵, six cases of a hundred."""


class Gate(Data):
    """Bounds. Points are those of a metric from 0 to 100."""

    min_gain: float = Field(default=0.0, ge=0)
    """Nats per reply token, or per label of a head, by which the held-out loss must drop for sure: its 95% interval
    must lie below this. The gain is decided by the loss, since it is more sensitive: over six iterations on 40
    inputs (`examples/iterate_week.py`) it was sure five times, BLEU not once."""
    max_metric_drop: float = Field(default=2.0, ge=0)
    """Points that a metric of the task may drop; a challenger beyond that waits, unless the drop may be chance."""
    max_check_drop: float = Field(default=5.0, ge=0)
    """The same for the pass rate of a check of the trade."""
    max_forgetting: float = Field(default=0.1, ge=0)
    """Growth of perplexity on general text over the champion's; 0.1 is ten percent. Its interval over the passages must
    lie below this to pass, and above to fail."""
    max_slowdown: float = Field(default=1.5, gt=0)
    """Times the champion's time per token."""
    max_milliseconds: float | None = Field(default=None, gt=0)
    """Longest median answer time; None sets no bound of its own."""
    max_megabytes: float = Field(default=64.0, gt=0)
    """Size of the challenger's weights."""


class Criterion(Data):
    """One requirement of the challenger."""

    name: str
    result: Result
    measured: str
    """The measured value and the bound, in words."""


class GateVerdict(Data):
    """The gate's decision."""

    result: Result
    """`passed` where every criterion did, `failed` where any did, else `unproved`."""
    criteria: tuple[Criterion, ...]

    @property
    def why(self) -> str:
        """The criteria that decided, in a line."""
        decided = (
            [c for c in self.criteria if c.result == self.result] if self.result != "passed" else self.criteria[:1]
        )
        return "; ".join(f"{c.name}: {c.measured}" for c in decided)


def judge(comparison: Comparison, gate: Gate) -> GateVerdict:
    """Compare the measurements with the bounds."""
    criteria = [_gain(comparison, gate), *(_metric(m, gate) for m in comparison.metrics if m.unit != "count")]
    criteria += [_forgetting(comparison, gate), _budget("size", comparison.bytes / 1e6, gate.max_megabytes, "MB")]
    if comparison.per_token:
        slower = comparison.per_token[CHALLENGER] / comparison.per_token[CHAMPION]
        criteria.append(_budget("speed", slower, gate.max_slowdown, "times the champion's time per token"))
    if gate.max_milliseconds is not None:
        criteria.append(_budget("latency", comparison.milliseconds[CHALLENGER], gate.max_milliseconds, "ms per answer"))
    if comparison.inputs < MIN_INPUTS:
        measured = f"{comparison.inputs}, of at least {MIN_INPUTS} that a decision needs"
        criteria.insert(0, Criterion(name="held-out inputs", result="unproved", measured=measured))
        criteria = [c.model_copy(update={"result": "unproved"}) if c.result == "failed" else c for c in criteria]
    results = {criterion.result for criterion in criteria}
    worst: Result = "failed" if "failed" in results else "unproved" if "unproved" in results else "passed"
    return GateVerdict(result=worst, criteria=tuple(criteria))


def _gain(comparison: Comparison, gate: Gate) -> Criterion:
    change = comparison.loss_difference
    measured = f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}] nats per held-out {comparison.per}"
    result: Result = "failed" if change.low > 0 else "passed" if change.high < -gate.min_gain else "unproved"
    return Criterion(name="held-out loss", result=result, measured=measured)


def _forgetting(comparison: Comparison, gate: Gate) -> Criterion:
    growth = comparison.general_growth
    if growth is None:
        return Criterion(
            name="forgetting", result="passed", measured="the base is frozen, so that nothing is forgotten"
        )
    bound = gate.max_forgetting
    result: Result = "passed" if growth.high <= bound else "failed" if growth.low > bound else "unproved"
    perplexity = f"{growth.value:+.1%} [{growth.low:+.1%}, {growth.high:+.1%}]"
    return Criterion(
        name="forgetting", result=result, measured=f"perplexity on general text {perplexity}, at most {bound:+.1%}"
    )


def _metric(metric: MetricReport, gate: Gate) -> Criterion:
    """A metric that may drop by the bound. A larger drop fails where it is sure among all metrics together, and waits
    where it is sure for this metric alone."""
    (difference,) = metric.differences
    sign = 1 if metric.higher_is_better else -1
    change = difference.interval
    high = max(sign * change.low, sign * change.high)
    bound = gate.max_check_drop if metric.kind == "check" else gate.max_metric_drop
    measured = f"{change.value:+.1f} [{change.low:+.1f}, {change.high:+.1f}] points"
    kept = sign * change.value >= -bound
    result: Result = (
        "passed" if kept else "failed" if high < 0 else "unproved" if difference.better < CHANCE else "passed"
    )
    return Criterion(name=metric.title, result=result, measured=measured)


def _budget(name: str, value: float, most: float, unit: str) -> Criterion:
    result: Result = "passed" if value <= most else "unproved"
    return Criterion(name=name, result=result, measured=f"{value:.2f} {unit}, at most {most:g}")
