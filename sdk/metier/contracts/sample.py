"""What a trade's data is made of: samples, preferences, feedback, and where each came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from metier.contracts.schema import SCHEMA_VERSION, Data

Value = dict[str, JsonValue]
"""A task's input or output as plain JSON data."""


class Provenance(Data):
    """Where a sample came from, so that a complaint finds its row."""

    source: str
    """File name or URL."""
    line: int | None = Field(default=None, ge=1)
    """1-based line (or spreadsheet row, or record) in the source."""
    sheet: str | None = None
    licence: str | None = None
    """SPDX expression, or words where there is none."""

    def __str__(self) -> str:
        place = f"{self.source}[{self.sheet}]" if self.sheet else self.source
        return f"{place}:{self.line}" if self.line else place


class Sample(Data):
    """One (input, output) pair of a task. Several outputs for one input are several samples."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    task: str
    input: Value
    output: Value
    language: str | None = None
    """BCP 47; None lets the input's own `language` field, or the contract's first language, decide."""
    provenance: Provenance | None = None


class Preference(Data):
    """For one input, an output that was preferred over another."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    task: str
    input: Value
    chosen: Value
    rejected: Value
    language: str | None = None
    provenance: Provenance | None = None


GOOD, BAD = 0.75, 0.25
"""Ratings from which an answer counts as let stand, and up to which as rejected: four stars of five, and two. What lies
between says neither."""


class FeedbackEvent(StrEnum):
    """What a user did with an answer."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    REJECTED = "rejected"
    CHOSEN = "chosen"
    RATED = "rated"


class Feedback(Data):
    """What one user did with one answer."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    task: str
    input: Value
    answer: Value
    event: FeedbackEvent
    edited_to: Value | None = None
    rating: float | None = Field(default=None, ge=0, le=1)
    comment: str | None = None
    user: str | None = None
    at: AwareDatetime | None = None
    bundle: str | None = None
    adapter: str | None = None
    language: str | None = None
    provenance: Provenance | None = None

    @property
    def stood(self) -> bool | None:
        """Whether the user let the answer stand, as it was; None where what they did says neither.

        An answer that was mended did not stand, one that was "edited" into itself did. Stars count where they are the
        event, not beside another.
        """
        match self.event:
            case FeedbackEvent.ACCEPTED | FeedbackEvent.CHOSEN:
                return True
            case FeedbackEvent.REJECTED:
                return False
            case FeedbackEvent.EDITED:
                return self.edited_to == self.answer
            case FeedbackEvent.RATED:
                rating = 0.5 if self.rating is None else self.rating
                return None if BAD < rating < GOOD else rating >= GOOD

    @property
    def judged(self) -> tuple[Value, bool] | None:
        """The output that this judges, and whether it is good; None where it judges none.

        An edit says that what it makes is good. What it mends is worse than that, which is a preference, but it need
        not be bad: a comma more is no verdict on the rest.
        """
        if self.event is FeedbackEvent.EDITED:
            return None if self.edited_to is None else (self.edited_to, True)
        return None if self.stood is None else (self.answer, self.stood)


class BadRow(Data):
    """A row that could not become a sample: reported, and skipped or fatal as the caller chooses."""

    provenance: Provenance
    field: str | None = None
    reason: str
    remedy: str | None = None

    def __str__(self) -> str:
        field = f" (field {self.field})" if self.field else ""
        return f"{self.provenance}{field}: {self.reason}"


def samples_sha256(samples: Iterable[Sample]) -> str:
    """Hash of what the samples say (task, input, output, language), in order; provenance does not count."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(sample.model_dump_json(include={"task", "input", "output", "language"}).encode())
        digest.update(b"\n")
    return digest.hexdigest()
