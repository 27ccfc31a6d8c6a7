"""The registry: a version is whole before anything names it, and whoever is killed leaves a state that stands."""

import random
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from metier.contracts import FineTune, UsageError
from metier.data.samples_file import read_samples
from metier.iterate.registry import Registry


@pytest.fixture
def registry(first: FineTune, tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "registry", first)


def test_a_registry_begins_with_a_fine_tune_and_what_that_was_not_trained_on(registry, first, samples) -> None:
    state = registry.state()
    assert (state.champion, state.challenger, registry.names()) == ("v0001", None, ["v0001"])
    assert registry.finetune("v0001").card == first.card and registry.task == first.card.tasks[0]
    assert [s.input for s in registry.held_out()] == [s.input for s in samples[64:]]
    assert [s.input for s in registry.pool("v0001")] == [s.input for s in samples[:16]]


def test_champions_come_and_go_and_the_history_says_why(registry, first, samples) -> None:
    pool = registry.pool("v0001")
    for _ in range(2):
        registry.add(first, pool, parent="v0001")
    assert registry.names() == ["v0001", "v0002", "v0003"] and registry.state().champion == "v0001"
    registry.promote("v0002", "better by 3 points")
    registry.canary("v0003", 0.1)
    assert (registry.state().challenger, registry.state().share) == ("v0003", 0.1)
    since = registry.state().tried_since
    registry.canary("v0003", 0.3)
    assert registry.state().tried_since == since == registry.state().history[-2].at
    registry.promote("v0003")
    assert (registry.state().champion, registry.state().challenger) == ("v0003", None)
    assert registry.state().tried_since is None
    registry.rollback("users complain")
    registry.rollback()
    assert registry.state().champion == "v0001"
    assert [(m.what, m.version, m.before) for m in registry.state().history] == [
        ("begun", "v0001", None),
        ("promoted", "v0002", "v0001"),
        ("canary", "v0003", "v0002"),
        ("canary", "v0003", "v0002"),
        ("promoted", "v0003", "v0002"),
        ("rolled back", "v0002", "v0003"),
        ("rolled back", "v0001", "v0002"),
    ]


def test_what_is_used_up_is_what_the_champion_has_learnt(registry, first) -> None:
    registry.add(first, [], parent="v0001", until=40)
    registry.add(first, [], parent="v0002", until=70)
    registry.add(first, [], parent="v0003")  # by hand: as much as its parent, for all that is known
    used = [
        registry.canary("v0002", 0.2),
        registry.withdraw(),
        registry.promote("v0002"),
        registry.promote("v0004"),
        registry.rollback(),
        registry.rollback(),
    ]
    assert [state.consumed for state in used] == [0, 0, 40, 70, 40, 0]


def test_a_trial_is_not_replaced_by_another(registry, first) -> None:
    for _ in range(2):
        registry.add(first, [], parent="v0001")
    registry.canary("v0002", 0.2)
    with pytest.raises(UsageError, match=r"v0002 is on trial\n.*withdraw"):
        registry.canary("v0003", 0.2)
    assert registry.state().challenger == "v0002"


def test_what_makes_no_sense_is_refused_and_nothing_moves(registry) -> None:
    before = registry.state()
    for call, words in (
        (registry.rollback, "no earlier champion"),
        (lambda: registry.promote("v0009"), "no version v0009"),
        (lambda: registry.promote("v0001"), "champion already"),
        (lambda: registry.canary("v0001", 0.1), "is the champion"),
        (lambda: registry.canary("v0001", 1.0), "no trial"),
        (registry.withdraw, "no challenger"),
        (lambda: Registry(registry.folder / "versions"), "not a registry"),
        (lambda: Registry.create(registry.folder, registry.finetune("v0001")), "already"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    assert registry.state() == before


def test_a_registry_is_there_whole_or_not_at_all(first, samples, tmp_path: Path, monkeypatch) -> None:
    """Killed before its state is written it leaves nothing that another fine-tune's held-out data could lie beside."""
    folder = tmp_path / "registry"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("metier.iterate.registry.State", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
        Registry.create(folder, first)
    assert not folder.exists()
    (folder / "versions/v0001").mkdir(parents=True)  # what an earlier Metier left when it was killed
    with pytest.raises(UsageError, match="there is something else already"):
        Registry.create(folder, first)
    assert [path.name for path in folder.iterdir()] == ["versions"]
    (tmp_path / "empty").mkdir()
    assert Registry.create(tmp_path / "empty", first).names() == ["v0001"]


def test_a_fine_tune_that_no_turn_could_go_on_from_is_refused(first, tmp_path: Path) -> None:
    headed = first.card.recipe.model_copy(update={"way": "head"})
    other = first.model_copy(update={"card": first.card.model_copy(update={"recipe": headed})})
    with pytest.raises(UsageError, match="LoRA weights that answer in text"):
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


def test_what_an_erased_user_said_is_found_in_the_versions_that_learnt_it(registry, first, samples) -> None:
    from metier.contracts import Provenance

    said = [
        s.model_copy(update={"provenance": Provenance(source="feedback", line=i)}) for i, s in enumerate(samples, 1)
    ]
    registry.add(first, said[:5])
    registry.add(first, said[:9])
    assert registry.learnt_from([7, 8]) == ["v0003"]
    assert registry.learnt_from([2]) == ["v0002", "v0003"] and registry.learnt_from([99]) == []


def test_whoever_is_killed_leaves_a_registry_that_stands(registry, killed) -> None:
    """20 writers, two at a time, killed at random moments: every state parses, every version is whole."""
    rng, acknowledged = random.Random(0), []

    def write(say) -> None:
        mine = Registry(registry.folder)
        while True:
            version = mine.add(mine.finetune("v0001"), mine.pool("v0001"), parent="v0001")
            say(version.name)
            with suppress(UsageError):  # the other's is on trial, or that of one who was killed
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
        assert set(state.trail) <= set(registry.names()) and state.challenger in {None, *registry.names()}
    assert len(acknowledged) > 10 and set(acknowledged) <= set(registry.names())
    for name in registry.names():
        registry.finetune(name)  # its checksum holds
        assert registry.version(name).name == name and len(list(read_samples(registry.path(name) / "pool.jsonl"))) == 16
    registry.add(registry.finetune("v0001"), [])  # and it can be written again, whoever died with the lock
