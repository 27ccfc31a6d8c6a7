"""The gate lets through what gains for sure and loses nothing, refuses what is worse for sure, and else waits."""

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
    ("comparison", "found"),
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
def test_each_criterion_decides_as_it_says(comparison, found) -> None:
    assert judge(comparison, Gate()).result == found


def test_the_verdict_names_what_decided_with_its_figures() -> None:
    grown = Interval(value=0.2, low=0.15, high=0.25)
    verdict = judge(compared(GOOD, metric(-5, -9, -1), general_growth=grown, bytes=80_000_000), Gate())
    assert verdict.why == (
        "M: -5.0 [-9.0, -1.0] points; forgetting: perplexity on general text +20.0% [+15.0%, +25.0%], at most +10.0%"
    )
    assert judge(compared(GOOD, bytes=80_000_000), Gate()).why == "size: 80.00 MB, at most 64"
    assert "-0.1000 [-0.1500, -0.0500]" in judge(compared(), Gate()).why


def test_a_latency_of_its_own_can_be_asked_for() -> None:
    assert judge(compared(), Gate(max_milliseconds=305)).result == "unproved"
    assert judge(compared(), Gate(min_gain=0.06)).result == "unproved"


def test_what_a_dozen_passages_say_of_forgetting_holds_the_truth_as_often_as_it_should() -> None:
    """Simulated: each passage's perplexity grows by about 3%, give or take 3%."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        tokens = rng.integers(40, 120, 12)
        before = rng.normal(3.0, 0.5, 12) * tokens
        after = before + rng.normal(0.03, 0.03, 12) * tokens
        told = growth(before, after, tokens)
        held += told.low <= np.exp(0.03) - 1 <= told.high
    assert 0.91 < held / 300 < 0.98


def test_of_equals_no_more_than_a_quarter_wait_and_what_falls_for_sure_does_not_pass() -> None:
    """Simulated turns with the standard errors that 61 inputs had: three metrics and three checks, none of them
    changed, and then one check that has fallen by 25 points."""
    rng = random.Random(0)
    errors = [(1.4, "task"), (1.0, "task"), (1.5, "task"), (6.3, "check"), (4.6, "check"), (5.4, "check")]
    normal = NormalDist()

    def run_iteration(fallen: float) -> str:
        reports = []
        for number, (error, kind) in enumerate(errors):
            seen = rng.gauss(fallen if number == 3 else 0.0, error)
            wide = error * normal.inv_cdf(1 - 0.05 / len(errors) / 2)
            reports.append(metric(seen, seen - wide, seen + wide, kind, better=normal.cdf(seen / error)))
        return judge(compared(GOOD, *reports), Gate()).result

    equal, worse = ([run_iteration(fallen) for _ in range(500)] for fallen in (0.0, -25.0))
    assert equal.count("passed") > 375 and equal.count("failed") < 25
    assert worse.count("passed") < 25
