"""What the feedback store keeps: an answer that was given, and an event, one thing that a user did with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Self
from uuid import uuid4

from pydantic import AwareDatetime, Field, model_validator

from metier.contracts import Feedback, FeedbackEvent, Finding, Value
from metier.contracts.schema import Data

EventKind = Literal["accepted", "edited", "rejected", "chosen", "rated", "comment"]


def new_id() -> str:
    """An id that no other process makes."""
    return uuid4().hex


def _now() -> datetime:
    return datetime.now(UTC)


class Answer(Data):
    """One answer of a model, with all that a later reader needs to judge it."""

    id: str = Field(default_factory=new_id, min_length=1)
    at: AwareDatetime = Field(default_factory=_now)
    task: str
    input: Value
    output: Value
    language: str | None = None
    prompt: str | None = None
    """What the model was asked, as text; None where the contract and the input say it."""
    user: str | None = None
    """Who asked, as the product names people; `erase` goes by it."""
    bundle: str | None = None
    adapter: str | None = None
    """Whose weights answered: a name in the bundle, or a version of the registry."""
    checks: dict[str, tuple[Finding, ...]] = {}
    """Check → what it found; a check that passed is there with nothing."""
    consent: bool = False
    """Whether the user agreed that this may be learnt from. Without it an answer is kept, and never trained on."""
    keep_until: AwareDatetime | None = None
    """When `sweep` deletes it, with its events; None keeps it."""


class Event(Data):
    """One thing that one user did with one answer."""

    id: str = Field(default_factory=new_id, min_length=1)
    answer: str
    """Id of the answer."""
    kind: EventKind
    at: AwareDatetime = Field(default_factory=_now)
    user: str | None = None
    edited_to: Value | None = None
    """For `edited`: what the user made of it."""
    among: tuple[Value, ...] = ()
    """For `chosen`: the other answers that were offered beside it."""
    rating: float | None = Field(default=None, ge=0, le=1)
    comment: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {"edited": self.edited_to, "chosen": self.among, "rated": self.rating, "comment": self.comment}
        if self.kind in needed and needed[self.kind] in (None, ()):
            field = {"edited": "edited_to", "chosen": "among", "rated": "rating", "comment": "comment"}[self.kind]
            raise ValueError(f"an event {self.kind!r} needs {field}")
        return self


class Told(Data):
    """An event with the answer it is about, as the store gives them back."""

    number: int
    """Counts up in the order of writing; where a reader stopped, it goes on."""
    answer: Answer
    event: Event

    @property
    def who(self) -> str:
        """Whose word it is, by one rule for all who count votes: the event's user, else the answer's; without either
        each event is a user of its own, and no name that a product gives."""
        return self.event.user or self.answer.user or f"\0{self.event.id}"

    @property
    def stood(self) -> bool | None:
        """As `Feedback.stood`; None for a comment, too."""
        said = self.feedback()
        return None if said is None else said.stood

    def feedback(self) -> Feedback | None:
        """The same in the contracts' own form; None for a bare comment, which is no event of theirs."""
        if self.event.kind == "comment":
            return None
        return Feedback(
            task=self.answer.task,
            input=self.answer.input,
            answer=self.answer.output,
            event=FeedbackEvent(self.event.kind),
            edited_to=self.event.edited_to,
            rating=self.event.rating,
            comment=self.event.comment,
            user=self.event.user,
            at=self.event.at,
            bundle=self.answer.bundle,
            adapter=self.answer.adapter,
            language=self.answer.language,
        )
