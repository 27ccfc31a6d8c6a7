"""A trade's checks as metrics: the share of answers that pass each, and how much is found per answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metier.contracts import Check, Finding, MetierError, PluginError, Value
from metier.evaluate.cases import Case
from metier.evaluate.measures import Measure, mean_of
from metier.evaluate.results import Answer

PREFIX = "check."


def run_checks(checks: Sequence[Check], input: Value, output: Value | None) -> dict[str, tuple[Finding, ...]]:
    """What each check finds. An answer that is no valid reply fails every check: nothing can be shipped of it.

    Raises:
        PluginError: a check raised.
    """
    if output is None:
        return {check.name: (Finding(message="the answer is no valid reply of the task"),) for check in checks}
    found: dict[str, tuple[Finding, ...]] = {}
    for check in checks:
        try:
            found[check.name] = tuple(check.run(input, output))
        except MetierError:
            raise
        except Exception as error:
            raise PluginError(
                f"check {check.name} failed with {type(error).__name__}: {error}",
                remedy="a check returns findings for any valid input and output; mend it in its plugin",
            ) from error
    return found


def check_measures(checks: Sequence[Check]) -> list[Measure]:
    """A pass rate per check, and the mean number of findings over all of them."""
    if not checks:
        return []
    rates = [Measure(PREFIX + c.name, _title(c), mean_of(_passes(c.name), 100), kind="check") for c in checks]
    return [*rates, Measure("findings", "Findings per answer", mean_of(_findings), False, unit="count", kind="check")]


def _title(check: Check) -> str:
    return check.name.replace("_", " ").capitalize()


def _passes(name: str) -> Callable[[Case, Answer], float]:
    def passes(case: Case, answer: Answer) -> float:
        return float(not answer.findings[name])

    return passes


def _findings(case: Case, answer: Answer) -> float:
    return float(sum(len(found) for found in answer.findings.values()))
