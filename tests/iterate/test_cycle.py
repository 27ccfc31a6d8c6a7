"""An iteration on a tiny model: a better challenger is promoted, a worse one is not, and an interruption at any moment
leaves the state unchanged."""

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from metier.contracts import Answer, FeedbackEvent, RecipeError, Sample, UsageError
from metier.feedback import FeedbackStore
from metier.iterate import Gate, IterationSettings, LiveEngine, Registry, reject_days, run_iteration
from metier.iterate.gate import Criterion, GateVerdict, judge
from metier.iterate.training_set import recipe_of
from metier.runtime import Engine

SETTINGS = IterationSettings(
    epochs=6, learning_rate=1e-2, gate=Gate(max_forgetting=1e6, max_slowdown=1e6, max_metric_drop=1)
)
"""A random base has nothing to forget, and the time of answers of two tokens on a busy machine means nothing."""


UNSURE = SETTINGS.model_copy(update={"gate": SETTINGS.gate.model_copy(update={"min_gain": 50.0})})
"""No challenger gains enough for this gate, so that the iteration waits."""
HARMFUL = GateVerdict(result="failed", criteria=(Criterion(name="loss", result="failed", measured="worse"),))


@pytest.fixture(scope="module")
def opened(bundle: Path):
    with Engine(bundle, device="cpu", threads=1, rows=4, max_len=256) as engine:
        yield engine


@pytest.fixture
def engine(opened: Engine):
    """Each test has a store of its own."""
    opened.recorder = None
    return opened


def add_edits(store: FeedbackStore, samples: list[Sample], *, correct: bool = True, at: datetime | None = None) -> None:
    """Users edit answers: into the outputs of the samples, or into nonsense of letters that no
    right answer has, so that training on it surely loses what it shared with them."""
    for number, sample in enumerate(samples):
        right = sample.output["text"]
        wrong = "".join(random.Random(number).choices("QXZVJ", k=len(right)))
        answer = Answer(task=sample.task, input=sample.input, output={"text": "x"}, user=f"u{number}", consent=True)
        when = {"at": at} if at else {}
        edited = {"text": right if correct else wrong}
        event = FeedbackEvent(answer=answer.id, kind="edited", edited_to=edited, user=f"u{number}", **when)
        store.add(answer, event)


def test_good_feedback_gives_a_better_champion_that_answers_at_once(
    registry, store, engine, samples, first, check
) -> None:
    live = LiveEngine(engine, registry, store, checks=[check])
    held_out = {s.input["facts"] for s in registry.held_out()}
    add_edits(store, samples[16:])  # the last 16 of these are held out
    result = run_iteration(registry, store, engine, settings=SETTINGS, checks=[check])
    assert (result.outcome, result.version, result.champion) == ("promoted", "v0002", "v0002"), result.why
    assert result.comparison.loss["challenger"] < result.comparison.loss["champion"]
    trained = {s.input["facts"] for s in registry.pool("v0002")}
    assert not trained & held_out and len(result.feedback.samples) == 48
    assert {left.rule for left in result.feedback.left_out} == {"held_out"}
    version = registry.version("v0002")
    assert (version.parent, version.new_samples, version.replayed) == ("v0001", 48, 16)
    assert registry.finetune("v0002").card.start_sha256 == first.card.weights_sha256
    answer = live.answer(samples[0].input, user="ann")
    assert (
        answer.adapter == "shop.describe.v0002" and store.answer(answer.id) == answer and "full_stop" in answer.findings
    )
    again = run_iteration(registry, store, engine, settings=SETTINGS)
    assert again.outcome == "too few" and registry.names() == ["v0001", "v0002"]


def test_an_iteration_in_some_layers_leaves_the_other_layers_as_they_are(registry, store, engine, samples) -> None:
    from safetensors.torch import load_file

    add_edits(store, samples[16:64])
    free = SETTINGS.gate.model_copy(update={"max_metric_drop": 100})  # one layer gains little: the loss decides
    result = run_iteration(
        registry, store, engine, settings=SETTINGS.model_copy(update={"layers": "top:1", "gate": free})
    )
    assert result.outcome == "promoted", result.why
    before, after = (
        load_file(registry.finetune(name).path / "adapter_model.safetensors") for name in ("v0001", "v0002")
    )
    assert before.keys() == after.keys()
    changed = {name for name, weight in after.items() if not weight.equal(before[name])}
    assert changed and changed == {name for name in after if ".layers.2." in name}
    champion = registry.finetune("v0002")
    assert recipe_of(champion, SETTINGS.model_copy(update={"layers": "1-2"})).layers == "1-2"
    assert recipe_of(champion, SETTINGS).layers == "all", "the layers apply to one iteration only"


def test_layers_that_lora_cannot_train_raise_and_the_interrupted_run_stays(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:64])
    interrupt(registry, store, engine, SETTINGS, monkeypatch)
    for layers, message in (("mix", "set produces: head"), ("top:9", "the base has 3 layers")):
        with pytest.raises(RecipeError, match=message):
            run_iteration(registry, store, engine, settings=SETTINGS.model_copy(update={"layers": layers}))
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # training again would fail
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "promoted"


def test_a_day_of_nonsense_is_rejected_and_not_trained_on_again(registry, store, engine, samples) -> None:
    add_edits(store, samples[16:60], correct=False)
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion) == ("rejected", "v0001") and result.why
    assert registry.state().champion == "v0001" and registry.version("v0002").verdict["result"] == "failed"
    assert registry.state().rejected == ((1, 44),)
    add_edits(store, samples[16:64])
    after = run_iteration(registry, store, engine, settings=SETTINGS)
    assert after.outcome == "promoted" and after.feedback.events == 48
    outputs = {s.output["text"] for s in registry.pool("v0003")}
    assert outputs == {s.output["text"] for s in samples[:64]}


def test_an_unproved_challenger_waits_for_more_feedback_and_is_not_trained_again(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:40])
    first = run_iteration(registry, store, engine, settings=UNSURE)
    assert first.outcome == "waiting" and registry.names() == ["v0001"]
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # training again would fail
    assert run_iteration(registry, store, engine, settings=UNSURE) == first
    monkeypatch.undo()
    add_edits(store, samples[40:64])
    assert len(run_iteration(registry, store, engine, settings=UNSURE).feedback.samples) == 48


def test_cleared_feedback_is_not_rejected_together_with_a_bad_day(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:40])
    assert run_iteration(registry, store, engine, settings=UNSURE).outcome == "waiting"
    add_edits(store, samples[16:64], correct=False)
    monkeypatch.setattr("metier.iterate.iteration.judge", lambda *_: HARMFUL)
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "rejected"
    monkeypatch.undo()
    assert registry.state().rejected == ((25, 72),)
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert result.outcome == "promoted" and result.feedback.events == 24


def test_a_bad_day_among_good_ones_can_be_rejected_by_hand(registry, store, engine, samples) -> None:
    monday, tuesday = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in (2, 3))
    add_edits(store, samples[16:40], at=monday)
    add_edits(store, samples[40:60], correct=False, at=tuesday)
    assert run_iteration(registry, store, engine, settings=UNSURE).outcome == "waiting"
    with (
        FileLock(registry.folder / ".iteration.lock"),
        pytest.raises(UsageError, match="another process runs an iteration"),
    ):
        reject_days(registry, store, tuesday.date(), tuesday.date())
    assert reject_days(registry, store, tuesday.date(), tuesday.date(), "a misled team") == ((25, 44),)
    entry = registry.state().history[-1]
    assert (entry.action, entry.why) == ("days rejected", "a misled team: 2026-03-03 to 2026-03-03")
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert result.outcome == "promoted" and len(result.feedback.samples) == 24
    for day in (monday, tuesday):  # trained on, rejected
        with pytest.raises(UsageError, match="waits for training"):
            reject_days(registry, store, day.date(), day.date())
    registry.reinstate()
    patient = SETTINGS.model_copy(update={"min_samples": 99})
    assert run_iteration(registry, store, engine, settings=patient).feedback.events == 20


def test_a_challenger_gets_its_share_of_the_users_and_no_more(registry, store, engine, samples) -> None:
    add_edits(store, samples[16:64])
    result = run_iteration(registry, store, engine, settings=SETTINGS.model_copy(update={"share": 0.3}))
    assert (result.outcome, result.champion, registry.state().challenger) == ("canary", "v0001", "v0002")
    live = LiveEngine(engine, registry, store)
    version_of = {user: live.version_for(user) for user in (f"u{i}" for i in range(300))}
    assert {user: live.version_for(user) for user in version_of} == version_of
    assert 60 < sum(name == "v0002" for name in version_of.values()) < 120
    answered = {live.answer(samples[0].input, user=user).adapter for user in list(version_of)[:12]}
    assert answered == {"shop.describe.v0001", "shop.describe.v0002"}
    registry.withdraw("the trial is over")
    assert {live.version_for(user) for user in version_of} == {"v0001"}
    registry.promote("v0002")
    assert live.version_for("u1") == "v0002"
    registry.rollback()
    assert live.answer(samples[0].input).adapter == "shop.describe.v0001"


def test_no_iteration_runs_during_a_trial_and_the_challenger_s_feedback_is_kept(
    registry, store, engine, samples
) -> None:
    with_trial = SETTINGS.model_copy(update={"share": 0.3})
    add_edits(store, samples[16:48])
    assert run_iteration(registry, store, engine, settings=with_trial).outcome == "canary"
    assert registry.state().consumed == 0, "the champion was not trained on it"
    add_edits(store, samples[48:64])
    during = run_iteration(registry, store, engine, settings=with_trial)
    assert (during.outcome, registry.state().challenger) == ("on trial", "v0002") and "v0002" in during.why
    registry.withdraw("users do not prefer it")
    assert (registry.state().consumed, registry.state().rejected) == (0, ())
    after = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (after.outcome, len(after.feedback.samples), registry.state().consumed) == ("promoted", 48, 48)


def test_a_withdrawn_version_is_not_trained_again_on_the_same_feedback(registry, store, engine, samples) -> None:
    add_edits(store, samples[16:48])
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    registry.rollback("users complain")
    assert registry.state().consumed == 0
    again = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (again.outcome, again.version, registry.names()) == ("waiting", "v0002", ["v0001", "v0002"])
    assert "v0002 was trained on the same feedback" in again.why
    other = run_iteration(registry, store, engine, settings=SETTINGS.model_copy(update={"epochs": 5}))
    assert (other.outcome, other.version) == ("promoted", "v0003")
    registry.rollback()
    add_edits(store, samples[48:64])
    assert len(run_iteration(registry, store, engine, settings=SETTINGS).feedback.samples) == 48


def test_a_rejected_sample_of_the_pool_is_not_replayed_and_leaves_the_pool(registry, store, engine, samples) -> None:
    add_edits(store, samples[16:64])
    known = registry.pool("v0001")[3]
    answer = Answer(task=known.task, input=known.input, output=known.output, user="ann", consent=True)
    store.add(answer, FeedbackEvent(answer=answer.id, kind="rejected", user="ann"))
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.replayed) == ("promoted", 15)
    assert result.feedback.counts()["left out: overruled"] == 1
    assert known.input not in [s.input for s in registry.pool("v0002")] and len(registry.pool("v0002")) == 63


def test_an_interrupted_iteration_keeps_its_weights_and_uses_the_present_gate_and_share(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:64])
    interrupt(registry, store, engine, UNSURE, monkeypatch)
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # training again would fail
    steps: list[str] = []
    now = SETTINGS.model_copy(update={"share": 0.3})
    result = run_iteration(registry, store, engine, settings=now, progress=lambda step, *_, **__: steps.append(step))
    assert (result.outcome, registry.state().share) == ("canary", 0.3)
    assert result.resumed == "the weights of an interrupted iteration, with the present gate and share"
    assert f"resuming: {result.resumed}" in steps


def test_an_interrupted_iteration_with_another_schedule_starts_again(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:64])
    interrupt(registry, store, engine, SETTINGS.model_copy(update={"epochs": 1}), monkeypatch)
    add_edits(store, samples[16:17])
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert result.outcome == "promoted" and result.feedback.events == 49
    assert registry.finetune("v0002").card.recipe.epochs == 6
    assert result.resumed == "nothing: the interrupted iteration had another schedule (epochs)"


def test_a_waiting_challenger_is_judged_by_another_gate_without_training(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:64])
    assert run_iteration(registry, store, engine, settings=UNSURE).outcome == "waiting"
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # training again would fail
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    assert registry.version("v0002").verdict["result"] == "passed"


def test_reinstated_feedback_is_new_again_though_later_feedback_was_trained_on(
    registry, store, engine, samples, monkeypatch
) -> None:
    with pytest.raises(UsageError, match="no feedback is rejected"):
        registry.reinstate()
    add_edits(store, samples[16:60], correct=False)
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "rejected"
    add_edits(store, samples[16:64])
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    assert registry.version("v0003").skipped == ((1, 44),)
    state = registry.reinstate("the schedule was the cause")
    assert (state.rejected, state.consumed, state.history[-1].action) == ((), 92, "reinstated")
    assert state.history[-1].why == "the schedule was the cause: events 1 to 44"
    monkeypatch.setattr("metier.iterate.iteration.judge", lambda *_: HARMFUL)
    again = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (again.outcome, again.feedback.events) == ("rejected", 44)
    assert registry.state().rejected == ((1, 44),) and registry.state().consumed == 92
    assert run_iteration(registry, store, engine, settings=SETTINGS).feedback.events == 0


def test_a_schedule_that_fails_on_cleared_feedback_rejects_nothing_and_is_not_trained_again(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:40])
    assert run_iteration(registry, store, engine, settings=UNSURE).outcome == "waiting"
    monkeypatch.setattr("metier.iterate.iteration.judge", lambda *_: HARMFUL)
    bad = SETTINGS.model_copy(update={"epochs": 7})
    result = run_iteration(registry, store, engine, settings=bad)
    assert (result.outcome, registry.state().rejected) == ("rejected", ()) and "no feedback is rejected" in result.why
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # training again would fail
    assert run_iteration(registry, store, engine, settings=bad) == result
    assert registry.names() == ["v0001", "v0002"]
    assert [entry.action for entry in registry.state().history] == ["created", "rejected"]


def interrupt(registry, store, engine, settings: IterationSettings, monkeypatch) -> None:
    """An iteration that is interrupted after training."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("metier.iterate.iteration.Judge", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        run_iteration(registry, store, engine, settings=settings)


def test_a_second_iteration_at_the_same_time_raises(registry, store, engine) -> None:
    with FileLock(registry.folder / ".iteration.lock"), pytest.raises(UsageError, match="another process"):
        run_iteration(registry, store, engine)


def test_an_iteration_killed_at_random_moments_ends_like_an_uninterrupted_one(
    first, store, bundle, samples, killed, tmp_path: Path
) -> None:
    """20 iterations are killed before they end; the champion is the earlier one, or the complete one that passed."""
    add_edits(store, samples[16:64])

    def opened() -> Engine:
        return Engine(bundle, device="cpu", threads=1, rows=4, max_len=256)

    def iterate(send, folder: Path) -> None:
        with opened() as engine:
            run_iteration(Registry(folder), FeedbackStore(store.path), engine, settings=SETTINGS)
        send("ended")

    def fresh(number: int) -> Registry:
        return Registry.create(tmp_path / f"registry{number}", first)

    uninterrupted = fresh(0)
    started = time.perf_counter()
    with opened() as engine:
        run_iteration(uninterrupted, store, engine, settings=SETTINGS)
    seconds = time.perf_counter() - started
    expected = uninterrupted.finetune("v0002").card.weights_sha256
    rng, number, kills, registry = random.Random(3), 1, 0, fresh(1)
    while kills < 20:
        kills += not killed(
            rng.uniform(0.02, 0.8) * min(seconds, 1.5), lambda send, folder=registry.folder: iterate(send, folder)
        )
        state = registry.state()
        assert registry.finetune(state.champion).card and state.champions in (("v0001",), ("v0001", "v0002"))
        if state.champion == "v0002":
            assert registry.finetune("v0002").card.weights_sha256 == expected
            assert registry.names() == ["v0001", "v0002"]
            number += 1
            registry = fresh(number)
    with opened() as engine:
        run_iteration(registry, store, engine, settings=SETTINGS)
    assert registry.finetune("v0002").card.weights_sha256 == expected and registry.names() == ["v0001", "v0002"]


def test_a_comment_does_not_promote_a_rolled_back_version_again(registry, store, engine, samples) -> None:
    add_edits(store, samples[16:64])
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "promoted"
    registry.rollback("users complain")
    stored = next(store.events())
    store.add_event(stored.answer.id, "comment", comment="this is worse than before")
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion, result.feedback.until) == ("waiting", "v0001", 49)
    assert "withdrawn from its users" in result.why and registry.names() == ["v0001", "v0002"]


def test_a_challenger_does_not_replace_a_champion_that_it_was_not_compared_with(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:40])
    assert run_iteration(registry, store, engine, settings=SETTINGS).champion == "v0002"
    add_edits(store, samples[40:64])

    def rolled_back_meanwhile(comparison, gate):
        registry.rollback("users complain")
        return judge(comparison, gate)

    monkeypatch.setattr("metier.iterate.iteration.judge", rolled_back_meanwhile)
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion) == ("waiting", "v0001") and "v0001 became champion meanwhile" in result.why
    assert registry.state().champions == ("v0001",) and registry.names() == ["v0001", "v0002"]
    with pytest.raises(UsageError, match="in place of v0002"):
        registry.promote("v0002", over="v0002")


def test_an_iteration_killed_while_discarding_an_older_one_starts_again(
    registry, store, engine, samples, monkeypatch
) -> None:
    add_edits(store, samples[16:40])
    assert run_iteration(registry, store, engine, settings=UNSURE).outcome == "waiting"
    add_edits(store, samples[40:64])

    def killed(folder: Path, **_: object) -> None:
        (folder / "verdict.json").unlink()
        (folder / "run/adapter_model.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("metier.iterate.training_set.shutil.rmtree", killed)
        run_iteration(registry, store, engine, settings=UNSURE)
    assert len(run_iteration(registry, store, engine, settings=SETTINGS).feedback.samples) == 48


def test_a_registry_uses_one_store_only(registry, store, engine, samples, tmp_path: Path) -> None:
    add_edits(store, samples[16:20])
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "too few"
    with FeedbackStore(tmp_path / "another.db") as another:
        add_edits(another, samples[16:64])
        with pytest.raises(UsageError, match="does not use the store"):
            run_iteration(registry, another, engine, settings=SETTINGS)
    with FeedbackStore(store.path) as again:
        assert again.id == store.id and run_iteration(registry, again, engine, settings=SETTINGS).outcome == "too few"
