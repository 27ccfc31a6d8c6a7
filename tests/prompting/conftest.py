"""One engine on the tiny bundle for all tests that only read from it."""

import pytest


@pytest.fixture(scope="session")
def engine(tiny_bundle):
    from metier.runtime import Engine

    with Engine(tiny_bundle, rows=4, max_len=300) as engine:
        yield engine
