"""One engine on the tiny bundle for all tests that only read from it, and engines that stand still."""

import threading
import time
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="session")
def engine(tiny_bundle):
    from metier.runtime import Engine

    with Engine(tiny_bundle, rows=4, max_len=300) as engine:
        yield engine


@pytest.fixture(scope="session")
def full():
    """Holds an engine with a request in its one row, which makes no step: later requests wait, however slow the
    machine is. As a context: (engine, that request)."""

    @contextmanager
    def standing(engine, busy):
        scheduler, free = engine._session._scheduler, threading.Event()
        step = scheduler._decoder.step
        scheduler._decoder.step = lambda tokens: (free.wait(60), step(tokens))
        try:
            running, give_up = busy(), time.monotonic() + 60
            while running in scheduler._waiting:
                assert time.monotonic() < give_up, "the request got no row"
                time.sleep(0.002)
            yield running
        finally:
            scheduler._decoder.step = step
            free.set()

    return standing
