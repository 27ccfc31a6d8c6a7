"""The loop from users to weights where a head answers: versions in the running engine, turns, trials, the curve."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from metier.adapt import adapt
from metier.bases.resolve import resolve
from metier.cli.app import app
from metier.contracts import Answer, FeedbackEvent, FineTune, Recipe, Sample, TaskContract, UsageError
from metier.export.head_entries import add_head
from metier.feedback import FeedbackStore
from metier.heads import export_heads, load_head
from metier.iterate import IterationSettings, LiveEngine, Registry, compare, run_iteration
from metier.iterate.curve import fit, measure
from metier.iterate.labels import label_losses
from metier.iterate.live_engine import load_version, unload_version
from metier.runtime import Engine

Kinds = dict[str, tuple[TaskContract, list[Sample]]]
Maker = Callable[..., FineTune]


def trained_on(kinds: Kinds, base: Path, folder: Path, *words: str) -> FineTune:
    """A head that was trained on these words only."""
    task, samples = kinds["sort"]
    known = [s for s in samples if s.input["text"] in [f"he likes the {word}" for word in words]]
    recipe = Recipe(base=str(base), produces="head", method="features", layers="embedding")
    return adapt(task, known, [s for s in samples[::3] if s not in known], recipe, folder)


@pytest.fixture(scope="module")
def first(kinds: Kinds, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> FineTune:
    """A head that takes every tool for a fruit: it has so much to gain that any iteration proves it."""
    return trained_on(kinds, tiny_encoder, tmp_path_factory.mktemp("first") / "run", "apple", "plum")


@pytest.fixture(scope="module")
def bundle(first: FineTune, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_heads([first], tmp_path_factory.mktemp("bundle") / "b", precision="fp32").path


@pytest.fixture
def engine(bundle: Path) -> Iterator[Engine]:
    with Engine(bundle, device="cpu", threads=1) as engine:
        yield engine


@pytest.fixture
def registry(first: FineTune, tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "registry", first)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeedbackStore]:
    with FeedbackStore(tmp_path / "feedback.db") as opened:
        yield opened


def add_edits(store: FeedbackStore, samples: list[Sample], *, correct: bool = True) -> None:
    """Users edit answers: into the outputs of the samples, or into the other label."""
    for number, sample in enumerate(samples):
        kind = sample.output["kind"] if correct else {"a fruit": "a tool", "a tool": "a fruit"}[sample.output["kind"]]
        answer = Answer(
            task=sample.task, input=sample.input, output={"kind": "a tool"}, user=f"u{number}", consent=True
        )
        store.add(answer, FeedbackEvent(answer=answer.id, kind="edited", edited_to={"kind": kind}, user=f"u{number}"))


SETTINGS = IterationSettings(min_samples=4)


def test_good_feedback_gives_a_better_champion_that_answers_at_once(
    registry: Registry, store: FeedbackStore, engine: Engine, kinds: Kinds
) -> None:
    live = LiveEngine(engine, registry, store)
    question = kinds["sort"][1][1].input
    assert live.answer(question, user="ann").adapter == "tiny.sort.v0001"
    add_edits(store, kinds["sort"][1])
    written = store.counts()["answers"]
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.version, result.champion) == ("promoted", "v0002", "v0002"), result.why
    assert "nats per held-out label" in result.why and "frozen" in str(result.verdict)
    accuracy = next(m for m in result.comparison.metrics if m.name == "accuracy")
    assert accuracy.values["challenger"].value > accuracy.values["champion"].value
    # It was trained on its parent's samples and the new ones, without held-out inputs.
    version = registry.version("v0002")
    trained, held_out = ({s.input["text"] for s in some} for some in (registry.pool("v0002"), registry.held_out()))
    assert trained == {s.input["text"] for s in kinds["sort"][1]} - held_out and len(trained) == 33
    assert version.parent == "v0001" and version.new_samples + version.replayed == 33
    assert registry.finetune("v0002").card.data.samples == 33
    assert store.counts()["answers"] == written, "measuring stores no answers"
    given = live.answer(question, user="ann")
    assert given.adapter == "tiny.sort.v0002" and store.answer(given.id) == given
    assert given.output == load_head(registry.path("v0002")).predict([question])[0]
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "too few"


def test_an_interrupted_iteration_resumes_with_its_trained_head(
    registry: Registry, store: FeedbackStore, engine: Engine, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(what: str, *_: object, **__: object) -> None:
        if what == "comparing":
            raise KeyboardInterrupt

    add_edits(store, kinds["sort"][1])
    with pytest.raises(KeyboardInterrupt):
        run_iteration(registry, store, engine, settings=SETTINGS, progress=stop)
    assert (registry.state().champion, registry.names()) == ("v0001", ["v0001"])
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # training again would fail
    assert run_iteration(registry, store, engine, settings=SETTINGS).outcome == "promoted"


def test_a_day_of_swapped_labels_is_rejected_and_not_trained_on_again(
    store: FeedbackStore, engine: Engine, kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Of a head that knows a fruit and a tool, and so has much to lose."""
    registry = Registry.create(tmp_path / "registry", trained_on(kinds, tiny_encoder, tmp_path / "run", "apple", "saw"))
    samples = kinds["sort"][1]
    add_edits(store, samples, correct=False)
    result = run_iteration(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion) == ("rejected", "v0001"), result.why
    assert registry.state().rejected == ((1, len(samples)),) and "tiny.sort.candidate" not in engine.heads
    add_edits(store, samples)
    again = run_iteration(registry, store, engine, settings=SETTINGS)
    assert again.outcome != "rejected" and again.feedback.events == len(samples)


def test_a_share_of_the_users_gets_a_head_and_the_feedback_is_compared(
    registry: Registry, store: FeedbackStore, engine: Engine, kinds: Kinds
) -> None:
    samples = kinds["sort"][1]
    add_edits(store, samples)
    result = run_iteration(registry, store, engine, settings=SETTINGS.model_copy(update={"share": 0.4}))
    assert (result.outcome, registry.state().challenger) == ("canary", "v0002")
    live = LiveEngine(engine, registry, store)
    for number in range(60):
        sample, user = samples[number % len(samples)], f"u{number}"
        given = live.answer(sample.input, user=user)
        assert given.adapter == registry.adapter(live.version_for(user))
        store.add_event(given.id, "accepted" if given.output == sample.output else "rejected", user=user)
    sides = registry.adapter("v0001"), registry.adapter("v0002")
    trial = compare(store.events("tiny.sort"), *sides, since=registry.state().trial_since)
    assert 12 < trial.users[sides[1]] < 36 and sum(trial.users.values()) == 60
    assert trial.good[sides[1]].value > trial.good[sides[0]].value + 0.2, "it is right about tools, too"
    registry.withdraw("the trial is over")
    assert live.answer(samples[0].input, user="u1").adapter == sides[0]
    assert sides[1] in engine.heads, "running requests still use it"
    registry.promote("v0002")
    assert {live.version_for(f"u{number}") for number in range(60)} == {"v0002"}
    registry.rollback()
    assert live.answer(samples[0].input).adapter == sides[0]
    registry.reject("v0002", "users were worse off", ())
    assert live.answer(samples[0].input).adapter == sides[0] and sides[1] not in engine.heads


def test_a_version_s_folder_can_be_added_to_a_bundle(
    registry: Registry, engine: Engine, bundle: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(bundle, tmp_path / "copied"))
    entry = add_head(copied, registry.path("v0001"), "v0001")
    assert len(entry.golden) == 4
    load_version(engine, "live", registry.path("v0001"))
    with Engine(copied, threads=1) as other:
        inputs = [sample.input for sample in registry.held_out()]
        found = list(other.run_many("tiny.sort", inputs, adapter="v0001"))
        assert found == list(engine.run_many("tiny.sort", inputs, adapter="live"))


def test_a_loaded_head_replaces_the_bundle_s_own_until_it_is_unloaded(
    shipped: Path, heads: dict[str, FineTune], make_head: Maker, tiny_encoder: Path, kinds: Kinds, tmp_path: Path
) -> None:
    other = make_head("sort", tiny_encoder, tmp_path / "other", layers="all")
    expected = load_head(other.path).predict
    inputs = [sample.input for sample in kinds["sort"][1]]
    with Engine(shipped, threads=1) as engine:
        before = list(engine.run_many("tiny.sort", inputs))
        load_version(engine, "sort", other.path)
        assert list(engine.run_many("tiny.sort", inputs)) == expected(inputs)
        assert engine.embed(["fig"], head="sort").shape == (1, 64)
        unload_version(engine, "sort")
        assert list(engine.run_many("tiny.sort", inputs)) == before


def test_a_head_that_a_running_engine_cannot_load_raises(
    engine: Engine, heads: dict[str, FineTune], make_head: Maker, tiny_base: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    tuned_base = make_head("sort", tiny_encoder, tmp_path / "lora", "lora")
    with pytest.raises(UsageError, match="or heads over frozen features"):
        Registry.create(tmp_path / "registry", tuned_base)
    for tuned, message in (
        (tuned_base, r"lora was trained together with its base"),
        (make_head("sort", tiny_base, tmp_path / "foreign"), "frozen trunks are of"),
        (make_head("sort", tiny_encoder, tmp_path / "mixed", layers="mix"), "reads layers 1, 2, 3, which"),
        (make_head("match", tiny_encoder, tmp_path / "match", layers="embedding"), r"tiny\.match"),
    ):
        with pytest.raises(UsageError, match=message):
            load_version(engine, "other", tuned.path)
    assert "other" not in engine.heads


@pytest.mark.parametrize("kind", ["sort", "find", "relate", "match"])
def test_the_loss_of_a_judged_head_is_torch_s(
    kind: str, shipped: Path, heads: dict[str, FineTune], kinds: Kinds
) -> None:
    task, samples = kinds[kind]
    head_model = load_head(heads[kind].path)
    with Engine(shipped, threads=1) as engine:
        nats, labels = label_losses(engine, kind, task, samples)
    items = [head_model.item(sample) for sample in samples]
    with head_model.evaluating():
        logits = [head_model.head(head_model.features([item])) for item in items]
    expected = [
        float(torch.nn.functional.cross_entropy(found, torch.tensor(item.targets), reduction="sum"))
        for found, item in zip(logits, items, strict=True)
    ]
    assert nats == pytest.approx(expected, abs=1e-3) and labels == tuple(len(item.targets) for item in items)


def test_a_curve_of_heads_falls_and_an_interrupted_one_resumes(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, samples = kinds["sort"]
    recipe = Recipe(base=str(tiny_encoder), produces="head", method="features", layers="embedding")
    given = {"recipe": recipe, "seeds": 2, "folder": tmp_path, "base": resolve(tiny_encoder)}
    points = measure(task, samples[:32], samples[32:], sizes=(2, 8, 32), **given)
    assert len(points) == 6 and fit(points).loss(2).value > fit(points).loss(32).value
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # training again would fail
    assert measure(task, samples[:32], samples[32:], sizes=(2, 8, 32), **given) == points


def test_the_loop_of_a_head_from_the_command_line(
    first: FineTune, bundle: Path, store: FeedbackStore, kinds: Kinds, tmp_path: Path
) -> None:
    def metier(*args: object) -> str:
        done = CliRunner().invoke(app, [str(arg) for arg in args])
        assert done.exit_code == 0, done.output
        return done.stdout

    folder = tmp_path / "registry"
    assert f"metier export {first.path} --out BUNDLE" in metier("iterate", "start", folder, "--from", first.path)
    add_edits(store, kinds["sort"][1])
    given = (folder, "--store", store.path)
    result = json.loads(metier("iterate", "run", *given, "--bundle", bundle, "--device", "cpu", "--json"))
    assert (result["outcome"], result["comparison"]["per"]) == ("promoted", "label")
    output = metier("iterate", "plan", *given, "--sizes", "4,12,30", "--seeds", 1)
    assert "now: 33 samples" in output and "nats per held-out label" in output


def test_a_process_without_torch_loads_the_champion_and_answers(
    registry: Registry, store: FeedbackStore, bundle: Path
) -> None:
    code = f"""
import sys
class Slim:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'torch', 'transformers', 'peft', 'onnx', 'onnx_ir'}}: raise ImportError(name)
sys.meta_path.insert(0, Slim())
from metier.feedback import FeedbackStore
from metier.iterate import LiveEngine, Registry
from metier.runtime import Engine
with Engine({str(bundle)!r}, threads=1) as engine, FeedbackStore({str(store.path)!r}) as store:
    live = LiveEngine(engine, Registry({str(registry.folder)!r}), store)
    print(live.answer({{"text": "he likes the saw"}}, user="ann").adapter)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "tiny.sort.v0001", done.stderr
