"""One version of a task's weights, and the state that says which of them are at work. Data only; files are others'."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from metier.contracts.schema import SCHEMA_VERSION, Data

NAME = r"^v\d{4,}$"

Stretch = tuple[int, int]
"""Numbers of the first and the last of some feedback events."""


class Version(Data):
    """How one version came to be: `version.json` in its folder, beside the fine-tune's own files."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    name: str = Field(pattern=NAME)
    parent: str | None = None
    """Version that training went on from."""
    created: AwareDatetime
    until: int = 0
    """Number of the last feedback event that it knows of."""
    skipped: tuple[Stretch, ...] = ()
    """Those up to `until` that neither it nor its ancestors learnt, since they were refused when it was made."""
    learnt: int = 0
    """New samples."""
    replayed: int = 0
    """Samples of its parent's pool that it was reminded of."""
    forgotten: tuple[int, ...] = ()
    """Numbers of feedback events that it learnt from, and that were erased since: its weights still hold what they
    taught, its files do not. What its parents learnt is in its weights, too: `erasure.learnt_erased` follows them."""
    verdict: dict[str, JsonValue] | None = None
    """What the gate found; None for a version that was put in by hand."""

    @property
    def passed(self) -> bool:
        """Whether the gate let it through."""
        return self.verdict is not None and self.verdict.get("found") == "passed"

    def unlearnt(self, last: int) -> tuple[Stretch, ...]:
        """Events up to a number that it has not learnt, refused ones included."""
        return tuple((first, min(end, last)) for first, end in (*self.skipped, (self.until + 1, last)) if first <= last)


class Move(Data):
    """One change of the state."""

    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    what: Literal["begun", "promoted", "rolled back", "canary", "withdrawn", "refused", "days refused", "pardoned"]
    version: str | None
    before: str | None = None
    """Champion before it."""
    why: str = ""


class State(Data):
    """What is at work: `state.json`, replaced whole."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    trail: tuple[str, ...] = Field(min_length=1)
    """Champions, the present one last; a rollback takes the last away."""
    challenger: str | None = None
    """Version that a share of the users gets."""
    share: float = Field(default=0.0, ge=0, le=1)
    """The challenger's share."""
    consumed: int = 0
    """Number of the last feedback event that the champion has learnt, or could have: its own `until`. What a challenger
    has learnt is used up once it is promoted."""
    cleared: int = 0
    """Number of the last event that a turn has judged and not found harmful, though not proved useful yet."""
    refused: tuple[Stretch, ...] = ()
    """Events that made weights worse for sure, or that somebody refused: not learnt unless they are pardoned."""
    history: tuple[Move, ...] = ()
    store: str | None = None
    """`FeedbackStore.id` of the store whose events have these numbers; None before the first turn."""

    @property
    def champion(self) -> str:
        return self.trail[-1]

    @property
    def tried_since(self) -> datetime | None:
        """When the challenger's trial began, whatever its share was since; None where there is none."""
        tried, since = None, None
        for move in self.history:
            if move.what == "canary" and move.version != tried:
                tried, since = move.version, move.at
            elif move.what in ("withdrawn", "rolled back") or (move.what == "promoted" and move.version == tried):
                tried, since = None, None
        return since


def without(stretches: Iterable[Stretch], away: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """What is left of some stretches, none of them empty."""
    left = list(stretches)
    for first, last in away:
        cut = [part for a, b in left for part in ((a, min(b, first - 1)), (max(a, last + 1), b))]
        left = sorted({part for part in cut if part[0] <= part[1]})
    return tuple(left)
