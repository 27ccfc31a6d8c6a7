"""The feedback store keeps every row it has acknowledged, and overwrites the bytes of every row that is erased."""

import json
import os
import random
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metier.contracts import Answer, DataError, EventKind, FeedbackEvent, Finding, ResourceError, UsageError
from metier.feedback import FeedbackStore
from metier.feedback.tables import MIGRATIONS, VERSION

TASK = "shop.describe"


def answer(**fields) -> Answer:
    return Answer(**{"task": TASK, "input": {"facts": "a mug"}, "output": {"text": "A mug."}, **fields})


@pytest.fixture
def store(tmp_path: Path):
    with FeedbackStore(tmp_path / "feedback.db") as opened:
        yield opened


def test_an_answer_and_every_kind_of_event_come_back_as_they_were_written(store) -> None:
    given = answer(user="ann", adapter="v1", bundle="b", prompt="Describe: a mug", findings={"short": ()}, consent=True)
    events = [
        FeedbackEvent(answer=given.id, kind="accepted", user="ann"),
        FeedbackEvent(answer=given.id, kind="edited", edited_to={"text": "A blue mug."}, comment="colour"),
        FeedbackEvent(answer=given.id, kind="rejected"),
        FeedbackEvent(answer=given.id, kind="chosen", among=({"text": "Mug!"}, {"text": "Mugs."})),
        FeedbackEvent(answer=given.id, kind="rated", rating=0.8),
        FeedbackEvent(answer=given.id, kind="comment", comment="杯子"),
    ]
    store.add(given, *events)
    assert store.answer(given.id) == given
    assert [stored.event for stored in store.events()] == events
    assert [stored.answer for stored in store.events()] == [given] * 6
    assert store.counts(TASK) == {
        "answers": 1, "accepted": 1, "chosen": 1, "comment": 1, "edited": 1, "rated": 1, "rejected": 1
    }  # fmt: skip


def test_an_event_without_its_answer_or_its_field_raises_and_nothing_is_written(store) -> None:
    with pytest.raises(UsageError, match="no answer nobody"):
        store.add(answer(), FeedbackEvent(answer="nobody", kind="accepted"))
    assert store.counts() == {"answers": 0}
    given = answer()
    store.add(given)
    with pytest.raises(UsageError, match="needs edited_to"):
        store.add_event(given.id, "edited")
    with pytest.raises(UsageError, match="no event kind 'liked'"):
        store.add_event(given.id, "liked")


def test_a_row_is_written_once_however_often_it_is_added(store) -> None:
    given = answer()
    event = FeedbackEvent(answer=given.id, kind="accepted")
    for _ in range(3):
        store.add(given, event)
    assert store.counts() == {"answers": 1, "accepted": 1}


def test_an_id_of_another_row_raises_and_nothing_is_written(store) -> None:
    given = answer(id="7", user="ann")
    event = FeedbackEvent(id="8", answer="7", kind="accepted", user="ann")
    store.add(given, event)
    later = datetime(2040, 1, 1, tzinfo=UTC)
    again = given.model_copy(update={"at": later, "keep_until": later}), event.model_copy(update={"at": later})
    store.add(*again)  # the same, tried again a moment later
    assert list(store.answers()) == [given] and next(store.events()).event == event
    other = answer(id="7", input={"facts": "a lamp"}), FeedbackEvent(id="8", answer="7", kind="rejected", user="ann")
    for row, words in zip(other, ("answer 7", "event 8"), strict=True):
        with pytest.raises(UsageError, match=f"the store holds another {words}"):
            store.add(answer(), row)
    assert store.counts() == {"answers": 1, "accepted": 1}


def test_a_reader_sees_rows_that_are_written_meanwhile(store) -> None:
    given = answer()
    store.add(given, *(FeedbackEvent(answer=given.id, kind="accepted") for _ in range(1203)))
    reader = store.events()
    first = [next(reader).number for _ in range(10)]
    store.add_event(given.id, "rejected")
    rest = list(reader)
    assert len(first) + len(rest) == 1204 and rest[-1].event.kind == "rejected"
    assert [stored.event.kind for stored in store.events(after=1203)] == ["rejected"]


def test_threads_write_side_by_side(store) -> None:
    given = answer()
    store.add(given)
    writers = [
        threading.Thread(target=lambda: [store.add_event(given.id, "accepted") for _ in range(25)]) for _ in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.counts()["accepted"] == 200


def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path, killed) -> None:
    """20 writers, two at a time on one file, killed at random moments in the middle of writing."""
    path, rng, acknowledged = tmp_path / "feedback.db", random.Random(0), []
    FeedbackStore(path).close()

    def write(send) -> None:
        store = FeedbackStore(path)
        while True:
            given = answer(input={"facts": "x" * 3000})
            store.add(given, FeedbackEvent(answer=given.id, kind="accepted"))
            send(given.id)

    def kill_one() -> None:
        acknowledged.extend(killed(rng.uniform(0.01, 0.2), write))

    rounds = 0
    while rounds < 10 or (len(acknowledged) <= 20 and rounds < 100):  # a busy machine writes less before each kill
        rounds += 1
        pair = [threading.Thread(target=kill_one) for _ in range(2)]
        for one in pair:
            one.start()
        for one in pair:
            one.join()
    with FeedbackStore(path) as store:
        kept = {a.id for a in store.answers()}
        assert len(acknowledged) > 20 and set(acknowledged) <= kept
        assert store.counts()["accepted"] == len(kept)  # both rows of a call, or neither
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_erasing_a_user_leaves_no_trace_in_the_bytes(tmp_path: Path) -> None:
    with FeedbackStore(tmp_path / "feedback.db") as store:
        hers = answer(user="ann-7131", input={"facts": "her secret wedding"})
        his = answer(user="bob")
        store.add(hers, his, FeedbackEvent(answer=hers.id, kind="accepted", user="bob"))
        store.add_event(his.id, "comment", comment="written by ann-7131", user="ann-7131")
        store.add_event(his.id, "accepted", user="bob")
        assert store.erase("ann-7131") == (1, 2, (1, 2))
        assert [a.id for a in store.answers()] == [his.id] and store.counts()["accepted"] == 1
    for file in tmp_path.iterdir():
        assert b"ann-7131" not in file.read_bytes() and b"wedding" not in file.read_bytes()


def test_erasing_during_a_read_raises_that_the_log_still_holds_the_rows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("metier.feedback.connection.BUSY_SECONDS", 0.1)
    with FeedbackStore(tmp_path / "feedback.db") as store:
        store.add(hers := answer(user="ann-7131"), FeedbackEvent(answer=hers.id, kind="accepted"))
        reader = sqlite3.connect(store.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM answers").fetchone()
        with pytest.raises(ResourceError, match="not yet from the log"):
            store.erase("ann-7131")
        reader.close()
    with FeedbackStore(tmp_path / "feedback.db") as store:  # the same command again, in a new process
        assert store.erase("ann-7131") == (1, 1, (1,))
        assert not any(b"ann-7131" in file.read_bytes() for file in tmp_path.iterdir())
        assert store.erase("ann-7131") == (0, 0, ())


def test_the_numbers_of_erased_events_are_kept_for_a_registry_that_is_opened_later(store) -> None:
    for user in ("ann", "bob", "ann"):
        store.add(given := answer(user=user), FeedbackEvent(answer=given.id, kind="accepted"))
    assert store.erased_numbers() == ()
    assert store.erase("ann").numbers == store.erased_numbers() == (1, 3)
    assert store.erase("bob").numbers == (2,) and store.erased_numbers() == (1, 2, 3)
    store.add(given := answer(), FeedbackEvent(answer=given.id, kind="accepted"))
    assert store.last_number() == 4, "no event is ever given the number of one that was erased"


def test_a_sweep_deletes_expired_answers_only(store) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    old, young, kept = (answer(keep_until=now + timedelta(days=d)) for d in (-1, 1, 0)), answer(), answer()
    store.add(*old, young, kept)
    assert store.sweep(now).answers == 2
    assert len(list(store.answers())) == 3


def old_body(given: Answer) -> str:
    """The row as the first four versions wrote it."""
    fields = ("id", "at", "task", "input", "output", "language", "prompt", "user", "bundle", "adapter", "consent")
    row = given.model_dump(mode="json", include={*fields, "keep_until"})
    return json.dumps({**row, "checks": given.model_dump(mode="json")["findings"]})


def test_a_store_of_the_first_version_is_migrated_with_its_rows(tmp_path: Path) -> None:
    path, given = tmp_path / "old.db", answer(user="ann", findings={"short": (Finding(message="long"),)})
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    db.execute(
        "INSERT INTO answers (id, at, task, user, body) VALUES (?, ?, ?, ?, ?)",
        (given.id, given.at.timestamp(), given.task, given.user, old_body(given)),
    )
    db.commit()
    db.close()
    with FeedbackStore(path) as store:
        assert list(store.answers()) == [given]
        store.add(answer(keep_until=given.at))
        assert store.sweep().answers == 1


def test_a_newer_store_and_another_program_s_file_raise_and_stay_as_they_are(tmp_path: Path) -> None:
    newer, other, text = tmp_path / "newer.db", tmp_path / "other.db", tmp_path / "text.db"
    with sqlite3.connect(newer) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE shop (a)")
    text.write_text("not a database at all " * 100)
    for path, words in ((newer, "upgrade"), (other, "not a feedback store"), (text, "cannot be opened")):
        with pytest.raises(DataError, match=words):
            FeedbackStore(path)
    assert text.read_text().startswith("not a database")


def test_a_full_disk_raises_and_the_stored_rows_stay(store) -> None:
    store.add(kept := answer())
    pages = store._connection.db.execute("PRAGMA page_count").fetchone()[0]
    store._connection.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.add(answer(output={"text": "x" * 100_000}))
    assert [row.id for row in store.answers()] == [kept.id]


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [nested(200), 10**4400, "half a pair \ud800"], ids=["nested", "long integer", "text"])
def test_a_row_that_could_not_be_read_back_raises_when_it_is_written(store, value) -> None:
    given = Answer.model_construct(**{**dict(answer()), "input": {"facts": value}})
    with pytest.raises(UsageError, match=f"answer {given.id} cannot be stored"):
        store.add(answer(), given)
    assert list(store.answers()) == []
    kept = answer()
    event = FeedbackEvent(answer=kept.id, kind="accepted")
    with pytest.raises(UsageError, match="cannot be stored"):
        store.add(kept, event.model_copy(update={"kind": EventKind.EDITED, "edited_to": {"text": value}}))
    store.add(kept, event)
    assert [stored.event for stored in store.events()] == [event]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_database_and_its_log_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = tmp_path / "new" / "deep" / "feedback.db"
        with FeedbackStore(path) as store:
            store.add(answer())
            files = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
            assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
        assert [folder.stat().st_mode & 0o777 for folder in (path.parent, path.parent.parent)] == [0o700] * 2
        path.chmod(0o644)
        FeedbackStore(path).close()
        assert path.stat().st_mode & 0o777 == 0o600, "an older store is made private when it is opened"
    finally:
        os.umask(before)


def test_a_damaged_row_is_named(store) -> None:
    store.add(given := answer(), FeedbackEvent(answer=given.id, kind="accepted"))
    store._connection.db.execute("UPDATE answers SET body = '{}'")
    for read in (lambda: list(store.answers()), lambda: list(store.events()), lambda: store.answer(given.id)):
        with pytest.raises(DataError, match="cannot be read"):
            read()
