"""Erased feedback leaves the registry too: no file holds it, no iteration replays it, and its versions are marked."""

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


def add_edit(store: FeedbackStore, user: str, facts: str, text: str) -> None:
    answer = Answer(task="shop.describe", input={"facts": facts}, output={"text": "x"}, user=user, consent=True)
    store.add(answer, FeedbackEvent(answer=answer.id, kind="edited", edited_to={"text": text}, user=user))


def files_with(folder: Path, word: bytes) -> list[str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(str(file.relative_to(folder)) for file in files if word in file.read_bytes())


def add_version(registry: Registry, store: FeedbackStore, parent: str = "v0001") -> str:
    """A version trained on all of the store's feedback, as an iteration adds it."""
    data = collect_feedback(registry.task, store.events(), registry.held_out())
    pool = deduplicate([*data.samples, *registry.pool(parent)], threshold=2).kept
    return registry.add(registry.finetune("v0001"), pool, parent=parent, until=data.until).name


def test_no_file_holds_erased_feedback_and_every_version_trained_on_it_is_marked(registry, store) -> None:
    add_edit(store, "bob", "an oaken lamp", "A lamp of oak.")
    before = add_version(registry, store)
    add_edit(store, "ann", "a wedding ring", "Her wedding ring.")
    with_ann = add_version(registry, store, before)
    heir = registry.add(
        registry.finetune("v0001"), [], parent=with_ann
    ).name  # added by hand: its pool does not show the event
    (registry.path(with_ann) / "train.jsonl").write_bytes((registry.path(with_ann) / "pool.jsonl").read_bytes())
    leftover = registry.folder / f"versions/{PART}v0009-0000-1-x"
    leftover.mkdir()
    (leftover / "pool.jsonl").write_text("wedding")
    assert len(files_with(registry.folder, b"wedding")) == 3

    found = erase_from_registry(registry, store.erase("ann").numbers)
    assert found == ((with_ann, heir), 1, False) and files_with(registry.folder, b"wedding") == []
    assert len(registry.pool(with_ann)) == len(registry.pool(before)) == 17
    assert (registry.version(with_ann).erased, registry.version(before).erased) == ((2,), ())
    assert trained_on_erased(registry) == {with_ann: (2,), heir: (2,)}
    assert registry.trained_on([2]) == [with_ann], "the mark is enough"
    registry.finetune(with_ann)  # its checksum holds
    assert registry.pool(heir) == []

    assert erase_from_registry(registry, store.erased_numbers()) == ((with_ann, heir), 0, False)
    store.erase("bob")
    assert erase_from_registry(registry, store.erased_numbers()) == ((before, with_ann, heir), 1, False)
    assert trained_on_erased(registry)[heir] == (1, 2)


def test_held_out_samples_from_erased_feedback_are_removed(registry, store) -> None:
    add_edit(store, "ann", "a wedding ring", "Her wedding ring.")
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


def test_a_waiting_iteration_that_holds_erased_feedback_is_discarded(registry, store, engine) -> None:
    settings = IterationSettings(min_samples=99)
    add_edit(store, "bob", "an oaken lamp", "A lamp of oak.")
    add_edit(store, "ann", "a wedding ring", "Her wedding ring.")
    assert run_iteration(registry, store, engine, settings=settings).outcome == "too few"
    assert files_with(registry.folder, b"wedding") == ["work/iteration.json"]
    assert erase_from_registry(registry, store.erase("ann").numbers) == ((), 0, True)
    assert files_with(registry.folder, b"wedding") == []

    add_edit(store, "cyd", "a wedding dress", "Her wedding dress.")
    run_iteration(registry, store, engine, settings=settings)
    assert erase_from_registry(registry, store.erased_numbers()).iteration_discarded is False, (
        "it holds bob's and cyd's"
    )
    store.erase("cyd")  # without a registry
    assert len(run_iteration(registry, store, engine, settings=settings).feedback.samples) == 1
    assert files_with(registry.folder, b"wedding") == []


def test_the_next_iteration_removes_erased_feedback_from_a_registry_that_was_not_named(registry, store, engine) -> None:
    add_edit(store, "ann", "a wedding ring", "Her wedding ring.")
    registry.promote(add_version(registry, store))
    store.erase("ann")
    run_iteration(registry, store, engine, settings=IterationSettings(min_samples=99))
    assert files_with(registry.folder, b"wedding") == [] and trained_on_erased(registry) == {"v0002": (1,)}


def test_erasing_during_an_iteration_raises_and_works_afterwards(registry, store) -> None:
    add_edit(store, "ann", "a wedding ring", "Her wedding ring.")
    name = add_version(registry, store)
    with (
        FileLock(registry.folder / ".iteration.lock"),
        pytest.raises(UsageError, match="another process runs an iteration"),
    ):
        erase_from_registry(registry, store.erase("ann").numbers)
    assert store.erase("ann").numbers == ()
    assert erase_from_registry(registry, store.erased_numbers()) == ((name,), 1, False)


def test_the_next_call_completes_an_erasure_that_was_killed(registry, store, killed) -> None:
    for number in range(40):
        add_edit(store, "ann", f"wedding ring, number {number}", f"A ring for wedding {number * 7919}.")
    for _ in range(6):
        add_version(registry, store)
    numbers = store.erase("ann").numbers
    for moment in (0.005, 0.01, 0.02, 0.04):
        killed(moment, lambda send: erase_from_registry(Registry(registry.folder), numbers) and None)
        assert all(registry.finetune(name) and registry.pool(name) for name in registry.names())
    assert len(erase_from_registry(registry, numbers).versions) == 6 and files_with(registry.folder, b"wedding") == []
