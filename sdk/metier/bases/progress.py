"""The progress callback of long work; the caller displays it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""(stage, done, total): done and total in the stage's own unit; total is None where it is unknown."""


def silent(stage: str, done: int, total: int | None) -> None:
    """Report no progress."""
