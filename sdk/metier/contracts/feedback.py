"""What a user did with an answer: one event type, and the one table of its kinds."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple, Self

from pydantic import AwareDatetime, Field, model_validator

from metier.contracts.answer import new_id, now
from metier.contracts.sample import Value
from metier.contracts.schema import Data

GOOD_RATING, BAD_RATING = 0.75, 0.25
"""Ratings from which an answer counts as good, and up to which as bad: four stars of five, and two. A rating between
the two decides nothing."""


class EventKind(StrEnum):
    """What a user did with an answer."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    REJECTED = "rejected"
    CHOSEN = "chosen"
    RATED = "rated"
    COMMENT = "comment"


class KindRule(NamedTuple):
    """What an event of one kind needs and teaches."""

    needs: str | None
    """Field of the event that must be set."""
    good: bool | Literal["by rating"] | None
    """Whether the answer, as the user received it, is good; None where the kind does not decide it."""
    judges: Literal["answer", "edited_to"] | None
    """The output that becomes a sample if it is good, and a judged sample either way. An edit judges its own text only:
    a comma more does not make the edited answer bad."""
    preferred_over: Literal["answer", "among"] | None
    """The outputs that the judged one is preferred over."""
    rank: int
    """Of two events that teach the same sample, the one with the lower rank stays."""
    replaces: Literal["verdict", "rating"] | None
    """Of one user's events on one answer, only the last of each group counts; None is in no group and teaches
    nothing."""


EVENT_KINDS: Mapping[EventKind, KindRule] = MappingProxyType(
    {
        EventKind.ACCEPTED: KindRule(None, True, "answer", None, 2, "verdict"),
        EventKind.EDITED: KindRule("edited_to", False, "edited_to", "answer", 0, "verdict"),
        EventKind.REJECTED: KindRule(None, False, "answer", None, 2, "verdict"),
        EventKind.CHOSEN: KindRule("among", True, "answer", "among", 1, "verdict"),
        EventKind.RATED: KindRule("rating", "by rating", "answer", None, 2, "rating"),
        EventKind.COMMENT: KindRule("comment", None, None, None, 2, None),
    }
)
"""Everything that Metier knows about the kinds of events."""


class FeedbackEvent(Data):
    """One thing that one user did with one answer."""

    id: str = Field(default_factory=new_id, min_length=1)
    answer: str
    """Id of the answer."""
    kind: EventKind
    at: AwareDatetime = Field(default_factory=now)
    user: str | None = None
    edited_to: Value | None = None
    """For `edited`: the text that the user corrected the answer to."""
    among: tuple[Value, ...] = ()
    """For `chosen`: the other answers that were offered beside it."""
    rating: float | None = Field(default=None, ge=0, le=1)
    """For `rated`: 0 is the worst, 1 the best."""
    comment: str | None = None

    @model_validator(mode="after")
    def _check_needed_field(self) -> Self:
        needed = EVENT_KINDS[self.kind].needs
        if needed is not None and getattr(self, needed) in (None, ()):
            raise ValueError(f"an event {self.kind.value!r} needs {needed}")
        return self

    def rule(self, output: Value) -> KindRule:
        """The row of EVENT_KINDS that applies to an answer with this output; an edit that changes nothing accepts."""
        unchanged = self.kind is EventKind.EDITED and self.edited_to == output
        return EVENT_KINDS[EventKind.ACCEPTED if unchanged else self.kind]

    def is_good(self, output: Value) -> bool | None:
        """Whether the answer was good as the user received it; None where the event does not decide it.

        A rating counts where it is the event itself, not beside an event of another kind.
        """
        good = self.rule(output).good
        if good != "by rating":
            return good
        rating = 0.5 if self.rating is None else self.rating
        return None if BAD_RATING < rating < GOOD_RATING else rating >= GOOD_RATING

    def judged(self, output: Value) -> tuple[Value, bool] | None:
        """(the output that this event judges, whether it is good); None where it judges none.

        Args:
            output: of the answer.
        """
        judges = self.rule(output).judges
        if judges == "edited_to":
            return None if self.edited_to is None else (self.edited_to, True)
        good = self.is_good(output)
        return None if judges is None or good is None else (output, good)

    def preferences(self, output: Value) -> tuple[tuple[Value, Value], ...]:
        """(preferred, other) outputs that this event compares.

        Args:
            output: of the answer.
        """
        judged, over = self.judged(output), self.rule(output).preferred_over
        if judged is None or over is None:
            return ()
        others = (output,) if over == "answer" else self.among
        return tuple((judged[0], other) for other in others if other != judged[0])
