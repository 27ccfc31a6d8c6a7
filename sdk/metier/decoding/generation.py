"""One request and its reply as it grows: a future, an iterator and an async iterator, and the means to cancel it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from metier.contracts import MetierError, RequestError
from metier.contracts.answer import FinishReason
from metier.decoding.lora import LoraArrays
from metier.decoding.sampling import Sampling

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the engine thread decodes."""

    ids: tuple[int, ...]
    """Token ids of the complete prompt, never empty."""
    sampling: Sampling = field(default_factory=Sampling)
    grammar: str | None = None
    """llguidance grammar that the reply must follow."""
    max_tokens: int = 256
    adapter: str | None = None
    """LoRA adapter of the bundle; None is the base, or what was merged into it."""
    deadline: float | None = None
    """Seconds from now after which the request fails."""
    logprobs: bool = False
    """Keep the log-probability of every token that is chosen."""
    top_logprobs: int = 0
    """With `logprobs`: also keep the likeliest tokens of every step, this many."""

    @property
    def tokens(self) -> int:
        """Most KV tokens that the request can occupy."""
        return len(self.ids) + self.max_tokens


class Generation:
    """A reply in progress. Safe to use from any thread of the process that submitted it.

    Code of the caller that runs on the engine's thread (done-callbacks, wake-ups of event loops) cannot stop the
    engine: what raises there is logged and dropped.
    """

    def __init__(self, request: Request, weights: Callable[[], LoraArrays] | None = None) -> None:
        self.request = request
        self.weights = weights
        """Returns the LoRA weights that the request was submitted with; None is the base."""
        self.ids: list[int] = []
        """Tokens of the reply so far, the end token not included."""
        self.logprobs: list[float] = []
        """If requested: of each token, and of the end token last, in nats, before temperature and grammar."""
        self.top_logprobs: list[list[tuple[int, float]]] = []
        """If requested: (token, log-probability) of the likeliest tokens of each step, likeliest first."""
        self.end_token: int | None = None
        """The token that ended the reply, if one did."""
        self.text = ""
        """Text of the reply so far."""
        self.finish_reason: FinishReason | None = None
        self.error: MetierError | None = None
        self.cancel_requested = False
        self.expires_at = None if request.deadline is None else time.monotonic() + request.deadline
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._listeners: list[Callable[[], None]] = []
        self._done_callbacks: list[Callable[[], None]] = []

    @property
    def done(self) -> bool:
        """Whether the reply has ended."""
        return self.finish_reason is not None or self.error is not None

    def cancel(self) -> None:
        """Ask the engine to stop; its row is free before the next step. No effect on a finished reply."""
        self.cancel_requested = True

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the reply has ended: on the engine's thread, so it must not block; at once if it has
        ended already."""
        with self._changed:
            if not self.done:
                return self._done_callbacks.append(callback)
        return callback()

    def result(self, timeout: float | None = None) -> str:
        """The complete text; waits until it is there.

        Args:
            timeout: seconds to wait; None has no limit.

        Raises:
            RequestError: it was cancelled, or did not end in time. The engine's own error, if it failed.
        """
        self._check_process()
        with self._changed:
            if not self._changed.wait_for(lambda: self.done, timeout):
                raise RequestError(f"no answer within {timeout} s", remedy="wait longer, or cancel the request")
        return self._final_text()

    async def aresult(self) -> str:
        """`result` for asyncio. Cancelling the awaiting task cancels the request."""
        try:
            async for _ in self:
                pass
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._final_text()

    def __iter__(self) -> Iterator[str]:
        """Pieces of the text as they come. Raises as `result` does, except that cancellation just ends it."""
        self._check_process()
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
        self._check_process()
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
                if wake in self._listeners:  # not if its loop was closed meanwhile
                    self._listeners.remove(wake)
        if self.error is not None:
            raise self.error

    def should_end(self, now: float) -> bool:
        """For the engine: whether it was cancelled or is past its deadline. `now`: seconds, `time.monotonic`."""
        return self.cancel_requested or (self.expires_at is not None and now > self.expires_at)

    def end_early(self) -> None:
        """For the engine: end a cancelled or late reply with the text that there is."""
        if self.cancel_requested:
            return self.update(self.text, "cancelled")
        error = RequestError(
            f"no complete answer within its deadline of {self.request.deadline} s",
            remedy="set a longer deadline, or send the engine fewer requests at once",
            kind="deadline",
        )
        return self.fail(error)

    def fail(self, error: MetierError) -> None:
        """For the engine: end the reply with an error."""
        self.update(self.text, error=error)

    def update(self, text: str, reason: FinishReason | None = None, error: MetierError | None = None) -> None:
        """For the engine: set the text, and end the reply if there is a reason or an error. Never raises."""
        with self._changed:
            self.text, self.finish_reason, self.error = text, reason, error
            self._changed.notify_all()
            self._listeners = [wake for wake in self._listeners if _call(wake)]
            callbacks, self._done_callbacks = (self._done_callbacks, []) if self.done else ([], self._done_callbacks)
        for callback in callbacks:
            _call(callback)

    def _final_text(self) -> str:
        if self.error is not None:
            raise self.error
        if self.finish_reason == "cancelled":
            raise RequestError("the request was cancelled", remedy="submit it again")
        return self.text

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise other_process()


def other_process() -> RequestError:
    """The error of an engine that is used in a process that was forked after it was opened: threads do not survive."""
    return RequestError(
        "the engine was opened in the parent process; its thread does not run in a forked child",
        remedy="open the engine in the child process, after the fork",
    )


def _call(callback: Callable[[], None]) -> bool:
    """Run a caller's function on the engine's thread; False if it raised."""
    try:
        callback()
    except BaseException as error:  # an event loop that is closed, or any fault of the caller's own code
        _log.warning("dropped a callback that raised on the engine's thread: %r", error)
        return False
    return True
