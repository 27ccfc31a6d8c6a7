"""How one version of a task's weights came to be, and ranges of feedback events. Data only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from metier.contracts.schema import Data

NAME = r"^v\d{4,}$"

REGISTRY_VERSION: Literal["2"] = "2"
"""Version of the files `version.json` and `state.json`. 2 names rejected and reinstated feedback."""

EventRange = tuple[int, int]
"""Numbers of the first and the last of consecutive feedback events, both included."""


class Version(Data):
    """How one version came to be: `version.json` in its folder, beside the fine-tune's own files."""

    schema_version: Literal["2"] = REGISTRY_VERSION
    name: str = Field(pattern=NAME)
    parent: str | None = None
    """Version that training started from."""
    created: AwareDatetime
    until: int = 0
    """Number of the last feedback event that was available when it was trained."""
    skipped: tuple[EventRange, ...] = ()
    """Events up to `until` that neither it nor its ancestors were trained on, since they were rejected at that time."""
    new_samples: int = 0
    """Samples from feedback that its parent was not trained on."""
    replayed: int = 0
    """Samples of its parent's pool that it was trained on again."""
    erased: tuple[int, ...] = ()
    """Numbers of feedback events that it was trained on and that were erased since. They are in its weights, not in its
    files. Its children inherit them: `erasure.trained_on_erased` follows the parents."""
    verdict: dict[str, JsonValue] | None = None
    """Verdict of the gate; None for a version that was added by hand."""

    @property
    def passed(self) -> bool:
        """Whether it passed the gate."""
        return self.verdict is not None and self.verdict.get("result") == "passed"

    def untrained(self, last: int) -> tuple[EventRange, ...]:
        """Events up to the number `last` that it was not trained on, including rejected ones."""
        ranges = (*self.skipped, (self.until + 1, last))
        return tuple((first, min(end, last)) for first, end in ranges if first <= last)


def subtract_ranges(ranges: Iterable[EventRange], removed: Iterable[EventRange]) -> tuple[EventRange, ...]:
    """The ranges without the events of the removed ones; no range of the result is empty."""
    left = list(ranges)
    for first, last in removed:
        cut = [part for a, b in left for part in ((a, min(b, first - 1)), (max(a, last + 1), b))]
        left = sorted({part for part in cut if part[0] <= part[1]})
    return tuple(left)
