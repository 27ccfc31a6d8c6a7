"""The gate passes a challenger that gains for sure and loses nothing, fails a worse one, and otherwise waits."""

import random
from statistics import NormalDist

import numpy as np
import pytest

from metier.iterate.gate import Gate, judge
from metier.iterate.judge import Comparison, growth
from metier.metrics.results import Difference, Interval, MetricReport

GOOD = Interval(value=-0.10, low=-0.15, high=-0.05)
UNSURE = Interval(value=-0.02, low=-0.05, high=0.01)
WORSE = Interval(value=0.05, low=0.01, high=0.09)


def metric(
    value: float, low: float, high: float, kind: str = "task", higher: bool = True, better: float = 0.01
) -> MetricReport:
    of = Interval(value=50, low=40, high=60)
    change = Interval(value=value, low=low, high=high)
    return MetricReport(
        name="m",
        title="M",
        kind=kind,
        higher_is_better=higher,
        unit="points",
        values={"champion": of, "challenger": of},
        differences=(Difference(system="challenger", against="champion", interval=change, better=better),),
    )


def compared(loss: Interval = GOOD, *metrics: MetricReport, **fields) -> Comparison:
    return Comparison(
        **{
            "inputs": 60,
            "metrics": metrics or (metric(1, -2, 4),),
            "confidence": 0.99,
            "loss": {"champion": 1.3, "challenger": 1.3 + loss.value},
            "loss_difference": loss,
            "general": {"champion": 30.0, "challenger": 31.0, "base": 28.0},
            "general_growth": Interval(value=1 / 30, low=0.02, high=0.05),
            "milliseconds": {"champion": 300.0, "challenger": 310.0},
            "per_token": {"champion": 10.0, "challenger": 10.1},
            "bytes": 5_000_000,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("comparison", "result"),
    [
        (compared(GOOD), "passed"),
        (compared(UNSURE), "unproved"),
        (compared(WORSE), "failed"),
        (compared(GOOD, metric(-5, -9, -1)), "failed"),
        (compared(GOOD, metric(-1.5, -4, 1)), "passed"),
        (compared(GOOD, metric(-1.5, -2, -1)), "passed"),
        (compared(GOOD, metric(-2.5, -6, 1)), "unproved"),
        (compared(GOOD, metric(-4, -9, 1, kind="check")), "passed"),
        (compared(GOOD, metric(-6, -12, 1, kind="check")), "unproved"),
        (compared(GOOD, metric(-6, -20, 9, kind="check", better=0.2)), "passed"),
        (compared(GOOD, metric(5, 1, 9, higher=False)), "failed"),
        (compared(GOOD, metric(-5, -9, -1, higher=False)), "passed"),
        (compared(GOOD, general_growth=Interval(value=0.13, low=0.11, high=0.15)), "failed"),
        (compared(GOOD, general_growth=Interval(value=0.13, low=0.09, high=0.17)), "unproved"),
        (compared(GOOD, general_growth=Interval(value=0.08, low=0.04, high=0.12)), "unproved"),
        (compared(GOOD, general_growth=Interval(value=0.08, low=0.07, high=0.09)), "passed"),
        (compared(GOOD, general_growth=None), "passed"),
        (compared(GOOD, milliseconds={"champion": 300.0, "challenger": 500.0}), "passed"),
        (compared(GOOD, per_token={"champion": 10.0, "challenger": 16.0}), "unproved"),
        (compared(GOOD, bytes=80_000_000), "unproved"),
        (compared(UNSURE, metric(-5, -9, -1)), "failed"),
    ],
)
def test_each_criterion_decides_by_its_bound(comparison, result) -> None:
    assert judge(comparison, Gate()).result == result


def test_the_verdict_names_the_deciding_criteria_with_their_figures() -> None:
    grown = Interval(value=0.2, low=0.15, high=0.25)
    verdict = judge(compared(GOOD, metric(-5, -9, -1), general_growth=grown, bytes=80_000_000), Gate())
    assert verdict.why == (
        "M: -5.0 [-9.0, -1.0] points; forgetting: perplexity on general text +20.0% [+15.0%, +25.0%], at most +10.0%"
    )
    assert judge(compared(GOOD, bytes=80_000_000), Gate()).why == "size: 80.00 MB, at most 64"
    assert "-0.1000 [-0.1500, -0.0500]" in judge(compared(), Gate()).why


def test_a_gate_can_bound_the_latency_and_the_gain() -> None:
    assert judge(compared(), Gate(max_milliseconds=305)).result == "unproved"
    assert judge(compared(), Gate(min_gain=0.06)).result == "unproved"


def test_the_interval_of_forgetting_over_a_dozen_passages_holds_the_true_value() -> None:
    """Simulated: each passage's perplexity grows by about 3%, give or take 3%."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        tokens = rng.integers(40, 120, 12)
        before = rng.normal(3.0, 0.5, 12) * tokens
        after = before + rng.normal(0.03, 0.03, 12) * tokens
        interval = growth(before, after, tokens)
        held += interval.low <= np.exp(0.03) - 1 <= interval.high
    assert 0.91 < held / 300 < 0.98


def test_at_most_a_quarter_of_equal_challengers_wait_and_a_worse_one_does_not_pass() -> None:
    """Simulated iterations with the standard errors that 61 inputs had: three metrics and three checks, none of them
    changed, and then one check that drops by 25 points."""
    rng = random.Random(0)
    errors = [(1.4, "task"), (1.0, "task"), (1.5, "task"), (6.3, "check"), (4.6, "check"), (5.4, "check")]
    normal = NormalDist()

    def decide(drop: float) -> str:
        reports = []
        for number, (error, kind) in enumerate(errors):
            seen = rng.gauss(drop if number == 3 else 0.0, error)
            wide = error * normal.inv_cdf(1 - 0.05 / len(errors) / 2)
            reports.append(metric(seen, seen - wide, seen + wide, kind, better=normal.cdf(seen / error)))
        return judge(compared(GOOD, *reports), Gate()).result

    equal, worse = ([decide(drop) for _ in range(500)] for drop in (0.0, -25.0))
    assert equal.count("passed") > 375 and equal.count("failed") < 25
    assert worse.count("passed") < 25
