"""The engine writes every answer down before it is handed out, and nobody but the one who asked waits for the disk."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metier.contracts import Answer, Caller, FineTune, ResourceError, UsageError
from metier.contracts.answer import new_id
from metier.feedback import FeedbackStore, StoreRecorder
from metier.iterate import Live, Registry
from metier.runtime import Engine

ASKED = {"facts": "mug, blue"}


@pytest.fixture
def store(tmp_path: Path):
    with FeedbackStore(tmp_path / "feedback.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(bundle: Path):
    with Engine(bundle, device="cpu", threads=1, rows=4, max_len=256) as engine:
        yield engine


@pytest.fixture
def engine(opened: Engine, store: FeedbackStore):
    opened.recorder = StoreRecorder(store)
    yield opened
    opened.recorder = None


def given(number: int) -> Answer:
    return Answer(id=str(number), task="shop.describe", input=ASKED, output={"text": "A mug."}, prompt="?", bundle="b")


def test_every_way_to_ask_leaves_one_row_that_says_who_when_and_what(engine, store, check) -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    caller = Caller(user="ann", consent=True, keep_until=until)

    async def asked_at_once() -> None:
        assert await engine.arun("shop.describe", ASKED, caller=caller) == told
        assert (await engine.aanswer("shop.describe", ASKED, [check], caller=caller)).output
        async for _ in engine.astream("shop.describe", ASKED, caller=caller):
            pass

    told = engine.run("shop.describe", ASKED, caller=caller)
    assert list(engine.run_many("shop.describe", [ASKED, ASKED], caller=caller)) == [told, told]
    made = engine.answer("shop.describe", ASKED, [check], retries=1, caller=caller)
    list(engine.stream("shop.describe", ASKED, caller=caller))
    asyncio.run(asked_at_once())
    rows = list(store.answers())
    assert len(rows) == 8 and len({row.id for row in rows}) == 8
    for row in rows:
        assert (row.task, row.input, row.user, row.consent, row.keep_until) == (
            "shop.describe",
            ASKED,
            "ann",
            True,
            until,
        )
        assert (row.bundle, row.adapter) == (engine.bundle.manifest.name, "first")
        assert "mug, blue" in row.prompt and row.prompt == rows[0].prompt
    assert [row.output for row in rows[:3]] == [told] * 3
    judged = store.answer(made.id)
    assert judged.output == made.output and judged.checks == made.findings and set(judged.checks) == {"full_stop"}
    store.tell(made.id, "accepted", user="ann")


def test_what_is_left_while_it_streams_is_no_answer(engine, store) -> None:
    stream = engine.stream("shop.describe", ASKED)
    piece = next(stream)
    stream.close()
    engine.submit(engine.request("shop.describe", ASKED)).result()
    # Where the first piece was the last one, too, the reader had all of the answer.
    assert all(answer.output["text"] == piece.strip() for answer in store.answers())


def test_whoever_waits_for_the_disk_does_not_keep_others_from_their_answers(opened) -> None:
    free, waits = threading.Event(), threading.Event()

    class Slow:
        def record(self, given: Answer) -> str:
            if given.user == "slow":
                waits.set()
                assert free.wait(30)
            return given.id

    opened.recorder = Slow()
    try:
        with ThreadPoolExecutor(1) as desk:
            held = desk.submit(opened.run, "shop.describe", ASKED, caller=Caller(user="slow"))
            assert waits.wait(30)
            for _ in range(3):
                opened.run("shop.describe", ASKED, caller=Caller(user="quick"))
            assert not held.done()
            free.set()
            assert held.result(30)
    finally:
        free.set()
        opened.recorder = None


def test_many_callers_share_a_transaction_and_each_row_is_there_when_its_caller_goes_on(store) -> None:
    recorder, commits = StoreRecorder(store), []
    store._db.set_trace_callback(lambda statement: commits.append(1) if statement == "COMMIT" else None)
    with ThreadPoolExecutor(16) as desk:
        ids = list(desk.map(lambda n: recorder.record(given(n)), range(400)))
    store._db.set_trace_callback(None)
    assert ids == [str(n) for n in range(400)] and {row.id for row in store.answers()} == set(ids)
    assert len(commits) < 400, "callers that waited were written together"


def test_an_answer_that_cannot_be_written_is_not_handed_out(engine, tmp_path: Path) -> None:
    closed = FeedbackStore(tmp_path / "closed.db")
    engine.recorder = StoreRecorder(closed)
    closed.close()
    with pytest.raises(ResourceError, match="cannot be written down"):
        engine.run("shop.describe", ASKED)


def test_an_id_that_was_used_before_fails_its_own_caller_and_nobody_who_waits_beside(store) -> None:
    recorder = StoreRecorder(store)
    recorder.record(given(0))
    held, waits = threading.Event(), threading.Event()
    add = store.add

    def slow(*rows) -> None:
        waits.set()
        assert held.wait(30)
        add(*rows)

    store.add = slow
    with ThreadPoolExecutor(4) as desk:
        first = desk.submit(recorder.record, given(1))
        assert waits.wait(30)
        lamps = [given(n).model_copy(update={"input": {"facts": "a lamp"}}) for n in (0, 2, 3)]
        rest = [desk.submit(recorder.record, lamp) for lamp in lamps]
        while len(recorder._waiting) < 3:
            threading.Event().wait(0.01)
        held.set()
        with pytest.raises(UsageError, match="answer 0 is there already"):
            rest[0].result(30)
        assert [first.result(30), rest[1].result(30), rest[2].result(30)] == ["1", "2", "3"]
    assert store.answer("0").input == ASKED and store.counts()["answers"] == 4


def test_a_killed_process_has_lost_no_answer_that_it_handed_out(tmp_path: Path, killed) -> None:
    def work(say) -> None:
        recorder = StoreRecorder(FeedbackStore(tmp_path / "feedback.db"))

        def ask_on() -> None:
            while True:
                say(recorder.record(given(0).model_copy(update={"id": new_id()})))

        callers = [threading.Thread(target=ask_on) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    FeedbackStore(tmp_path / "feedback.db").close()
    handed_out: list[str] = []
    for kills in range(100):
        handed_out += killed(0.4, work)
        if kills >= 2 and handed_out:  # a busy machine writes less before each kill
            break
    with FeedbackStore(tmp_path / "feedback.db") as store:
        assert handed_out and {row.id for row in store.answers()} >= set(handed_out)


def test_live_has_the_engine_write_into_its_store_and_no_other(opened, store, first: FineTune, tmp_path: Path) -> None:
    registry = Registry.create(tmp_path / "registry", first)
    try:
        live = Live(opened, registry, store)
        answer = live.answer(ASKED, user="bob", id="7")
        assert store.answer("7") == answer and answer.adapter == "shop.describe.v0001" and answer.prompt
        with pytest.raises(UsageError, match="answer 7 is there already"):
            live.answer({"facts": "lamp, red"}, user="bob", id="7")
        with FeedbackStore(tmp_path / "other.db") as other, pytest.raises(UsageError, match="elsewhere"):
            Live(opened, registry, other)
    finally:
        opened.recorder = None
