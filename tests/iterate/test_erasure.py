"""What was erased is gone from a registry, too: no file holds it, no turn replays it, and its versions are marked."""

from pathlib import Path

import pytest
from filelock import FileLock

from metier.contracts import Answer, FeedbackEvent, Provenance, Sample, UsageError
from metier.data.deduplicate import deduplicate
from metier.disk import PART
from metier.feedback import FeedbackStore
from metier.feedback.training_data import collect_feedback
from metier.iterate import IterationSettings, Registry, erase_from_registry, run_iteration
from metier.iterate.erasure import trained_on_erased
from metier.runtime import Engine


def say(store: FeedbackStore, user: str, facts: str, made: str) -> None:
    answer = Answer(task="shop.describe", input={"facts": facts}, output={"text": "x"}, user=user, consent=True)
    store.add(answer, FeedbackEvent(answer=answer.id, kind="edited", edited_to={"text": made}, user=user))


def holding(folder: Path, word: bytes) -> list[str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(str(file.relative_to(folder)) for file in files if word in file.read_bytes())


def learnt(registry: Registry, store: FeedbackStore, parent: str = "v0001") -> str:
    """A version that learnt all of the store's feedback, as a turn adds it."""
    said = collect_feedback(registry.task, store.events(), registry.held_out())
    pool = deduplicate([*said.samples, *registry.pool(parent)], threshold=2).kept
    return registry.add(registry.finetune("v0001"), pool, parent=parent, until=said.until).name


def test_what_was_erased_is_in_no_file_and_every_version_that_learnt_it_is_marked(registry, store) -> None:
    say(store, "bob", "an oaken lamp", "A lamp of oak.")
    before = learnt(registry, store)
    say(store, "ann", "a wedding ring", "Her wedding ring.")
    with_ann = learnt(registry, store, before)
    heir = registry.add(registry.finetune("v0001"), [], parent=with_ann).name  # by twins, or by hand: no trace of her
    (registry.path(with_ann) / "train.jsonl").write_bytes((registry.path(with_ann) / "pool.jsonl").read_bytes())
    leftover = registry.folder / f"versions/{PART}v0009-0000-1-x"
    leftover.mkdir()
    (leftover / "pool.jsonl").write_text("wedding")
    assert len(holding(registry.folder, b"wedding")) == 3

    found = erase_from_registry(registry, store.erase("ann").numbers)
    assert found == ((with_ann, heir), 1, False) and holding(registry.folder, b"wedding") == []
    assert len(registry.pool(with_ann)) == len(registry.pool(before)) == 17
    assert (registry.version(with_ann).erased, registry.version(before).erased) == ((2,), ())
    assert trained_on_erased(registry) == {with_ann: (2,), heir: (2,)}
    assert registry.trained_on([2]) == [with_ann], "it is still told when nothing is left but the mark"
    registry.finetune(with_ann)  # its checksum holds
    assert registry.pool(heir) == []

    assert erase_from_registry(registry, store.erased_numbers()) == ((with_ann, heir), 0, False)
    store.erase("bob")
    assert erase_from_registry(registry, store.erased_numbers()) == ((before, with_ann, heir), 1, False)
    assert trained_on_erased(registry)[heir] == (1, 2)


def test_held_out_data_that_came_from_feedback_is_taken_out_as_well(registry, store) -> None:
    say(store, "ann", "a wedding ring", "Her wedding ring.")
    (registry.folder / "held_out.jsonl").write_text(
        Sample(
            task="shop.describe",
            input={"facts": "a wedding"},
            output={"text": "x"},
            provenance=Provenance(source="feedback", line=1),
        ).model_dump_json()
        + "\n"
        + (registry.folder / "held_out.jsonl").read_text()
    )
    assert len(registry.held_out()) == 17
    assert erase_from_registry(registry, store.erase("ann").numbers) == ((), 1, False)
    assert len(registry.held_out()) == 16 and trained_on_erased(registry) == {}


@pytest.fixture(scope="module")
def engine(bundle: Path):
    with Engine(bundle, device="cpu", threads=1, rows=4, max_len=256) as opened:
        yield opened


def test_a_turn_that_waits_is_thrown_away_where_it_holds_what_was_erased(registry, store, engine) -> None:
    settings = IterationSettings(min_samples=99)
    say(store, "bob", "an oaken lamp", "A lamp of oak.")
    say(store, "ann", "a wedding ring", "Her wedding ring.")
    assert run_iteration(registry, store, engine, settings=settings).outcome == "too few"
    assert holding(registry.folder, b"wedding") == ["work/iteration.json"]
    assert erase_from_registry(registry, store.erase("ann").numbers) == ((), 0, True)
    assert holding(registry.folder, b"wedding") == []

    say(store, "cyd", "a wedding dress", "Her wedding dress.")
    run_iteration(registry, store, engine, settings=settings)
    assert erase_from_registry(registry, store.erased_numbers()).turn is False, "bob's and cyd's words stay"
    store.erase("cyd")  # and nobody says which registry had it
    assert len(run_iteration(registry, store, engine, settings=settings).feedback.samples) == 1
    assert holding(registry.folder, b"wedding") == []


def test_the_next_turn_replays_nothing_that_was_erased_whoever_forgot_the_registry(registry, store, engine) -> None:
    say(store, "ann", "a wedding ring", "Her wedding ring.")
    registry.promote(learnt(registry, store))
    store.erase("ann")
    run_iteration(registry, store, engine, settings=IterationSettings(min_samples=99))
    assert holding(registry.folder, b"wedding") == [] and trained_on_erased(registry) == {"v0002": (1,)}


def test_while_a_turn_is_taken_nothing_is_promised_and_the_numbers_are_still_there_afterwards(registry, store) -> None:
    say(store, "ann", "a wedding ring", "Her wedding ring.")
    name = learnt(registry, store)
    with FileLock(registry.folder / ".iteration.lock"), pytest.raises(UsageError, match="another process takes a turn"):
        erase_from_registry(registry, store.erase("ann").numbers)
    assert store.erase("ann").numbers == () and erase_from_registry(registry, store.erased_numbers()) == (
        (name,),
        1,
        False,
    )


def test_whoever_is_killed_while_forgetting_is_made_good_by_the_next(registry, store, killed) -> None:
    for number in range(40):
        say(store, "ann", f"wedding ring, number {number}", f"A ring for wedding {number * 7919}.")
    for _ in range(6):
        learnt(registry, store)
    numbers = store.erase("ann").numbers
    for moment in (0.005, 0.01, 0.02, 0.04):
        killed(moment, lambda say: erase_from_registry(Registry(registry.folder), numbers) and None)
        assert all(registry.finetune(name) and registry.pool(name) for name in registry.names())
    assert len(erase_from_registry(registry, numbers).versions) == 6 and holding(registry.folder, b"wedding") == []
