"""The protocol between the pipeline and whatever answers a task: an encoded input in, a reply out.

A predictor turns a prepared input into its own form once, and predicts from that form as often as needed. It knows
neither checks nor bridges nor recorders.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from metier.contracts import FinishReason, Sample, TaskContract, Value

Encoded: TypeAlias = Any
"""A predictor's own form of one input: token ids with a grammar, or groups of tokens. Only its predictor reads it."""


@dataclass(frozen=True)
class PredictOptions:
    """How one input is to be predicted."""

    language: str | None = None
    shots: Sequence[Sample] = ()
    adapter: str | None = None
    """LoRA adapter or head; None takes the one that was trained for the task."""
    deadline: float | None = None
    """Seconds."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Sampling`."""


@dataclass(frozen=True)
class Draw:
    """Which of several predictions from one encoded input this is."""

    attempt: int = 0
    """0 for the first; each retry counts one."""
    candidate: int = 0
    candidates: int = 1
    """Predictions drawn together in one attempt."""
    deadline: float | None = None
    """Seconds that are left."""


@dataclass(frozen=True)
class Reply:
    """What a predictor gives, before it is validated: text to decode, or an output."""

    text: str | None = None
    output: Value | None = None
    finish_reason: FinishReason = "stop"
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Label → probability, where labels were scored."""
    log_likelihood: float | None = None
    """Sum over the reply's tokens, in nats."""


class Prediction(Protocol):
    """One prediction under way. Safe to use from any thread."""

    @property
    def cancelled(self) -> bool:
        """Whether the caller cancelled it."""
        ...

    def result(self) -> Reply:
        """The reply, when it is complete.

        Raises:
            MetierError: there is none.
        """
        ...

    async def aresult(self) -> Reply:
        """`result` for asyncio. Cancelling the awaiting task cancels the prediction."""
        ...

    def pieces(self) -> Iterator[str]:
        """Pieces of the reply's text as they are decoded."""
        ...

    def apieces(self) -> AsyncIterator[str]:
        """`pieces` for asyncio."""
        ...

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the reply is complete or has failed, from any thread."""
        ...

    def cancel(self) -> None:
        """Stop; no effect on a complete reply."""
        ...


class Predictor(Protocol):
    """One way to answer a task. Two are equal where one can predict the inputs of both together."""

    name: str | None
    """Adapter or head that requests name; None is the base."""
    writes: bool
    """Whether it generates text: a reply has tokens, and a second attempt can give another one."""
    batch: int
    """Inputs that are predicted best together; 1 where they join a running batch one by one."""

    def window(self, retries: int) -> int:
        """Inputs to hold at once, so that finished ones do not stall those behind them."""
        ...

    def encode(self, task: TaskContract, input: Value, options: PredictOptions) -> Encoded:
        """A prepared input in the predictor's own form.

        Raises:
            ContractError: the input does not satisfy the contract.
            UsageError: an option that the predictor does not support.
            RequestError: the input is too long.
        """
        ...

    def vary(self, encoded: Encoded, draw: Draw) -> Encoded | None:
        """The encoded input of one draw; None where it would give the same reply again.

        Raises:
            UsageError: the predictor cannot draw several candidates.
        """
        ...

    def predict(
        self, encoded: Sequence[Encoded], *, wait: float | None = 0, after: Prediction | None = None
    ) -> list[Prediction]:
        """Start predictions, one per input.

        Args:
            encoded: from `encode` or `vary`.
            wait: seconds to wait where the queue is full; None waits without limit.
            after: an earlier prediction of the same input, whose weights these use.

        Raises:
            RequestError: the queue is full, or an input does not fit.
        """
        ...

    def prompt(self, encoded: Encoded) -> str:
        """What the model reads, as text."""
        ...


class Failed:
    """A prediction that could not be started."""

    cancelled = False

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self) -> Reply:
        raise self._error

    async def aresult(self) -> Reply:
        raise self._error

    def pieces(self) -> Iterator[str]:
        raise self._error

    def apieces(self) -> AsyncIterator[str]:
        raise self._error

    def when_done(self, callback: Callable[[], None]) -> None:
        callback()

    def cancel(self) -> None:
        return
