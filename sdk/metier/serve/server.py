"""Runs the application with uvicorn: TLS, and a drain on SIGTERM that lets running requests end."""

from __future__ import annotations

import asyncio
import signal
import time
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from metier.serve.state import State

POLL = 0.05
"""Seconds between two looks at the requests that are still running."""


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which first refuses new requests, then waits for those in progress, then stops listening.

    A load balancer sees 503 at `/ready` meanwhile. A second signal stops at once.
    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain, or stop at once where that has begun already."""
        if self._state.draining or sig == signal.SIGINT or self._loop is None:
            super().handle_exit(sig, frame)
            return
        self._state.draining = True
        asyncio.run_coroutine_threadsafe(self._wait_and_stop(sig), self._loop)

    async def startup(self, sockets: Any = None) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def _wait_and_stop(self, sig: int) -> None:
        end = time.monotonic() + self._state.settings.drain
        while self._state.active and time.monotonic() < end:
            await asyncio.sleep(POLL)
        super().handle_exit(sig, None)


def serve(app: Starlette, *, certificate: str | None = None, key: str | None = None) -> None:
    """Serve until a signal ends it; engines are the caller's to close.

    Args:
        app: from `create_app`.
        certificate, key: PEM files; with them the server speaks HTTPS.
    """
    state: State = app.state.metier
    config = uvicorn.Config(
        app,
        host=state.settings.host,
        port=state.settings.port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    DrainingServer(config, state).run()
