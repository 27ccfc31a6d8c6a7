"""One request and its answer as it grows: a future, an iterator, an async iterator, and the place to cancel it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from metier.contracts import MetierError, RequestError
from metier.decoding.lora import LoraArrays
from metier.decoding.sampling import Sampling

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Request:
    """What the engine thread decodes."""

    ids: tuple[int, ...]
    """The whole prompt, never empty."""
    sampling: Sampling = field(default_factory=Sampling)
    grammar: str | None = None
    """llguidance grammar that the reply must follow."""
    max_tokens: int = 256
    adapter: str | None = None
    """LoRA adapter of the bundle; None is the base, or what was merged into it."""
    deadline: float | None = None
    """Seconds from now after which nobody wants the answer any more."""
    logprobs: bool = False
    """Keep the log-probability of every token that is chosen."""

    @property
    def tokens(self) -> int:
        """KV tokens that it may come to hold."""
        return len(self.ids) + self.max_tokens


class Generation:
    """An answer under way. Safe to use from any thread."""

    def __init__(self, request: Request, weights: Callable[[], LoraArrays] | None = None) -> None:
        self.request = request
        self.weights = weights
        """Gives the LoRA weights that the request was submitted with; None is the base."""
        self.ids: list[int] = []
        """Tokens of the reply so far, the end token not included."""
        self.logprobs: list[float] = []
        """Where asked for: of each token, and of the end token last, in nats, before temperature and grammar."""
        self.end_token: int | None = None
        """What ended the reply, where a token did."""
        self.text = ""
        """Text of the reply so far."""
        self.finish_reason: FinishReason | None = None
        self.error: MetierError | None = None
        self.cancel_requested = False
        self.due = None if request.deadline is None else time.monotonic() + request.deadline
        self._changed = threading.Condition()
        self._listeners: list[Callable[[], None]] = []
        self._when_done: list[Callable[[], None]] = []

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None or self.error is not None

    def cancel(self) -> None:
        """Ask the engine to stop; its row is free before the next step. No effect on a finished answer."""
        self.cancel_requested = True

    def when_done(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once nothing more will come, on the engine's thread: it must not wait for anything."""
        with self._changed:
            if not self.done:
                return self._when_done.append(tell)
        return tell()

    def result(self, timeout: float | None = None) -> str:
        """The whole text, when it is there.

        Args:
            timeout: seconds to wait; None waits for ever.

        Raises:
            RequestError: it was cancelled, or did not end in time. The engine's own error, if it failed.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.done, timeout):
                raise RequestError(f"no answer within {timeout} s", remedy="wait longer, or cancel the request")
        return self._checked()

    async def aresult(self) -> str:
        """`result` for asyncio. Cancelling the awaiting task cancels the request."""
        try:
            async for _ in self:
                pass
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._checked()

    def __iter__(self) -> Iterator[str]:
        """Pieces of the text as they come. Raises as `result` does, but ends quietly when cancelled."""
        sent = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda sent=sent: self.done or len(self.text) > sent)  # type: ignore[misc]
                piece, ended = self.text[sent:], self.done
            if piece:
                sent += len(piece)
                yield piece
            if ended:
                break
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[str]:
        """`__iter__` for asyncio."""
        loop, awake, sent = asyncio.get_running_loop(), asyncio.Event(), 0

        def wake() -> None:
            loop.call_soon_threadsafe(awake.set)

        with self._changed:
            self._listeners.append(wake)
        try:
            while True:
                awake.clear()
                piece, ended = self.text[sent:], self.done
                if piece:
                    sent += len(piece)
                    yield piece
                elif ended:
                    break
                else:
                    await awake.wait()
        finally:
            with self._changed:
                self._listeners.remove(wake)
        if self.error is not None:
            raise self.error

    def unwanted(self, now: float) -> bool:
        """The engine's side: whether it was cancelled or is past its deadline."""
        return self.cancel_requested or (self.due is not None and now > self.due)

    def drop(self) -> None:
        """The engine's side: end an unwanted answer with the text that there is."""
        if self.cancel_requested:
            return self.advance(self.text, "cancelled")
        error = RequestError(
            f"no whole answer within its deadline of {self.request.deadline} s",
            remedy="give it more time, or the engine less work",
        )
        return self.advance(self.text, error=error)

    def advance(self, text: str, reason: FinishReason | None = None, error: MetierError | None = None) -> None:
        """The engine's side: the text is now this, and perhaps the answer has ended."""
        with self._changed:
            self.text, self.finish_reason, self.error = text, reason, error
            self._changed.notify_all()
            for wake in self._listeners:
                wake()
            told, self._when_done = (self._when_done, []) if self.done else ([], self._when_done)
        for tell in told:
            tell()

    def _checked(self) -> str:
        if self.error is not None:
            raise self.error
        if self.finish_reason == "cancelled":
            raise RequestError("the request was cancelled", remedy="submit it again")
        return self.text
