"""The feedback store: what it acknowledged it keeps, whoever is killed; what is to be erased is gone from the bytes."""

import random
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metier.contracts import DataError, Feedback, ResourceError, UsageError
from metier.iterate import Answer, Event, FeedbackStore
from metier.iterate.tables import MIGRATIONS, VERSION

TASK = "shop.describe"


def answer(**fields) -> Answer:
    return Answer(**{"task": TASK, "input": {"facts": "a mug"}, "output": {"text": "A mug."}, **fields})


@pytest.fixture
def store(tmp_path: Path):
    with FeedbackStore(tmp_path / "feedback.db") as opened:
        yield opened


def test_an_answer_and_every_kind_of_event_come_back_as_they_were_written(store) -> None:
    given = answer(user="ann", adapter="v1", bundle="b", prompt="Describe: a mug", checks={"short": ()}, consent=True)
    events = [
        Event(answer=given.id, kind="accepted", user="ann"),
        Event(answer=given.id, kind="edited", edited_to={"text": "A blue mug."}, comment="colour"),
        Event(answer=given.id, kind="rejected"),
        Event(answer=given.id, kind="chosen", among=({"text": "Mug!"}, {"text": "Mugs."})),
        Event(answer=given.id, kind="rated", rating=0.8),
        Event(answer=given.id, kind="comment", comment="杯子"),
    ]
    store.add(given, *events)
    assert store.answer(given.id) == given
    assert [told.event for told in store.told()] == events
    assert [told.answer for told in store.told()] == [given] * 6
    assert store.counts(TASK) == {
        "answers": 1, "accepted": 1, "chosen": 1, "comment": 1, "edited": 1, "rated": 1, "rejected": 1
    }  # fmt: skip
    assert [t.feedback().event for t in store.told() if t.feedback()] == [e.kind for e in events[:5]]


def test_one_call_of_a_product_writes_both_rows(store) -> None:
    feedback = Feedback(task=TASK, input={"facts": "x"}, answer={"text": "y"}, event="edited", edited_to={"text": "z"})
    id = store.record(feedback, consent=True)
    (told,) = store.told()
    assert told.answer.id == id and told.answer.consent and told.event.edited_to == {"text": "z"}
    assert told.feedback().model_copy(update={"at": None}) == feedback


def test_an_event_without_its_answer_or_without_what_it_needs_is_refused_and_nothing_is_written(store) -> None:
    with pytest.raises(UsageError, match="no answer nobody"):
        store.add(answer(), Event(answer="nobody", kind="accepted"))
    assert store.counts() == {"answers": 0}
    given = answer()
    store.add(given)
    with pytest.raises(UsageError, match="needs edited_to"):
        store.tell(given.id, "edited")


def test_a_row_is_written_once_however_often_it_is_added(store) -> None:
    given = answer()
    event = Event(answer=given.id, kind="accepted")
    for _ in range(3):
        store.add(given, event)
    assert store.counts() == {"answers": 1, "accepted": 1}


def test_an_id_that_is_used_again_for_something_else_is_refused_and_nothing_is_written(store) -> None:
    given = answer(id="7", user="ann")
    said = Event(id="8", answer="7", kind="accepted", user="ann")
    store.add(given, said)
    later = datetime(2040, 1, 1, tzinfo=UTC)
    again = given.model_copy(update={"at": later, "keep_until": later}), said.model_copy(update={"at": later})
    store.add(*again)  # the same, tried again a moment later
    assert list(store.answers()) == [given] and next(store.told()).event == said
    other = answer(id="7", input={"facts": "a lamp"}), Event(id="8", answer="7", kind="rejected", user="ann")
    for row, words in zip(other, ("answer 7", "event 8"), strict=True):
        with pytest.raises(UsageError, match=f"{words} is there already, and says something else"):
            store.add(answer(), row)
    assert store.counts() == {"answers": 1, "accepted": 1}


def test_reading_goes_on_where_it_stopped_and_sees_what_is_written_meanwhile(store) -> None:
    given = answer()
    store.add(given, *(Event(answer=given.id, kind="accepted") for _ in range(1203)))
    reader = store.told()
    first = [next(reader).number for _ in range(10)]
    store.tell(given.id, "rejected")
    rest = list(reader)
    assert len(first) + len(rest) == 1204 and rest[-1].event.kind == "rejected"
    assert [t.event.kind for t in store.told(after=1203)] == ["rejected"]


def test_threads_write_side_by_side(store) -> None:
    given = answer()
    store.add(given)
    writers = [threading.Thread(target=lambda: [store.tell(given.id, "accepted") for _ in range(25)]) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.counts()["accepted"] == 200


def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path, killed) -> None:
    """20 writers, two at a time on one file, killed at random moments in the middle of writing."""
    path, rng, acknowledged = tmp_path / "feedback.db", random.Random(0), []
    FeedbackStore(path).close()

    def write(say) -> None:
        store = FeedbackStore(path)
        while True:
            given = answer(input={"facts": "x" * 3000})
            store.add(given, Event(answer=given.id, kind="accepted"))
            say(given.id)

    def kill_one() -> None:
        acknowledged.extend(killed(rng.uniform(0.01, 0.2) * (1 + rounds / 5), write))

    rounds = 0  # each is given longer than the one before
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
        store.add(hers, his, Event(answer=hers.id, kind="accepted", user="bob"))
        store.tell(his.id, "comment", comment="said by ann-7131", user="ann-7131")
        store.tell(his.id, "accepted", user="bob")
        assert store.erase("ann-7131") == (1, 2, (1, 2))
        assert [a.id for a in store.answers()] == [his.id] and store.counts()["accepted"] == 1
    for file in tmp_path.iterdir():
        assert b"ann-7131" not in file.read_bytes() and b"wedding" not in file.read_bytes()


def test_erasing_while_somebody_reads_says_that_the_log_still_holds_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("metier.iterate.store.BUSY_SECONDS", 0.1)
    with FeedbackStore(tmp_path / "feedback.db") as store:
        store.add(hers := answer(user="ann-7131"), Event(answer=hers.id, kind="accepted"))
        reader = sqlite3.connect(store.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM answers").fetchone()
        with pytest.raises(ResourceError, match="not yet from the log"):
            store.erase("ann-7131")
        reader.close()
    with FeedbackStore(tmp_path / "feedback.db") as store:  # whoever was told to do it again, in a new process
        assert store.erase("ann-7131") == (1, 1, (1,))
        assert not any(b"ann-7131" in file.read_bytes() for file in tmp_path.iterdir())
        assert store.erase("ann-7131") == (0, 0, ())


def test_the_numbers_of_what_was_erased_are_kept_for_a_registry_that_comes_later(store) -> None:
    for user in ("ann", "bob", "ann"):
        store.add(given := answer(user=user), Event(answer=given.id, kind="accepted"))
    assert store.erased() == ()
    assert store.erase("ann").numbers == store.erased() == (1, 3)
    assert store.erase("bob").numbers == (2,) and store.erased() == (1, 2, 3)
    store.add(given := answer(), Event(answer=given.id, kind="accepted"))
    assert store.last() == 4, "no event is ever given the number of one that was erased"


def test_a_sweep_takes_what_is_past_its_time_and_no_more(store) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    old, young, kept = (answer(keep_until=now + timedelta(days=d)) for d in (-1, 1, 0)), answer(), answer()
    store.add(*old, young, kept)
    assert store.sweep(now).answers == 2
    assert len(list(store.answers())) == 3


def test_a_store_of_the_first_version_is_brought_up_to_date_with_its_rows(tmp_path: Path) -> None:
    path, given = tmp_path / "old.db", answer(user="ann")
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    db.execute(
        "INSERT INTO answers (id, at, task, user, body) VALUES (?, ?, ?, ?, ?)",
        (given.id, given.at.timestamp(), given.task, given.user, given.model_dump_json()),
    )
    db.commit()
    db.close()
    with FeedbackStore(path) as store:
        assert list(store.answers()) == [given]
        store.add(answer(keep_until=given.at))
        assert store.sweep().answers == 1


def test_a_newer_store_and_a_stranger_s_file_are_refused_untouched(tmp_path: Path) -> None:
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


def test_a_full_disk_is_told_as_one_and_what_was_there_stays(store) -> None:
    store.add(kept := answer())
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.add(answer(output={"text": "x" * 100_000}))
    assert [row.id for row in store.answers()] == [kept.id]
