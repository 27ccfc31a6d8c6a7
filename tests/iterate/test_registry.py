"""The registry: a version is complete before the state names it, and a killed process leaves a valid state."""

import json
import os
import random
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from metier.contracts import DataError, FineTune, UsageError
from metier.data.samples_file import read_samples
from metier.iterate.registry import Registry


@pytest.fixture
def registry(first: FineTune, tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "registry", first)


def test_a_registry_starts_with_a_fine_tune_and_its_held_out_samples(registry, first, samples) -> None:
    state = registry.state()
    assert (state.champion, state.challenger, registry.names()) == ("v0001", None, ["v0001"])
    assert registry.finetune("v0001").card == first.card and registry.task == first.card.tasks[0]
    assert [s.input for s in registry.held_out()] == [s.input for s in samples[64:]]
    assert [s.input for s in registry.pool("v0001")] == [s.input for s in samples[:16]]


def test_the_history_records_every_change_of_champion(registry, first, samples) -> None:
    pool = registry.pool("v0001")
    for _ in range(2):
        registry.add(first, pool, parent="v0001")
    assert registry.names() == ["v0001", "v0002", "v0003"] and registry.state().champion == "v0001"
    registry.promote("v0002", "better by 3 points")
    registry.canary("v0003", 0.1)
    assert (registry.state().challenger, registry.state().share) == ("v0003", 0.1)
    since = registry.state().trial_since
    registry.canary("v0003", 0.3)
    assert registry.state().trial_since == since == registry.state().history[-2].at
    registry.promote("v0003")
    assert (registry.state().champion, registry.state().challenger) == ("v0003", None)
    assert registry.state().trial_since is None
    registry.rollback("users complain")
    registry.rollback()
    assert registry.state().champion == "v0001"
    assert [(e.action, e.version, e.before) for e in registry.state().history] == [
        ("created", "v0001", None),
        ("promoted", "v0002", "v0001"),
        ("canary", "v0003", "v0002"),
        ("canary", "v0003", "v0002"),
        ("promoted", "v0003", "v0002"),
        ("rolled back", "v0002", "v0003"),
        ("rolled back", "v0001", "v0002"),
    ]


def test_the_champion_s_feedback_is_consumed(registry, first) -> None:
    registry.add(first, [], parent="v0001", until=40)
    registry.add(first, [], parent="v0002", until=70)
    registry.add(first, [], parent="v0003")  # by hand: its feedback is that of its parent
    states = [
        registry.canary("v0002", 0.2),
        registry.withdraw(),
        registry.promote("v0002"),
        registry.promote("v0004"),
        registry.rollback(),
        registry.rollback(),
    ]
    assert [state.consumed for state in states] == [0, 0, 40, 70, 40, 0]


def test_a_trial_is_not_replaced_by_another(registry, first) -> None:
    for _ in range(2):
        registry.add(first, [], parent="v0001")
    registry.canary("v0002", 0.2)
    with pytest.raises(UsageError, match=r"v0002 is on trial\n.*withdraw"):
        registry.canary("v0003", 0.2)
    assert registry.state().challenger == "v0002"


def test_an_invalid_change_raises_and_the_state_stays(registry) -> None:
    before = registry.state()
    for call, words in (
        (registry.rollback, "no earlier champion"),
        (lambda: registry.promote("v0009"), "no version v0009"),
        (lambda: registry.promote("v0001"), "champion already"),
        (lambda: registry.canary("v0001", 0.1), "is the champion"),
        (lambda: registry.canary("v0001", 1.0), "between 0 and 1"),
        (registry.withdraw, "no challenger"),
        (lambda: Registry(registry.folder / "versions"), "not a registry"),
        (lambda: Registry.create(registry.folder, registry.finetune("v0001")), "already"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    assert registry.state() == before


def test_a_registry_is_created_completely_or_not_at_all(first, samples, tmp_path: Path, monkeypatch) -> None:
    """A process killed before it writes the state leaves no folder."""
    folder = tmp_path / "registry"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("metier.iterate.registry.State", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
        Registry.create(folder, first)
    assert not folder.exists()
    (folder / "versions/v0001").mkdir(parents=True)  # what an earlier Metier left when it was killed
    with pytest.raises(UsageError, match="the folder is not empty"):
        Registry.create(folder, first)
    assert [path.name for path in folder.iterdir()] == ["versions"]
    (tmp_path / "empty").mkdir()
    assert Registry.create(tmp_path / "empty", first).names() == ["v0001"]


def test_a_fine_tune_that_an_engine_cannot_reload_raises(first, tmp_path: Path) -> None:
    head_recipe = first.card.recipe.model_copy(update={"produces": "head"})
    other = first.model_copy(update={"card": first.card.model_copy(update={"recipe": head_recipe})})
    with pytest.raises(UsageError, match="LoRA weights that generate text"):
        Registry.create(tmp_path / "registry", other)
    assert not (tmp_path / "registry").exists()


def test_a_rollback_moves_a_name_and_no_weights(registry, first) -> None:
    """Its cost: the files that it opens, however heavy the versions are."""
    opened, watching = set(), True
    sys.addaudithook(lambda event, found: opened.add(str(found[0])) if watching and event == "open" else None)
    registry.add(first, [])
    registry.promote("v0002")
    assert any(path.endswith(".safetensors") for path in opened), "a version's weights are seen when they are opened"
    opened.clear()
    registry.rollback()
    watching = False
    mine = [Path(path) for path in opened if path.startswith(str(registry.folder))]
    assert mine and not [path for path in mine if path.suffix in {".safetensors", ".jsonl"}]
    assert len(mine) < 10 and sum(path.stat().st_size for path in mine if path.is_file()) < 20_000


def test_the_versions_trained_on_an_event_are_found(registry, first, samples) -> None:
    from metier.contracts import Provenance

    pool = [
        s.model_copy(update={"provenance": Provenance(source="feedback", line=i)}) for i, s in enumerate(samples, 1)
    ]
    registry.add(first, pool[:5])
    registry.add(first, pool[:9])
    assert registry.trained_on([7, 8]) == ["v0003"]
    assert registry.trained_on([2]) == ["v0002", "v0003"] and registry.trained_on([99]) == []


def test_every_change_reads_the_state_under_the_lock(registry, first) -> None:
    """Between a read and a write another process may end the trial and start the next one."""
    for _ in range(2):
        registry.add(first, [], parent="v0001")
    registry.canary("v0002", 0.2)
    other, read = Registry(registry.folder), registry.state

    class Lock:
        """The registry's lock; before it is acquired another process changes the state."""

        def __enter__(self) -> None:
            other.withdraw()
            other.canary("v0003", 0.2)

        def __exit__(self, *_) -> None:
            pass

    registry._lock = Lock()
    state = registry.withdraw("by hand")
    assert state.challenger is None and state.history[-1].version == "v0003", "the version that was on trial"
    assert read() == state


def test_rejected_feedback_is_recorded_once_and_reinstated_with_its_events(registry, first) -> None:
    registry.add(first, [], parent="v0001", until=40)
    for _ in range(2):
        state = registry.reject("v0002", "worse", [(1, 40)])
    assert state.rejected == ((1, 40),) and [e.action for e in state.history] == ["created", "rejected"]
    registry.clear(60)
    state = registry.reinstate("the schedule was the cause")
    assert (state.rejected, state.cleared, state.history[-1].action) == ((), 0, "reinstated")
    assert state.history[-1].why == "the schedule was the cause: events 1 to 40"
    with pytest.raises(UsageError, match="no feedback is rejected"):
        registry.reinstate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_registry_is_readable_by_its_owner_only(first, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        registry = Registry.create(tmp_path / "private", first)
        registry.add(first, [], parent="v0001")
        registry.promote("v0002")
        registry.clear(3)
    finally:
        os.umask(before)
    paths = [registry.folder, *(path for path in registry.folder.rglob("*") if path.name != ".lock")]
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in paths}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_a_registry_of_an_earlier_metier_raises_with_a_remedy(registry) -> None:
    file = registry.folder / "state.json"
    old = {"schema_version": "1", "trail": ["v0001"], "refused": [], "history": []}
    file.write_text(json.dumps(old), "utf-8")
    with pytest.raises(DataError, match="another version of Metier") as error:
        registry.state()
    assert "metier iterate start" in str(error.value)


def test_a_killed_process_leaves_a_valid_registry(registry, killed) -> None:
    """20 writers, two at a time, killed at random moments: every state parses, every version is complete."""
    rng, acknowledged = random.Random(0), []

    def write(send) -> None:
        mine = Registry(registry.folder)
        while True:
            version = mine.add(mine.finetune("v0001"), mine.pool("v0001"), parent="v0001")
            send(version.name)
            with suppress(UsageError):  # another version is on trial, perhaps a killed process's
                mine.canary(version.name, 0.2)
            mine.promote(version.name)
            if int(version.name[1:]) % 3 == 0:
                mine.rollback()

    def kill_one() -> None:
        acknowledged.extend(killed(rng.uniform(0.02, 0.2) * (1 + rounds / 5), write))

    rounds = 0  # each is given longer than the one before
    while rounds < 10 or (len(acknowledged) <= 10 and rounds < 100):  # a busy machine writes less before each kill
        rounds += 1
        pair = [threading.Thread(target=kill_one) for _ in range(2)]
        for one in pair:
            one.start()
        for one in pair:
            one.join()
        state = registry.state()
        assert set(state.champions) <= set(registry.names()) and state.challenger in {None, *registry.names()}
    assert len(acknowledged) > 10 and set(acknowledged) <= set(registry.names())
    for name in registry.names():
        registry.finetune(name)  # its checksum holds
        assert registry.version(name).name == name and len(list(read_samples(registry.path(name) / "pool.jsonl"))) == 16
    registry.add(registry.finetune("v0001"), [])  # the lock of a killed process is free
