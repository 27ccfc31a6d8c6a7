"""A check that a professional of the trade would apply to an answer. One implementation is metric, runtime check and
reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metier.contracts.errors import MetierError, PluginError
from metier.contracts.sample import Value
from metier.contracts.schema import Data


class Finding(Data):
    """One thing wrong with an answer."""

    message: str
    """What is wrong, with the answer's own words."""
    rule: str | None = None
    """The law, platform rule or house rule it breaks, cited so that a reader can find it."""
    excerpt: str | None = None
    """The offending words, where there are any."""


@dataclass(frozen=True)
class Check:
    """A named rule over (input, output), with one pair that must pass and one that must fail."""

    name: str
    """Short and lower case, such as `facts_stated`."""
    tasks: tuple[str, ...]
    """Full names of the tasks it applies to."""
    run: Callable[[Mapping[str, Any], Mapping[str, Any]], Sequence[Finding]]
    """(input, output) → findings; empty when the answer passes."""
    passing: tuple[Value, Value]
    """An (input, output) that passes."""
    failing: tuple[Value, Value]
    """An (input, output) that must fail: a check that never fails checks nothing."""
    description: str = ""
    title: str = ""
    """What a passing answer satisfies, such as "No invented facts": reports show it beside the share that passes."""


def run_checks(checks: Sequence[Check], input: Value, output: Value | None) -> dict[str, tuple[Finding, ...]]:
    """What each check finds. An answer without a valid output fails every check.

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
                remedy="a check returns findings for any valid input and output; fix it in its plugin",
            ) from error
    return found
