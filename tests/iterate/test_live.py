"""An engine that follows the registry: whoever asked is answered by the weights that were at work then, whatever moves
meanwhile, and every way to ask is recorded and given its version by one rule."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metier.contracts import Check, ContractError, Finding, FineTune
from metier.feedback import FeedbackStore
from metier.iterate import Live, Registry
from metier.runtime import Engine

FACTS = {"facts": "mug, blue"}


@pytest.fixture
def registry(first: FineTune, tmp_path: Path) -> Registry:
    """Three versions, the first of them champion."""
    made = Registry.create(tmp_path / "registry", first)
    for _ in range(2):
        made.add(first, [], parent="v0001")
    return made


@pytest.fixture
def live(registry: Registry, bundle: Path, tmp_path: Path):
    with (
        FeedbackStore(tmp_path / "feedback.db") as store,
        Engine(bundle, device="cpu", threads=1, rows=1, max_len=256) as engine,
    ):
        yield Live(engine, registry, store)


def moved(live: Live) -> None:
    """Two promotions and a rollback, each taken up by the engine."""
    for move in (
        lambda: live.registry.promote("v0002"),
        lambda: live.registry.promote("v0003"),
        lambda: live.registry.rollback("users complain"),
    ):
        move()
        live.refresh()


def test_requests_that_wait_are_answered_by_the_weights_of_when_they_were_asked(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is full while the champion changes three times; the last change leaves another than the first."""
    engine = live.engine
    decoder = engine._session._scheduler._decoder
    step = decoder.step
    # So slow that the row stays taken until all have asked, on a busy machine too.
    monkeypatch.setattr(decoder, "step", lambda tokens: (time.sleep(0.05), step(tokens)))
    busy = engine.submit(engine.request("shop.describe", FACTS, adapter="base", max_tokens=200, stop=()))
    next(iter(busy))
    with ThreadPoolExecutor(4) as users:
        asked = [users.submit(live.answer, FACTS, user=f"u{number}") for number in range(4)]
        until = time.monotonic() + 30
        while len(engine._session._scheduler._waiting) < 4 and time.monotonic() < until and not busy.done:
            time.sleep(0.005)
        assert not busy.done, "the engine was full until now"
        moved(live)
        busy.cancel()
        assert {one.result(60).adapter for one in asked} == {"shop.describe.v0001"}
    assert live.answer(FACTS).adapter == "shop.describe.v0002"


def test_an_answer_that_is_asked_again_keeps_its_version(live: Live) -> None:
    seen: list[str] = []

    def never(given, made):
        if not seen:
            moved(live)
        seen.append(made["text"])
        return [Finding(message="again")]

    live._checks = (Check("never", ("shop.describe",), never, (FACTS, {"text": "a"}), (FACTS, {"text": ""})),)
    assert live.answer(FACTS, retries=2).adapter == "shop.describe.v0001" and len(seen) == 3


def test_who_asked_whose_turn_it_is_may_still_submit_after_the_next_move(live: Live) -> None:
    adapter = live.registry.adapter(live.whose("ann"))
    live.registry.promote("v0002")
    live.refresh()
    assert live.engine.run("shop.describe", FACTS, adapter=adapter)


def test_an_answer_between_its_version_and_its_turn_in_the_queue_loses_nothing(live: Live) -> None:
    """Every move is taken up while a request is on its way to the engine."""
    pipeline = live.engine._pipeline
    prepare_input = pipeline.prepare_input

    def slow(task, input):
        pipeline.prepare_input = prepare_input
        moved(live)
        return prepare_input(task, input)

    pipeline.prepare_input = slow
    assert live.answer(FACTS).adapter == "shop.describe.v0001"


def test_every_way_to_ask_is_recorded_under_the_version_that_one_rule_gives(live: Live) -> None:
    live.registry.canary("v0002", 0.5)
    users = [f"u{number}" for number in range(6)]
    whose = {user: live.registry.adapter(live.whose(user)) for user in users}
    assert len(set(whose.values())) == 2
    for user in users:
        assert live.answer(FACTS, user=user).adapter == whose[user]
        assert asyncio.run(live.aanswer(FACTS, user=user, id=f"a {user}", consent=True)).adapter == whose[user]
        assert "".join(live.stream(FACTS, user=user, id=f"s {user}", temperature=0.5, seed=1))
        many = list(live.answer_many([FACTS, {"facts": "lamp, red"}], user=user, consent=True))
        assert [(one.adapter, one.input["facts"]) for one in many] == [
            (whose[user], "mug, blue"),
            (whose[user], "lamp, red"),
        ]
    kept = [(one.user, one.adapter, one.consent) for one in live.store.answers()]
    assert len(kept) == 30 and all(whose[user] == adapter for user, adapter, _ in kept)
    assert sum(consent for *_, consent in kept) == 18 and live.store.answer("a u0") and live.store.answer("s u5")


def test_of_many_inputs_that_nobody_is_named_for_each_draws_its_own_version_and_they_are_taken_lazily(
    live: Live,
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


def test_a_stream_that_its_reader_leaves_is_no_answer_and_holds_no_weights(live: Live) -> None:
    stream = live.stream(FACTS, user="ann")
    piece = next(stream)
    moved(live)
    stream.close()
    # Where the first piece was the last one, too, the reader had all of the answer.
    assert all(answer.output["text"] == piece.strip() for answer in live.store.answers())
    assert "shop.describe.v0001" not in live.engine.adapters.names()


def test_weights_that_nobody_needs_any_more_leave_the_memory(live: Live) -> None:
    moved(live)
    live.registry.promote("v0003")
    live.refresh()
    live.answer(FACTS)
    assert [name for name in live.engine.adapters.names() if ".v" in name] == [
        "shop.describe.v0002",
        "shop.describe.v0003",
    ]
