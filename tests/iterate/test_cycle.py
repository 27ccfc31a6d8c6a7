"""A turn of the loop on a tiny model: what is better takes over, what is worse does not, and an interruption at any
moment leaves what was there before."""

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from metier.contracts import RecipeError, Sample, UsageError
from metier.iterate import Answer, FeedbackStore, Gate, Live, Registry, Settings, turn
from metier.iterate.gate import Criterion, Verdict, judge
from metier.iterate.lesson import recipe_of
from metier.iterate.records import Event
from metier.runtime import Engine

SETTINGS = Settings(epochs=6, learning_rate=1e-2, gate=Gate(max_forgetting=1e6, max_slowdown=1e6, max_metric_drop=1))
"""A random base has nothing to forget, and what a busy machine takes for two tokens says nothing of a version."""


UNSURE = SETTINGS.model_copy(update={"gate": SETTINGS.gate.model_copy(update={"min_gain": 50.0})})
"""What nothing gains enough for: a turn waits."""
HARMFUL = Verdict(found="failed", criteria=(Criterion(name="loss", found="failed", said="worse"),))


@pytest.fixture(scope="module")
def opened(bundle: Path):
    with Engine(bundle, device="cpu", threads=1, rows=4, max_len=256) as engine:
        yield engine


@pytest.fixture
def engine(opened: Engine):
    """Each test has a store of its own."""
    opened.recorder = None
    return opened


def teach(store: FeedbackStore, samples: list[Sample], *, well: bool = True, at: datetime | None = None) -> None:
    """Users correct answers: into what the samples say, or into nonsense, of letters that no right answer has, so that
    whoever learns it loses for sure what it shared with them."""
    for number, sample in enumerate(samples):
        right = sample.output["text"]
        wrong = "".join(random.Random(number).choices("QXZVJ", k=len(right)))
        answer = Answer(task=sample.task, input=sample.input, output={"text": "x"}, user=f"u{number}", consent=True)
        when = {"at": at} if at else {}
        edited = {"text": right if well else wrong}
        event = Event(answer=answer.id, kind="edited", edited_to=edited, user=f"u{number}", **when)
        store.add(answer, event)


def test_good_feedback_makes_a_better_champion_that_answers_at_once(
    registry, store, engine, samples, first, check
) -> None:
    live = Live(engine, registry, store, checks=[check])
    held_out = {s.input["facts"] for s in registry.held_out()}
    teach(store, samples[16:])  # the last 16 of these are held out
    result = turn(registry, store, engine, settings=SETTINGS, checks=[check])
    assert (result.outcome, result.version, result.champion) == ("promoted", "v0002", "v0002"), result.why
    assert result.comparison.loss["challenger"] < result.comparison.loss["champion"]
    learnt = {s.input["facts"] for s in registry.pool("v0002")}
    assert not learnt & held_out and len(result.harvest.samples) == 48
    assert {left.rule for left in result.harvest.left_out} == {"held_out"}
    version = registry.version("v0002")
    assert (version.parent, version.learnt, version.replayed) == ("v0001", 48, 16)
    assert registry.finetune("v0002").card.start_sha256 == first.card.weights_sha256
    answer = live.answer(samples[0].input, user="ann")
    assert (
        answer.adapter == "shop.describe.v0002" and store.answer(answer.id) == answer and "full_stop" in answer.checks
    )
    again = turn(registry, store, engine, settings=SETTINGS)
    assert again.outcome == "too few" and registry.names() == ["v0001", "v0002"]


def test_a_turn_in_some_layers_leaves_the_champions_others_as_they_are(registry, store, engine, samples) -> None:
    from safetensors.torch import load_file

    teach(store, samples[16:64])
    free = SETTINGS.gate.model_copy(update={"max_metric_drop": 100})  # one layer learns little: the loss decides
    result = turn(registry, store, engine, settings=SETTINGS.model_copy(update={"layers": "top:1", "gate": free}))
    assert result.outcome == "promoted", result.why
    before, after = (
        load_file(registry.finetune(name).path / "adapter_model.safetensors") for name in ("v0001", "v0002")
    )
    assert before.keys() == after.keys()
    changed = {name for name, weight in after.items() if not weight.equal(before[name])}
    assert changed and changed == {name for name in after if ".layers.2." in name}
    champion = registry.finetune("v0002")
    assert recipe_of(champion, SETTINGS.model_copy(update={"layers": "1-2"})).layers == "1-2"
    assert recipe_of(champion, SETTINGS).layers == "all", "the next turn is not bound to what this one was asked for"


def test_layers_that_no_lora_learns_in_are_refused_by_name_and_nothing_is_lost(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:64])
    interrupt(registry, store, engine, SETTINGS, monkeypatch)
    for layers, said in (("mix", "say way: head"), ("top:9", "the base has 3 layers")):
        with pytest.raises(RecipeError, match=said):
            turn(registry, store, engine, settings=SETTINGS.model_copy(update={"layers": layers}))
    monkeypatch.setattr("metier.adapt.sft.adapt", None)  # whoever trains now, fails
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "promoted"


def test_a_day_of_nonsense_is_refused_and_never_learnt_again(registry, store, engine, samples) -> None:
    teach(store, samples[16:60], well=False)
    result = turn(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion) == ("refused", "v0001") and result.why
    assert registry.state().champion == "v0001" and registry.version("v0002").verdict["found"] == "failed"
    assert registry.state().refused == ((1, 44),)
    teach(store, samples[16:64])
    after = turn(registry, store, engine, settings=SETTINGS)
    assert after.outcome == "promoted" and after.harvest.events == 48
    said = {s.output["text"] for s in registry.pool("v0003")}
    assert said == {s.output["text"] for s in samples[:64]}


def test_what_is_not_proved_waits_for_more_and_is_not_computed_again(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:40])
    first = turn(registry, store, engine, settings=UNSURE)
    assert first.outcome == "waiting" and registry.names() == ["v0001"]
    monkeypatch.setattr("metier.adapt.sft.adapt", None)  # whoever trains now, fails
    assert turn(registry, store, engine, settings=UNSURE) == first
    monkeypatch.undo()
    teach(store, samples[40:64])
    assert len(turn(registry, store, engine, settings=UNSURE).harvest.samples) == 48


def test_what_waited_and_did_no_harm_is_not_condemned_with_a_bad_day(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:40])
    assert turn(registry, store, engine, settings=UNSURE).outcome == "waiting"
    teach(store, samples[16:64], well=False)
    monkeypatch.setattr("metier.iterate.cycle.judge", lambda *_: HARMFUL)
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "refused"
    monkeypatch.undo()
    assert registry.state().refused == ((25, 72),)
    result = turn(registry, store, engine, settings=SETTINGS)
    assert result.outcome == "promoted" and result.harvest.events == 24


def test_a_bad_day_that_waits_with_good_ones_can_be_refused_by_hand(registry, store, engine, samples) -> None:
    monday, tuesday = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in (2, 3))
    teach(store, samples[16:40], at=monday)
    teach(store, samples[40:60], well=False, at=tuesday)
    assert turn(registry, store, engine, settings=UNSURE).outcome == "waiting"
    with FileLock(registry.folder / ".turn.lock"), pytest.raises(UsageError, match="another process takes a turn"):
        registry.refuse_days(store, tuesday.date(), tuesday.date())
    assert registry.refuse_days(store, tuesday.date(), tuesday.date(), "a rogue desk") == ((25, 44),)
    move = registry.state().history[-1]
    assert (move.what, move.why) == ("days refused", "a rogue desk: 2026-03-03 to 2026-03-03")
    result = turn(registry, store, engine, settings=SETTINGS)
    assert result.outcome == "promoted" and len(result.harvest.samples) == 24
    for day in (monday, tuesday):  # learnt, refused
        with pytest.raises(UsageError, match="waits to be learnt"):
            registry.refuse_days(store, day.date(), day.date())
    registry.pardon()
    assert turn(registry, store, engine, settings=SETTINGS.model_copy(update={"least": 99})).harvest.events == 20


def test_a_challenger_gets_its_share_of_the_users_and_no_more(registry, store, engine, samples) -> None:
    teach(store, samples[16:64])
    result = turn(registry, store, engine, settings=SETTINGS.model_copy(update={"share": 0.3}))
    assert (result.outcome, result.champion, registry.state().challenger) == ("canary", "v0001", "v0002")
    live = Live(engine, registry, store)
    whose = {user: live.whose(user) for user in (f"u{i}" for i in range(300))}
    assert {user: live.whose(user) for user in whose} == whose
    assert 60 < sum(name == "v0002" for name in whose.values()) < 120
    answered = {live.answer(samples[0].input, user=user).adapter for user in list(whose)[:12]}
    assert answered == {"shop.describe.v0001", "shop.describe.v0002"}
    registry.withdraw("enough seen")
    assert {live.whose(user) for user in whose} == {"v0001"}
    registry.promote("v0002")
    assert live.whose("u1") == "v0002"
    registry.rollback()
    assert live.answer(samples[0].input).adapter == "shop.describe.v0001"


def test_while_a_challenger_is_on_trial_no_turn_is_taken_and_its_feedback_is_lost_to_nobody(
    registry, store, engine, samples
) -> None:
    tried = SETTINGS.model_copy(update={"share": 0.3})
    teach(store, samples[16:48])
    assert turn(registry, store, engine, settings=tried).outcome == "canary"
    assert registry.state().consumed == 0, "the champion has learnt nothing yet"
    teach(store, samples[48:64])
    during = turn(registry, store, engine, settings=tried)
    assert (during.outcome, registry.state().challenger) == ("on trial", "v0002") and "v0002" in during.why
    registry.withdraw("users do not prefer it")
    assert (registry.state().consumed, registry.state().refused) == (0, ())
    after = turn(registry, store, engine, settings=SETTINGS)
    assert (after.outcome, len(after.harvest.samples), registry.state().consumed) == ("promoted", 48, 48)


def test_what_users_had_and_lost_is_not_made_again_of_the_same_feedback(registry, store, engine, samples) -> None:
    teach(store, samples[16:48])
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    registry.rollback("users complain")
    assert registry.state().consumed == 0
    again = turn(registry, store, engine, settings=SETTINGS)
    assert (again.outcome, again.version, registry.names()) == ("waiting", "v0002", ["v0001", "v0002"])
    assert "v0002 was made of the same" in again.why
    other = turn(registry, store, engine, settings=SETTINGS.model_copy(update={"epochs": 5}))
    assert (other.outcome, other.version) == ("promoted", "v0003")
    registry.rollback()
    teach(store, samples[48:64])
    assert len(turn(registry, store, engine, settings=SETTINGS).harvest.samples) == 48


def test_what_was_learnt_and_is_rejected_now_is_neither_reminded_of_nor_kept(registry, store, engine, samples) -> None:
    teach(store, samples[16:64])
    learnt = registry.pool("v0001")[3]
    answer = Answer(task=learnt.task, input=learnt.input, output=learnt.output, user="ann", consent=True)
    store.add(answer, Event(answer=answer.id, kind="rejected", user="ann"))
    result = turn(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.replayed) == ("promoted", 15)
    assert result.harvest.counts()["left out: overruled"] == 1
    assert learnt.input not in [s.input for s in registry.pool("v0002")] and len(registry.pool("v0002")) == 63


def test_an_interrupted_turn_keeps_what_it_trained_and_takes_the_gate_and_the_share_of_now(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:64])
    interrupt(registry, store, engine, UNSURE, monkeypatch)
    monkeypatch.setattr("metier.adapt.sft.adapt", None)  # whoever trains now, fails
    said: list[str] = []
    now = SETTINGS.model_copy(update={"share": 0.3})
    result = turn(registry, store, engine, settings=now, progress=lambda what, *_, **__: said.append(what))
    assert (result.outcome, registry.state().share) == ("canary", 0.3)
    assert result.taken_up == "what an interrupted turn had trained, by the gate and the share of now"
    assert f"taking up {result.taken_up}" in said


def test_an_interrupted_turn_of_another_schedule_begins_anew(registry, store, engine, samples, monkeypatch) -> None:
    teach(store, samples[16:64])
    interrupt(registry, store, engine, SETTINGS.model_copy(update={"epochs": 1}), monkeypatch)
    teach(store, samples[16:17])
    result = turn(registry, store, engine, settings=SETTINGS)
    assert result.outcome == "promoted" and result.harvest.events == 49
    assert registry.finetune("v0002").card.recipe.epochs == 6
    assert result.taken_up == "nothing: an interrupted turn had another schedule (epochs)"


def test_what_waits_is_judged_by_another_gate_without_being_made_again(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:64])
    assert turn(registry, store, engine, settings=UNSURE).outcome == "waiting"
    monkeypatch.setattr("metier.adapt.sft.adapt", None)  # whoever trains now, fails
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    assert registry.version("v0002").verdict["found"] == "passed"


def test_refused_feedback_that_is_pardoned_is_new_again_though_later_feedback_was_learnt(
    registry, store, engine, samples, monkeypatch
) -> None:
    with pytest.raises(UsageError, match="nothing is refused"):
        registry.pardon()
    teach(store, samples[16:60], well=False)
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "refused"
    teach(store, samples[16:64])
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    assert registry.version("v0003").skipped == ((1, 44),)
    state = registry.pardon("the schedule was to blame")
    assert (state.refused, state.consumed, state.history[-1].what) == ((), 92, "pardoned")
    assert state.history[-1].why == "the schedule was to blame: events 1 to 44"
    monkeypatch.setattr("metier.iterate.cycle.judge", lambda *_: HARMFUL)
    again = turn(registry, store, engine, settings=SETTINGS)
    assert (again.outcome, again.harvest.events) == ("refused", 44)
    assert registry.state().refused == ((1, 44),) and registry.state().consumed == 92
    assert turn(registry, store, engine, settings=SETTINGS).harvest.events == 0


def test_a_schedule_that_fails_on_feedback_found_harmless_condemns_nothing_and_is_not_computed_again(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:40])
    assert turn(registry, store, engine, settings=UNSURE).outcome == "waiting"
    monkeypatch.setattr("metier.iterate.cycle.judge", lambda *_: HARMFUL)
    bad = SETTINGS.model_copy(update={"epochs": 7})
    result = turn(registry, store, engine, settings=bad)
    assert (result.outcome, registry.state().refused) == ("refused", ()) and "no feedback is blamed" in result.why
    monkeypatch.setattr("metier.adapt.sft.adapt", None)  # whoever trains now, fails
    assert turn(registry, store, engine, settings=bad) == result
    assert registry.names() == ["v0001", "v0002"]
    assert [move.what for move in registry.state().history] == ["begun", "refused"]


def interrupt(registry, store, engine, settings: Settings, monkeypatch) -> None:
    """A turn that ends after it has trained."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("metier.iterate.cycle.Judge", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        turn(registry, store, engine, settings=settings)


def test_two_turns_at_once_are_refused(registry, store, engine) -> None:
    with FileLock(registry.folder / ".turn.lock"), pytest.raises(UsageError, match="another process"):
        turn(registry, store, engine)


def test_a_turn_interrupted_at_random_moments_leaves_what_was_there_and_ends_as_the_unbroken_one(
    first, store, bundle, samples, killed, tmp_path: Path
) -> None:
    """20 turns killed before they ended; what is left is the champion before, or the one that passed, whole."""
    teach(store, samples[16:64])

    def opened() -> Engine:
        return Engine(bundle, device="cpu", threads=1, rows=4, max_len=256)

    def take(say, folder: Path) -> None:
        with opened() as engine:
            turn(Registry(folder), FeedbackStore(store.path), engine, settings=SETTINGS)
        say("ended")

    def fresh(number: int) -> Registry:
        return Registry.create(tmp_path / f"registry{number}", first)

    unbroken = fresh(0)
    begun = time.perf_counter()
    with opened() as engine:
        turn(unbroken, store, engine, settings=SETTINGS)
    whole = time.perf_counter() - begun
    expected = unbroken.finetune("v0002").card.weights_sha256
    rng, number, kills, registry = random.Random(3), 1, 0, fresh(1)
    while kills < 20:
        kills += not killed(
            rng.uniform(0.02, 0.8) * min(whole, 1.5), lambda say, folder=registry.folder: take(say, folder)
        )
        state = registry.state()
        assert registry.finetune(state.champion).card and state.trail in (("v0001",), ("v0001", "v0002"))
        if state.champion == "v0002":
            assert registry.finetune("v0002").card.weights_sha256 == expected
            assert registry.names() == ["v0001", "v0002"]
            number += 1
            registry = fresh(number)
    with opened() as engine:
        turn(registry, store, engine, settings=SETTINGS)
    assert registry.finetune("v0002").card.weights_sha256 == expected and registry.names() == ["v0001", "v0002"]


def test_what_was_taken_from_the_users_is_not_promoted_again_because_somebody_commented(
    registry, store, engine, samples
) -> None:
    teach(store, samples[16:64])
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    registry.rollback("users complain")
    (told,) = list(store.told())[:1]
    store.tell(told.answer.id, "comment", comment="this is worse than before")
    result = turn(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion, result.harvest.until) == ("waiting", "v0001", 49)
    assert "taken from its users again" in result.why and registry.names() == ["v0001", "v0002"]


def test_a_champion_that_changed_during_a_turn_is_not_replaced_by_what_was_held_against_another(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:40])
    assert turn(registry, store, engine, settings=SETTINGS).champion == "v0002"
    teach(store, samples[40:64])

    def rolled_back_meanwhile(comparison, gate):
        registry.rollback("users complain")
        return judge(comparison, gate)

    monkeypatch.setattr("metier.iterate.cycle.judge", rolled_back_meanwhile)
    result = turn(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion) == ("waiting", "v0001") and "v0001 became champion meanwhile" in result.why
    assert registry.state().trail == ("v0001",) and registry.names() == ["v0001", "v0002"]
    with pytest.raises(UsageError, match="in place of v0002"):
        registry.promote("v0002", over="v0002")


def test_a_turn_that_was_killed_while_it_threw_an_older_one_away_is_taken_from_the_start(
    registry, store, engine, samples, monkeypatch
) -> None:
    teach(store, samples[16:40])
    assert turn(registry, store, engine, settings=UNSURE).outcome == "waiting"
    teach(store, samples[40:64])

    def killed(folder: Path, **_: object) -> None:
        (folder / "verdict.json").unlink()
        (folder / "run/adapter_model.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("metier.iterate.lesson.shutil.rmtree", killed)
        turn(registry, store, engine, settings=UNSURE)
    assert len(turn(registry, store, engine, settings=SETTINGS).harvest.samples) == 48


def test_a_registry_learns_from_one_store_alone(registry, store, engine, samples, tmp_path: Path) -> None:
    teach(store, samples[16:20])
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "too few"
    with FeedbackStore(tmp_path / "another.db") as another:
        teach(another, samples[16:64])
        with pytest.raises(UsageError, match="not the store that this registry learns from"):
            turn(registry, another, engine, settings=SETTINGS)
    with FeedbackStore(store.path) as again:
        assert again.id == store.id and turn(registry, again, engine, settings=SETTINGS).outcome == "too few"
