"""Checks of a vertical's checks: each must pass its good example and find its bad one wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import islice

from metier.contracts.check import Check, Finding
from metier.contracts.errors import MetierError
from metier.contracts.sample import Value
from metier.contracts.schema import problems
from metier.contracts.task import TaskContract
from metier.contracts.vertical import Vertical
from metier.testing import packaged


def checks_match_their_examples(vertical: Vertical) -> Iterator[str]:
    """Every check passes its passing example, finds its failing one wrong, and runs on the packaged samples."""
    names = [check.name for check in vertical.checks]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two checks are named {name}: rename one"
    for check in vertical.checks:
        found = [*_examples(vertical, check)]
        yield from found or _on_samples(vertical, check)


def _examples(vertical: Vertical, check: Check) -> Iterator[str]:
    for kind, pair in (("passing", check.passing), ("failing", check.failing)):
        misfits = [_misfit(vertical.task(name), pair) for name in check.tasks]
        if misfits and all(misfits):  # A check of several tasks has its example from one of them.
            wanted = " or ".join(check.tasks)
            yield f"check {check.name}: its {kind} example does not satisfy {wanted} ({misfits[0]}): correct it"
            return
    good = _run(check, check.passing)
    bad = _run(check, check.failing)
    if isinstance(good, str) or isinstance(bad, str):
        yield f"check {check.name}: {good if isinstance(good, str) else bad}"
        return
    if good:
        yield f"check {check.name} rejects its own passing example ({_say(good)}): correct the rule or the example"
    if not bad:
        yield f"check {check.name} never fails: its failing example passes. Correct the rule or the example"


def _misfit(task: TaskContract, pair: tuple[Value, Value]) -> str | None:
    given, answer = pair
    try:
        task.check_input(given)
        task.check_output(answer)
    except MetierError as error:
        return error.what
    return None


def _on_samples(vertical: Vertical, check: Check) -> Iterator[str]:
    for name in check.tasks:
        task = vertical.task(name)
        for place, sample in islice(packaged.samples(vertical, task), 50):
            if problems(task.input, sample.input) or problems(task.output, sample.output):
                continue
            if isinstance(outcome := _run(check, (sample.input, sample.output)), str):
                yield f"check {check.name} on {place}: {outcome}"
                return


def _run(check: Check, pair: tuple[Value, Value]) -> Sequence[Finding] | str:
    """Findings, or what is wrong with the check itself."""
    given, answer = deepcopy(pair)
    try:
        found = check.run(given, answer)
    except Exception as error:
        return f"it raises {type(error).__name__}: {error}. Let it return findings, whatever the answer says"
    if not isinstance(found, list | tuple) or not all(isinstance(item, Finding) for item in found):
        return f"it returns {type(found).__name__}: return a list of Finding, empty when the answer passes"
    if (given, answer) != pair:
        return "it changes the input or output it is given: work on a copy"
    return found


def _say(found: Sequence[Finding]) -> str:
    return "; ".join(finding.message for finding in found[:2])
