"""The engine stores every answer before it returns it, and only the answer's own caller waits for the disk."""

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metier.contracts import Answer, Caller, FineTune, ResourceError, UsageError
from metier.feedback import FeedbackStore, StoreRecorder
from metier.iterate import LiveEngine, Registry
from metier.runtime import Engine

INPUT = {"facts": "mug, blue"}


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


def answer(id: str | None = None, **fields) -> Answer:
    identity = {} if id is None else {"id": id}
    return Answer(task="shop.describe", output={"text": "A mug."}, **{"input": INPUT, **identity, **fields})


def test_every_call_of_the_engine_stores_one_answer_with_its_caller(engine, store, check) -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    caller = Caller(user="ann", consent=True, keep_until=until)

    async def call_async() -> None:
        assert await engine.arun("shop.describe", INPUT, caller=caller) == output
        assert (await engine.aanswer("shop.describe", INPUT, [check], caller=caller)).output
        async for _ in engine.astream("shop.describe", INPUT, caller=caller):
            pass

    output = engine.run("shop.describe", INPUT, caller=caller)
    assert list(engine.run_many("shop.describe", [INPUT, INPUT], caller=caller)) == [output, output]
    checked = engine.answer("shop.describe", INPUT, [check], retries=1, caller=caller)
    list(engine.stream("shop.describe", INPUT, caller=caller))
    asyncio.run(call_async())
    rows = list(store.answers())
    assert len(rows) == 8 and len({row.id for row in rows}) == 8
    for row in rows:
        assert (row.task, row.input, row.user, row.consent, row.keep_until) == (
            "shop.describe",
            INPUT,
            "ann",
            True,
            until,
        )
        assert (row.bundle, row.adapter) == (engine.bundle.manifest.name, "first")
        assert "mug, blue" in row.prompt and row.prompt == rows[0].prompt
    assert [row.output for row in rows[:3]] == [output] * 3
    stored = store.answer(checked.id)
    assert stored.output == checked.output and stored.findings == checked.findings
    assert set(stored.findings) == {"full_stop"}
    store.add_event(checked.id, "accepted", user="ann")


def test_a_stream_that_is_left_stores_no_answer(engine, store) -> None:
    stream = engine.stream("shop.describe", INPUT)
    piece = next(stream)
    stream.close()
    engine.submit(engine.request("shop.describe", INPUT)).result()
    # If the first piece was the last one too, the reader had the complete answer.
    assert all(answer.output["text"] == piece.strip() for answer in store.answers())


def test_a_caller_that_waits_for_the_disk_does_not_delay_others(opened) -> None:
    free, waits = threading.Event(), threading.Event()

    class Slow:
        def record(self, answer: Answer) -> str:
            if answer.user == "slow":
                waits.set()
                assert free.wait(30)
            return answer.id

    opened.recorder = Slow()
    try:
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(opened.run, "shop.describe", INPUT, caller=Caller(user="slow"))
            assert waits.wait(30)
            for _ in range(3):
                opened.run("shop.describe", INPUT, caller=Caller(user="quick"))
            assert not held.done()
            free.set()
            assert held.result(30)
    finally:
        free.set()
        opened.recorder = None


def test_many_callers_share_a_transaction_and_each_row_is_stored_when_its_call_returns(store) -> None:
    recorder, commits = StoreRecorder(store), []
    store._connection.db.set_trace_callback(lambda statement: commits.append(1) if statement == "COMMIT" else None)
    add = store.add

    def slow(*rows) -> None:  # the first to write holds the disk until all the others wait for it
        give_up = time.monotonic() + 60
        while not commits and len(recorder._waiting) < 15 and time.monotonic() < give_up:
            time.sleep(0.001)
        add(*rows)

    store.add = slow
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda n: recorder.record(answer(str(n))), range(400)))
    store._connection.db.set_trace_callback(None)
    assert ids == [str(n) for n in range(400)] and {row.id for row in store.answers()} == set(ids)
    assert len(commits) <= 400 - 14, "callers that waited were written together"


def test_an_answer_that_cannot_be_written_is_not_returned(engine, tmp_path: Path) -> None:
    closed = FeedbackStore(tmp_path / "closed.db")
    engine.recorder = StoreRecorder(closed)
    closed.close()
    with pytest.raises(ResourceError, match="cannot be written"):
        engine.run("shop.describe", INPUT)


def test_a_repeated_id_fails_its_own_caller_only(store) -> None:
    recorder = StoreRecorder(store)
    recorder.record(answer("0"))
    held, waits = threading.Event(), threading.Event()
    add = store.add

    def slow(*rows) -> None:
        waits.set()
        assert held.wait(30)
        add(*rows)

    store.add = slow
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(recorder.record, answer("1"))
        assert waits.wait(30)
        rest = [pool.submit(recorder.record, answer(n, input={"facts": "a lamp"})) for n in "023"]
        while len(recorder._waiting) < 3:
            threading.Event().wait(0.01)
        held.set()
        with pytest.raises(UsageError, match="the store holds another answer 0"):
            rest[0].result(30)
        assert [first.result(30), rest[1].result(30), rest[2].result(30)] == ["1", "2", "3"]
    assert store.answer("0").input == INPUT and store.counts()["answers"] == 4


def test_every_waiting_caller_returns_whatever_the_store_raises(store) -> None:
    """One row holds text that is not valid Unicode; another makes the store raise an error of any type."""
    recorder = StoreRecorder(store)
    started, release = threading.Event(), threading.Event()
    add = store.add

    def slow(*rows) -> None:
        started.set()
        assert release.wait(30)
        if any(row.id == "broken" for row in rows):
            raise RuntimeError("broken")
        add(*rows)

    store.add = slow
    bad = Answer.model_construct(**{**dict(answer("bad")), "user": "\ud800"})
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(recorder.record, answer("1"))
        assert started.wait(30)
        rest = [pool.submit(recorder.record, row) for row in (answer("2"), bad, answer("broken"), answer("3"))]
        while len(recorder._waiting) < 4:
            threading.Event().wait(0.01)
        release.set()
        assert [first.result(30), rest[0].result(30), rest[3].result(30)] == ["1", "2", "3"]
        with pytest.raises(UsageError, match="answer bad cannot be stored"):
            rest[1].result(30)
        with pytest.raises(RuntimeError, match="broken"):
            rest[2].result(30)
    assert {row.id for row in store.answers()} == {"1", "2", "3"}


def test_an_interrupt_of_the_writing_thread_does_not_leave_the_others_waiting(store) -> None:
    recorder = StoreRecorder(store)

    def interrupted(*rows) -> None:
        raise KeyboardInterrupt

    store.add = interrupted
    waiting: Future[str] = Future()
    recorder._waiting.append((answer("1"), waiting))
    with pytest.raises(KeyboardInterrupt):
        recorder.record(answer("2"))
    with pytest.raises(ResourceError, match="answer 1 was interrupted"):
        waiting.result(0)


def test_a_killed_process_has_lost_no_answer_that_it_returned(tmp_path: Path, killed) -> None:
    def work(send) -> None:
        recorder = StoreRecorder(FeedbackStore(tmp_path / "feedback.db"))

        def record_on() -> None:
            while True:
                send(recorder.record(answer()))

        callers = [threading.Thread(target=record_on) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    FeedbackStore(tmp_path / "feedback.db").close()
    returned: list[str] = []
    for kills in range(100):
        returned += killed(0.4, work)
        if kills >= 2 and returned:  # a busy machine writes less before each kill
            break
    with FeedbackStore(tmp_path / "feedback.db") as store:
        assert returned and {row.id for row in store.answers()} >= set(returned)


def test_a_live_engine_writes_into_its_own_store_only(opened, store, first: FineTune, tmp_path: Path) -> None:
    registry = Registry.create(tmp_path / "registry", first)
    try:
        live = LiveEngine(opened, registry, store)
        answer = live.answer(INPUT, user="bob", id="7")
        assert store.answer("7") == answer and answer.adapter == "shop.describe.v0001" and answer.prompt
        with pytest.raises(UsageError, match="the store holds another answer 7"):
            live.answer({"facts": "lamp, red"}, user="bob", id="7")
        with FeedbackStore(tmp_path / "other.db") as other, pytest.raises(UsageError, match="into another store"):
            LiveEngine(opened, registry, other)
    finally:
        opened.recorder = None
