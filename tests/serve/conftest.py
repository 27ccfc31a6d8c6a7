"""A real server on a real socket, over the tiny bundle with LoRA slots, in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

KEY, ADMIN = "key-0123456789abcdef", "admin-0123456789abcdef"


@dataclass
class Running:
    """A server under test."""

    url: str
    state: Any
    server: Any

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEY}"}


@contextmanager
def running(app) -> Iterator[Running]:
    """Serve an app on a free port until the block ends."""
    import uvicorn

    from metier.serve.server import DrainingServer

    state = app.state.metier
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = DrainingServer(config, state)
    loop_of: list[asyncio.AbstractEventLoop] = []

    def run() -> None:
        loop = asyncio.new_event_loop()
        loop_of.append(loop)
        loop.run_until_complete(server.serve())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in range(1000):
        if server.started:
            break
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(f"http://127.0.0.1:{port}", state, server)
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def slotted_engine(tiny_slotted):
    from metier.runtime import Engine

    with Engine(tiny_slotted, threads=1, rows=4, queue=8) as engine:
        yield engine


@pytest.fixture(scope="session")
def settings(tiny_loras, tmp_path_factory):
    from metier.serve import ServeSettings

    folder = next(iter(tiny_loras.values())).parent
    return ServeSettings(
        api_keys=(KEY,), admin_keys=(ADMIN,), adapter_folders=(folder,), origins=("https://shop.example",),
        max_body=100_000, heartbeat=0.2,
    )  # fmt: skip


@pytest.fixture(scope="session")
def server(slotted_engine, settings) -> Iterator[Running]:
    from metier.serve import create_app

    with running(create_app([slotted_engine], settings)) as found:
        yield found


@pytest.fixture(scope="session")
def client(server):
    """OpenAI's own client."""
    import openai

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60) as found:
        yield found


@pytest.fixture(scope="session")
def http(server):
    import httpx

    with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as found:
        yield found
