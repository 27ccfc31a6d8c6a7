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
from metier.contracts import FineTune, Recipe, Sample, TaskContract, UsageError
from metier.export.heads import add_head
from metier.feedback import Answer, Event, FeedbackStore
from metier.heads import export_heads, load_head
from metier.iterate import Live, Registry, Settings, compare, turn
from metier.iterate.curve import fit, measure
from metier.iterate.labels import label_losses
from metier.iterate.live_engine import doff, wear
from metier.runtime import Engine

Kinds = dict[str, tuple[TaskContract, list[Sample]]]
Maker = Callable[..., FineTune]


@pytest.fixture(scope="module")
def first(kinds: Kinds, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> FineTune:
    """A head that learnt one fruit and one tool, and has the other words to learn yet."""
    task, samples = kinds["sort"]
    known = [s for s in samples if s.input["text"] in ("he likes the apple", "he likes the saw")]
    recipe = Recipe(base=str(tiny_encoder), produces="head", method="features", layers="embedding")
    apart = [s for s in samples[::3] if s not in known]
    return adapt(task, known, apart, recipe, tmp_path_factory.mktemp("first") / "run")


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


def teach(store: FeedbackStore, samples: list[Sample], *, well: bool = True) -> None:
    """Users mend answers: into what the samples say, or into the other label."""
    for number, sample in enumerate(samples):
        kind = sample.output["kind"] if well else {"a fruit": "a tool", "a tool": "a fruit"}[sample.output["kind"]]
        answer = Answer(
            task=sample.task, input=sample.input, output={"kind": "a tool"}, user=f"u{number}", consent=True
        )
        store.add(answer, Event(answer=answer.id, kind="edited", edited_to={"kind": kind}, user=f"u{number}"))


SETTINGS = Settings(least=4)


def test_good_feedback_makes_a_better_champion_that_answers_at_once(
    registry: Registry, store: FeedbackStore, engine: Engine, kinds: Kinds
) -> None:
    live = Live(engine, registry, store)
    value = kinds["sort"][1][1].input
    assert live.answer(value, user="ann").adapter == "tiny.sort.v0001"
    teach(store, kinds["sort"][1])
    written = store.counts()["answers"]
    result = turn(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.version, result.champion) == ("promoted", "v0002", "v0002"), result.why
    assert "nats per held-out label" in result.why and "frozen" in str(result.verdict)
    accuracy = next(m for m in result.comparison.metrics if m.name == "accuracy")
    assert accuracy.values["challenger"].value > accuracy.values["champion"].value
    # It learnt anew all that its parent did, and what is new; held-out inputs are not among it.
    version = registry.version("v0002")
    trained, held_out = ({s.input["text"] for s in some} for some in (registry.pool("v0002"), registry.held_out()))
    assert trained == {s.input["text"] for s in kinds["sort"][1]} - held_out and len(trained) == 33
    assert version.parent == "v0001" and version.learnt + version.replayed == 33
    assert registry.finetune("v0002").card.data.samples == 33
    assert store.counts()["answers"] == written, "what the judge asks is no user's question"
    given = live.answer(value, user="ann")
    assert given.adapter == "tiny.sort.v0002" and store.answer(given.id) == given
    assert given.output == load_head(registry.path("v0002")).predict([value])[0]
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "too few"


def test_a_turn_that_was_interrupted_goes_on_with_the_head_that_it_had_trained(
    registry: Registry, store: FeedbackStore, engine: Engine, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(what: str, *_: object, **__: object) -> None:
        if what == "comparing":
            raise KeyboardInterrupt

    teach(store, kinds["sort"][1])
    with pytest.raises(KeyboardInterrupt):
        turn(registry, store, engine, settings=SETTINGS, progress=stop)
    assert (registry.state().champion, registry.names()) == ("v0001", ["v0001"])
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # whoever trains now, fails
    assert turn(registry, store, engine, settings=SETTINGS).outcome == "promoted"


def test_a_day_of_swapped_labels_is_refused_and_never_learnt_again(
    registry: Registry, store: FeedbackStore, engine: Engine, kinds: Kinds
) -> None:
    samples = kinds["sort"][1]
    teach(store, samples, well=False)
    result = turn(registry, store, engine, settings=SETTINGS)
    assert (result.outcome, result.champion) == ("refused", "v0001"), result.why
    assert registry.state().refused == ((1, len(samples)),) and "tiny.sort.candidate" not in engine.heads
    teach(store, samples)
    again = turn(registry, store, engine, settings=SETTINGS)
    assert again.outcome == "promoted" and again.harvest.events == len(samples)


def test_a_share_of_the_users_tries_a_head_and_their_verdicts_are_compared(
    registry: Registry, store: FeedbackStore, engine: Engine, kinds: Kinds
) -> None:
    samples = kinds["sort"][1]
    teach(store, samples)
    result = turn(registry, store, engine, settings=SETTINGS.model_copy(update={"share": 0.4}))
    assert (result.outcome, registry.state().challenger) == ("canary", "v0002")
    live = Live(engine, registry, store)
    for number in range(60):
        sample, user = samples[number % len(samples)], f"u{number}"
        given = live.answer(sample.input, user=user)
        assert given.adapter == registry.adapter(live.whose(user))
        store.tell(given.id, "accepted" if given.output == sample.output else "rejected", user=user)
    sides = registry.adapter("v0001"), registry.adapter("v0002")
    trial = compare(store.told("tiny.sort"), *sides, since=registry.state().tried_since)
    assert 12 < trial.users[sides[1]] < 36 and sum(trial.users.values()) == 60
    assert trial.stood[sides[1]].value == 1 > trial.stood[sides[0]].value
    registry.withdraw("enough seen")
    assert live.answer(samples[0].input, user="u1").adapter == sides[0]
    assert sides[1] in engine.heads, "whoever asked a moment ago is still answered by it"
    registry.promote("v0002")
    assert {live.whose(f"u{number}") for number in range(60)} == {"v0002"}
    registry.rollback()
    assert live.answer(samples[0].input).adapter == sides[0]
    registry.refuse("v0002", "users were worse off", ())
    assert live.answer(samples[0].input).adapter == sides[0] and sides[1] not in engine.heads


def test_a_version_s_folder_is_a_fine_tune_that_a_bundle_takes(
    registry: Registry, engine: Engine, bundle: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(bundle, tmp_path / "copied"))
    entry = add_head(copied, registry.path("v0001"), "v0001")
    assert len(entry.golden) == 4
    wear(engine, "live", registry.path("v0001"))
    with Engine(copied, threads=1) as other:
        inputs = [sample.input for sample in registry.held_out()]
        found = list(other.run_many("tiny.sort", inputs, adapter="v0001"))
        assert found == list(engine.run_many("tiny.sort", inputs, adapter="live"))


def test_a_live_head_covers_the_bundle_s_own_until_it_is_dropped(
    shipped: Path, heads: dict[str, FineTune], make_head: Maker, tiny_encoder: Path, kinds: Kinds, tmp_path: Path
) -> None:
    other = make_head("sort", tiny_encoder, tmp_path / "other", layers="all")
    expected = load_head(other.path).predict
    inputs = [sample.input for sample in kinds["sort"][1]]
    with Engine(shipped, threads=1) as engine:
        before = list(engine.run_many("tiny.sort", inputs))
        wear(engine, "sort", other.path)
        assert list(engine.run_many("tiny.sort", inputs)) == expected(inputs)
        assert engine.embed(["fig"], head="sort").shape == (1, 64)
        doff(engine, "sort")
        assert list(engine.run_many("tiny.sort", inputs)) == before


def test_what_a_running_engine_cannot_take_up_is_refused(
    engine: Engine, heads: dict[str, FineTune], make_head: Maker, tiny_base: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    trained = make_head("sort", tiny_encoder, tmp_path / "learnt", "lora")
    with pytest.raises(UsageError, match="or from a head over frozen features"):
        Registry.create(tmp_path / "registry", trained)
    for tuned, message in (
        (trained, r"the base of learnt learnt with it"),
        (make_head("sort", tiny_base, tmp_path / "foreign"), "frozen trunks are of"),
        (make_head("sort", tiny_encoder, tmp_path / "mixed", layers="mix"), "reads layers 1, 2, 3, which"),
        (make_head("match", tiny_encoder, tmp_path / "match", layers="embedding"), r"tiny\.match"),
    ):
        with pytest.raises(UsageError, match=message):
            wear(engine, "other", tuned.path)
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


def test_a_curve_of_heads_falls_and_an_interrupted_one_goes_on(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, samples = kinds["sort"]
    recipe = Recipe(base=str(tiny_encoder), produces="head", method="features", layers="embedding")
    given = {"recipe": recipe, "seeds": 2, "folder": tmp_path, "base": resolve(tiny_encoder)}
    points = measure(task, samples[:32], samples[32:], sizes=(2, 8, 32), **given)
    assert len(points) == 6 and fit(points).loss(2).value > fit(points).loss(32).value
    monkeypatch.setattr("metier.adapt.fine_tuning.adapt", None)  # whoever trains now, fails
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
    teach(store, kinds["sort"][1])
    given = (folder, "--store", store.path)
    result = json.loads(metier("iterate", "run", *given, "--bundle", bundle, "--device", "cpu", "--json"))
    assert (result["outcome"], result["comparison"]["per"]) == ("promoted", "label")
    message = metier("iterate", "plan", *given, "--sizes", "4,12,30", "--seeds", 1)
    assert "now: 33 samples" in message and "nats per held-out label" in message


def test_a_process_without_torch_takes_up_the_champion_and_answers(
    registry: Registry, store: FeedbackStore, bundle: Path
) -> None:
    code = f"""
import sys
class Slim:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'torch', 'transformers', 'peft', 'onnx', 'onnx_ir'}}: raise ImportError(name)
sys.meta_path.insert(0, Slim())
from metier.feedback import FeedbackStore
from metier.iterate import Live, Registry
from metier.runtime import Engine
with Engine({str(bundle)!r}, threads=1) as engine, FeedbackStore({str(store.path)!r}) as store:
    live = Live(engine, Registry({str(registry.folder)!r}), store)
    print(live.answer({{"text": "he likes the saw"}}, user="ann").adapter)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "tiny.sort.v0001", done.stderr
