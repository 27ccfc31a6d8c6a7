"""A trade's checks as metrics: the share of answers that pass each, and the findings per answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metier.contracts import Check
from metier.metrics.cases import Case
from metier.metrics.measures import Measure, mean_of
from metier.metrics.results import ReportedAnswer

PREFIX = "check."


def check_measures(checks: Sequence[Check]) -> list[Measure]:
    """A pass rate per check, and the mean number of findings over all of them."""
    if not checks:
        return []
    rates = [Measure(PREFIX + c.name, _title(c), mean_of(_passes(c.name), 100), kind="check") for c in checks]
    return [*rates, Measure("findings", "Findings per answer", mean_of(_findings), False, unit="count", kind="check")]


def _title(check: Check) -> str:
    """What a passing answer satisfies: a row of a report reads `No invented facts  92%`."""
    return check.title or f"Passes {check.name}"


def _passes(name: str) -> Callable[[Case, ReportedAnswer], float]:
    def passes(case: Case, answer: ReportedAnswer) -> float:
        return float(not answer.findings[name])

    return passes


def _findings(case: Case, answer: ReportedAnswer) -> float:
    return float(sum(len(found) for found in answer.findings.values()))
