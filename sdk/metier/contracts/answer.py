"""An answer: one type from the engine to the feedback store, so that users judge exactly what the engine returned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, Field

from metier.contracts.check import Finding
from metier.contracts.sample import Value
from metier.contracts.schema import Data

FinishReason = Literal["stop", "length", "cancelled"]
"""Why decoding ended: the reply is complete, it reached its token limit, or the request was cancelled."""


def new_id() -> str:
    """A random id of 32 hexadecimal digits (UUID 4)."""
    return uuid4().hex


def now() -> datetime:
    """The current time, with its time zone (UTC)."""
    return datetime.now(UTC)


class Caller(Data):
    """Who a request is for, as far as the product knows, and what may be done with the answer."""

    user: str | None = None
    """The product's own name for the user; `erase` selects by it."""
    consent: bool = False
    """Whether the user agreed that the answer and their feedback on it may be used for training."""
    keep_until: AwareDatetime | None = None
    """When the stored answer is deleted; None keeps it."""
    answer_id: str | None = None
    """Id of the answer, where the product assigns one; otherwise a random one."""


ANONYMOUS = Caller()


class Answer(Data):
    """One answer to one input of a task, with what a later reader needs to judge it."""

    id: str = Field(default_factory=new_id, min_length=1)
    at: AwareDatetime = Field(default_factory=now)
    task: str
    input: Value
    """As the model received it: with the fields that bridges filled and the passages that were found."""
    output: Value
    """Satisfies the task's output schema."""
    language: str | None = None
    prompt: str | None = None
    """The whole prompt as text, with the base's control tokens; None where the contract and the input determine it."""
    bundle: str | None = None
    """Name of the bundle that answered."""
    adapter: str | None = None
    """LoRA adapter, head or registry version that answered; None is the base, or what was merged into it."""
    findings: dict[str, tuple[Finding, ...]] = {}
    """Each check that ran → what it found; empty where the output passed."""
    attempts: int = Field(default=1, ge=1)
    """How many replies were generated for this answer."""
    finish_reason: FinishReason = "stop"
    probabilities: dict[str, float] = {}
    """Label → probability, where a head chose the label."""
    log_likelihood: float | None = None
    """Sum of the reply tokens' log-probabilities in nats, where they were computed."""
    user: str | None = None
    consent: bool = False
    keep_until: AwareDatetime | None = None

    @property
    def passed(self) -> bool:
        """Whether no check found anything."""
        return not any(self.findings.values())

    @property
    def finding_count(self) -> int:
        """Findings of all checks together."""
        return sum(map(len, self.findings.values()))
