"""Repetition that makes careless parsers slow is read in bounded time, and every finding cites a rule."""

from __future__ import annotations

import pytest

from metier.contracts import Check
from metier.testing.fuzz import file_fault
from metier_screenplay.checks import CHECKS
from metier_screenplay.reading import ADAPTERS
from metier_screenplay.tasks import TASKS

TASK = {task.name: task for task in TASKS}

# Lines just short enough to be parsed.
LONG = [
    f"{start}{run * (19_900 // len(run))}x\n\n"
    for start in ("INT. A", "JOE", "")
    for run in (" ", "!", "(", "_a ", "#")
]


@pytest.mark.parametrize(
    "hostile", ["[[\n", "/*\n", "[[", "A((", "*a", "_a ", "(\n", "JOE\n", "Title: x\n", "INT. ", *LONG]
)
def test_hostile_repetition_ends_in_bounded_time(hostile: str) -> None:
    """A quarter of a megabyte; pytest's own time limit would end it."""
    for adapter in ADAPTERS[1:3]:
        content = b"INT. A - DAY\n\n" + (hostile * (250_000 // len(hostile))).encode()
        assert file_fault(adapter, TASK[adapter.task], content, adapter.example.suffix) is None


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_finding_cites_a_rule(check: Check) -> None:
    assert all(finding.rule for finding in check.run(*check.failing))
