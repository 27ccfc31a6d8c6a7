"""Server-sent events (HTML Living Standard, section 9.2): heartbeats while nothing comes, and an end when the client
leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from metier.serve.api_errors import api_error

_log = logging.getLogger("metier.serve")
HEARTBEAT = b": still here\n\n"
DONE = b"data: [DONE]\n\n"


class EventStream(Response):
    """Sends what an iterator of events yields; closes the iterator when the client leaves.

    Args:
        events: JSON objects, or `(name, object)` for events with a name.
        heartbeat: seconds of silence after which a comment is sent.
        done: whether `[DONE]` ends the stream.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[Any], *, heartbeat: float, done: bool = True) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["content-type"] = "text/event-stream; charset=utf-8"
        self.headers["cache-control"] = "no-cache"
        self.headers["x-accel-buffering"] = "no"  # nginx would hold events back
        self._events, self._heartbeat, self._done = events, heartbeat, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await sending

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        loop, events = asyncio.get_running_loop(), self._events
        written = loop.time()

        async def beat() -> None:  # beside the events: a timer for each of them would cost a task a token
            while True:
                await asyncio.sleep(max(0.0, written + self._heartbeat - loop.time()))
                if loop.time() >= written + self._heartbeat:
                    await write(HEARTBEAT)

        async def write(data: bytes, more: bool = True) -> None:
            nonlocal written
            written = loop.time()
            await send({"type": "http.response.body", "body": data, "more_body": more})

        beating = asyncio.ensure_future(beat())
        try:
            while True:
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    found = api_error(error)
                    if found.status >= 500:
                        _log.error("a stream failed", exc_info=error)
                    await write(encode(found.body()))
                    break
                await write(encode(event))
            beating.cancel()
            await write(DONE if self._done else b"", more=False)
        finally:
            beating.cancel()
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()


def encode(event: Any) -> bytes:
    """One event on the wire."""
    name, data = event if isinstance(event, tuple) else (None, event)
    # One line: a line break within JSON text is always escaped.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode("utf-8", "replace")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_disconnected(receive: Receive, work: Any) -> Any:
    """The result of a coroutine, cancelled when the client leaves.

    Raises:
        ClientDisconnectedError: nobody waits for the result.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnectedError
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            with contextlib.suppress(BaseException):
                await working


class ClientDisconnectedError(Exception):
    """The client closed its connection before the answer was complete."""


async def merged(*iterators: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """What several iterators yield, in the order in which it comes; closing it closes all of them."""
    pending: dict[asyncio.Future[Any], AsyncGenerator[Any, None]] = {
        asyncio.ensure_future(anext(iterator)): iterator for iterator in iterators
    }
    try:
        while pending:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                iterator = pending.pop(future)
                try:
                    value = future.result()
                except StopAsyncIteration:
                    continue
                pending[asyncio.ensure_future(anext(iterator))] = iterator
                yield value
    finally:
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for iterator in iterators:
            await iterator.aclose()
