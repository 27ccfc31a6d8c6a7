"""An engine that follows the registry: a request keeps the version it started with, and every method stores its answers
under the version that one rule selects."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metier.contracts import Check, ContractError, Finding, FineTune
from metier.feedback import FeedbackStore
from metier.iterate import LiveEngine, Registry
from metier.runtime import Engine

FACTS = {"facts": "mug, blue"}


@pytest.fixture
def registry(first: FineTune, tmp_path: Path) -> Registry:
    """Three versions, the first of them champion."""
    registry = Registry.create(tmp_path / "registry", first)
    for _ in range(2):
        registry.add(first, [], parent="v0001")
    return registry


@pytest.fixture
def live(registry: Registry, bundle: Path, tmp_path: Path):
    with (
        FeedbackStore(tmp_path / "feedback.db") as store,
        Engine(bundle, device="cpu", threads=1, rows=1, max_len=256) as engine,
    ):
        yield LiveEngine(engine, registry, store)


def change_champions(live: LiveEngine) -> None:
    """Two promotions and a rollback; the engine loads each."""
    for change in (
        lambda: live.registry.promote("v0002"),
        lambda: live.registry.promote("v0003"),
        lambda: live.registry.rollback("users complain"),
    ):
        change()
        live.refresh()


def test_waiting_requests_are_answered_by_the_version_they_started_with(
    live: LiveEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is full while the champion changes three times; the last change leaves another than the first."""
    engine, free = live.engine, threading.Event()
    scheduler = engine._session._scheduler
    step = scheduler._decoder.step
    # The row stays taken until all requests wait, however long they take.
    monkeypatch.setattr(scheduler._decoder, "step", lambda tokens: (free.wait(120), step(tokens)))
    busy = engine.submit(engine.request("shop.describe", FACTS, adapter="base", max_tokens=200, stop=()))
    with ThreadPoolExecutor(4) as users:
        requests = [users.submit(live.answer, FACTS, user=f"u{number}") for number in range(4)]
        give_up = time.monotonic() + 60
        while busy in scheduler._waiting or len(scheduler._waiting) < 4:
            assert time.monotonic() < give_up and not busy.done
            time.sleep(0.005)
        change_champions(live)
        busy.cancel()
        free.set()
        assert {one.result(60).adapter for one in requests} == {"shop.describe.v0001"}
    assert live.answer(FACTS).adapter == "shop.describe.v0002"


def test_a_regenerated_answer_keeps_its_version(live: LiveEngine) -> None:
    seen: list[str] = []

    def never(input, output):
        if not seen:
            change_champions(live)
        seen.append(output["text"])
        return [Finding(message="again")]

    live._checks = (Check("never", ("shop.describe",), never, (FACTS, {"text": "a"}), (FACTS, {"text": ""})),)
    assert live.answer(FACTS, retries=2).adapter == "shop.describe.v0001" and len(seen) == 3


def test_a_version_stays_loaded_until_the_second_change(live: LiveEngine) -> None:
    adapter = live.registry.adapter(live.version_for("ann"))
    live.registry.promote("v0002")
    live.refresh()
    assert live.engine.run("shop.describe", FACTS, adapter=adapter)


def test_a_request_that_is_being_prepared_keeps_its_version(live: LiveEngine) -> None:
    """Every change is loaded while a request is on its way to the engine."""
    pipeline = live.engine._pipeline
    prepare_input = pipeline.prepare_input

    def slow(task, input):
        pipeline.prepare_input = prepare_input
        change_champions(live)
        return prepare_input(task, input)

    pipeline.prepare_input = slow
    assert live.answer(FACTS).adapter == "shop.describe.v0001"


def test_every_method_stores_its_answers_under_the_version_of_the_user(live: LiveEngine) -> None:
    live.registry.canary("v0002", 0.5)
    users = [f"u{number}" for number in range(6)]
    version_of = {user: live.registry.adapter(live.version_for(user)) for user in users}
    assert len(set(version_of.values())) == 2
    for user in users:
        assert live.answer(FACTS, user=user).adapter == version_of[user]
        assert asyncio.run(live.aanswer(FACTS, user=user, id=f"a {user}", consent=True)).adapter == version_of[user]
        assert "".join(live.stream(FACTS, user=user, id=f"s {user}", temperature=0.5, seed=1))
        many = list(live.answer_many([FACTS, {"facts": "lamp, red"}], user=user, consent=True))
        assert [(one.adapter, one.input["facts"]) for one in many] == [
            (version_of[user], "mug, blue"),
            (version_of[user], "lamp, red"),
        ]
    kept = [(one.user, one.adapter, one.consent) for one in live.store.answers()]
    assert len(kept) == 30 and all(version_of[user] == adapter for user, adapter, _ in kept)
    assert sum(consent for *_, consent in kept) == 18 and live.store.answer("a u0") and live.store.answer("s u5")


def test_many_inputs_without_a_user_draw_a_version_each_and_are_read_lazily(
    live: LiveEngine,
) -> None:
    live.registry.canary("v0002", 0.5)
    taken: list[int] = []

    def inputs():
        for number in range(1000):
            taken.append(number)
            yield {"facts": f"mug {number}"}

    answers = live.answer_many(inputs())
    first = [next(answers) for _ in range(12)]
    answers.close()
    assert [one.input["facts"] for one in first] == [f"mug {number}" for number in range(12)]
    assert len({one.adapter for one in first}) == 2 and len(taken) < 20
    with pytest.raises(ContractError):
        list(live.answer_many([FACTS, {"fact": "x"}]))


def test_a_stream_that_is_left_stores_no_answer_and_keeps_no_weights(live: LiveEngine) -> None:
    stream = live.stream(FACTS, user="ann")
    piece = next(stream)
    change_champions(live)
    stream.close()
    # If the first piece was the last one too, the reader had the complete answer.
    assert all(answer.output["text"] == piece.strip() for answer in live.store.answers())
    assert "shop.describe.v0001" not in live.engine.adapters.names()


def test_unused_versions_are_unloaded(live: LiveEngine) -> None:
    change_champions(live)
    live.registry.promote("v0003")
    live.refresh()
    live.answer(FACTS)
    assert [name for name in live.engine.adapters.names() if ".v" in name] == [
        "shop.describe.v0002",
        "shop.describe.v0003",
    ]
