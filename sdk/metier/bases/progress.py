"""How a long pull tells its caller what it is doing; drawing it is the caller's."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""(stage in words, done, total): done and total in the stage's own unit; total None where it is not known."""


def silent(stage: str, done: int, total: int | None) -> None:
    """Say nothing."""
