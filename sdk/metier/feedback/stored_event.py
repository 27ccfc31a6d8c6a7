"""A feedback event together with the answer it is about, as the store returns them."""

from __future__ import annotations

from metier.contracts import Answer, FeedbackEvent
from metier.contracts.schema import Data


class StoredEvent(Data):
    """One event of the store with its answer."""

    number: int
    """Position in the order of writing. A reader continues after the last number it saw."""
    answer: Answer
    event: FeedbackEvent

    @property
    def voter(self) -> str:
        """Who gave the feedback: the event's user, else the answer's. Where neither is known, each event counts as a
        user of its own, under a name that no product uses."""
        return self.event.user or self.answer.user or f"\0{self.event.id}"

    @property
    def is_good(self) -> bool | None:
        """Whether the answer was good as the user received it; None where the event does not decide it."""
        return self.event.is_good(self.answer.output)
