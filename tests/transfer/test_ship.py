"""Heads in a bundle: every method over every choice of layers answers through the engine as it does in torch."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metier.bases.finetune import load_finetune, write_card
from metier.bases.resolve import resolve
from metier.contracts import (
    BundleError,
    Check,
    ContractError,
    DataSummary,
    ExportError,
    Finding,
    FineTune,
    FineTuneCard,
    Recipe,
    RequestError,
    Sample,
    TaskContract,
    UsageError,
    samples_sha256,
)
from metier.contracts.bundle import MANIFEST
from metier.contracts.finetune import HEAD
from metier.contracts.heads import HEAD_FILE
from metier.data.samples_file import write_samples
from metier.export.edit import edited, write_manifest
from metier.export.heads import add_head, remove_head, verify_heads
from metier.runtime import Engine
from metier.runtime.bundle import open_bundle, sha256_of
from metier.transfer import export_heads, export_together, load_head, prove_head, ship
from metier.transfer.graphs import write_head
from metier.transfer.headed import Headed

Kinds = dict[str, tuple[TaskContract, list[Sample]]]
Maker = Callable[..., FineTune]

HEAVY = ("torch", "transformers", "peft", "onnx", "onnx_ir", "onnxruntime_genai", "datasets", "pandas")
LAYERS = {
    "features": ("all", "embedding", "mix", "top:2", "1,3"),
    "full": ("all", "embedding", "mix", "top:1", "1-2"),
    "lora": ("all", "mix", "top:2", "1,3"),
}


def make(kind: str, base: Path, folder: Path, kinds: Kinds, method: str = "features", layers: str = "all") -> FineTune:
    """A fine-tune as `adapt_head` would leave it, its weights drawn and not learnt: they differ in every place."""
    task, samples = kinds[kind]
    local = resolve(base)
    recipe = Recipe(base=str(base), way="head", method=method, layers=layers, lora={"rank": 2, "alpha": 2})
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(len(method) + 7 * len(layers))
        headed = Headed(task, local, recipe)
        for weight in headed.trunk.weights().values():
            weight.add_(0.05 * torch.randn_like(weight))
        for weight in headed.head.parameters():
            weight.add_(torch.randn_like(weight))
        with headed.resting():
            seen = headed.features([headed.item(sample) for sample in samples])  # [things, read, groups, width]
        headed.head.take_scale(seen.mean((0, 2)), seen.std((0, 2)))
        folder.mkdir(parents=True)
        headed.save(folder / HEAD)
    write_head(headed.head, folder / HEAD_FILE)
    write_samples(folder / "held_out.jsonl", samples)
    digest = samples_sha256(samples)
    card = FineTuneCard(
        name=folder.name,
        tasks=(task,),
        base=local.card,
        recipe=recipe,
        data=DataSummary(sha256=digest, samples=len(samples), held_out=len(samples), held_out_sha256=digest),
        weights_sha256=sha256_of(folder / HEAD),
        graph_sha256=sha256_of(folder / HEAD_FILE),
    )
    write_card(folder, card)
    return load_finetune(folder, way="head")


@pytest.fixture(scope="module")
def heads(tiny_encoder: Path, kinds: Kinds, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FineTune]:
    """A head of each kind over the tiny encoder's frozen features."""
    folder = tmp_path_factory.mktemp("heads")
    return {kind: make(kind, tiny_encoder, folder / kind, kinds) for kind in kinds}


@pytest.fixture(scope="module")
def shipped(heads: dict[str, FineTune], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One fp32 bundle of them. Copy it before changing anything."""
    return export_heads(list(heads.values()), tmp_path_factory.mktemp("shipped") / "bundle", precision="fp32").path


@pytest.fixture(scope="module")
def engine(shipped: Path) -> Any:
    with Engine(shipped, threads=1) as engine:
        yield engine


@pytest.fixture
def copied(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "bundle"))


@pytest.mark.parametrize("method", LAYERS)
@pytest.mark.parametrize("base", ["tiny_encoder", "tiny_base"])
def test_every_method_and_layers_answer_through_the_engine_as_in_torch(
    base: str, method: str, kinds: Kinds, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(base)
    wanted = [("sort", layers) for layers in LAYERS[method]] + [(kind, "all") for kind in kinds if kind != "sort"]
    tuned = [
        make(kind, folder, tmp_path / f"{kind}-{n}", kinds, method, layers) for n, (kind, layers) in enumerate(wanted)
    ]
    bundle = export_heads(tuned, tmp_path / "bundle", precision="fp32")
    # Over frozen features all read one trunk; a base that learnt is the head's own.
    assert len(bundle.manifest.trunks) == (1 if method == "features" else len(tuned))
    assert bundle.manifest.graph is None and len(bundle.manifest.heads) == len(tuned)
    with Engine(bundle, threads=1) as engine:
        for finetune in tuned:
            task, samples = finetune.card.tasks[0], kinds[finetune.card.tasks[0].name.partition(".")[2]][1]
            inputs = [sample.input for sample in samples]
            expected = load_head(finetune.path).predict(inputs)
            assert list(engine.run_many(task.name, inputs, adapter=finetune.card.name)) == expected
            assert len({json.dumps(output) for output in expected}) > 1, "a head that says one thing proves nothing"
    for head in bundle.manifest.heads:
        assert head.parity is not None and head.parity.samples == 48 and head.parity.agreement == 1
        assert head.parity.max_abs < 1e-3


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_fp16_halves_the_trunk_on_disk_and_keeps_the_labels(
    precision: Any, heads: dict[str, FineTune], tmp_path: Path
) -> None:
    bundle = export_heads([heads["sort"]], tmp_path / "bundle", precision=precision)
    weights = sum(entry.size for name, entry in bundle.manifest.files.items() if name.endswith("trunk.onnx.data"))
    whole = 4 * sum(p.numel() for p in load_head(heads["sort"].path).trunk.model.parameters())
    assert 0.4 < weights / whole < (0.6 if precision == "fp16" else 1.01)
    assert bundle.manifest.heads[0].parity is not None and bundle.manifest.heads[0].parity.agreement == 1


def test_layers_that_no_head_reads_are_left_out_of_the_trunk(kinds: Kinds, tiny_encoder: Path, tmp_path: Path) -> None:
    low = make("sort", tiny_encoder, tmp_path / "low", kinds, "features", "embedding")
    bundle = export_heads([low], tmp_path / "bundle")
    (trunk,) = bundle.manifest.trunks
    assert trunk.layers == (0,) and (trunk.count, trunk.width) == (3, 64)
    with pytest.raises(UsageError, match="reads layers 3, which the bundle's trunk leaves out"):
        add_head(bundle.path, make("find", tiny_encoder, tmp_path / "find", kinds).path, "find")


def test_every_way_of_asking_gives_the_same_answer(engine: Engine, heads: dict[str, FineTune], kinds: Kinds) -> None:
    task, samples = kinds["sort"]
    inputs = [sample.input for sample in samples[:20]]
    expected = load_head(heads["sort"].path).predict(inputs)

    async def later() -> list[Any]:
        runs = [engine.arun(task.name, input) for input in inputs]
        answers = [engine.aanswer(task.name, input) for input in inputs]
        text = [piece async for piece in engine.astream(task.name, inputs[0])]
        return [await asyncio.gather(*runs), [a.output for a in await asyncio.gather(*answers)], text]

    run, answered, text = asyncio.run(later())
    assert run == answered == list(engine.run_many(task.name, iter(inputs))) == expected
    assert [engine.run(task.name, input) for input in inputs] == expected
    assert text == list(engine.stream(task.name, inputs[0])) == [expected[0]["kind"]]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda input: engine.answer(task.name, input).output, inputs * 5)) == expected * 5


def test_an_answer_carries_probabilities_checks_and_the_head_s_name(engine: Engine, kinds: Kinds) -> None:
    task, samples = kinds["sort"]

    def no_tools(input: Any, output: Any) -> list[Finding]:
        return [Finding(message="a tool")] if output["kind"] == "a tool" else []

    given = {"text": "he has it"}
    check = Check("no_tools", (task.name,), no_tools, (given, {"kind": "a fruit"}), (given, {"kind": "a tool"}))
    found = list(engine.answer_many(task.name, [sample.input for sample in samples], [check]))
    assert {answer.attempts for answer in found} == {1} and {answer.adapter for answer in found} == {"sort"}
    assert {answer.passed for answer in found} == {True, False}
    for answer in found:
        assert answer.passed == (answer.output["kind"] == "a fruit")
        assert set(answer.probabilities) == set(task.labels)
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(answer.probabilities, key=answer.probabilities.__getitem__) == answer.output["kind"]
    assert engine.answer("tiny.find", {"text": "he lost the saw"}).probabilities == {}


def test_two_heads_over_one_text_read_it_once(shipped: Path) -> None:
    with Engine(shipped, threads=1) as engine:
        trunk = engine.heads["sort"]._trunk
        texts = ["he lost the saw", "he has the fig", "he lost the saw"]
        list(engine.run_many("tiny.sort", [{"text": text} for text in texts]))
        list(engine.run_many("tiny.find", [{"text": text} for text in texts]))
        assert trunk.passes == 2
        found = list(
            engine.run_many(
                "tiny.match", [{"query": "fig", "title": f"he {verb} fig"} for verb in ("lost", "has", "likes")]
            )
        )
        assert len(found) == 3 and trunk.passes == 2 + 1 + 3, "the query that all three share is read once"


def test_what_a_trunk_keeps_stays_within_its_bytes(shipped: Path) -> None:
    with Engine(shipped, threads=1) as engine:
        trunk = engine.heads["sort"]._trunk
        trunk._kept_bytes = 10_000
        list(engine.run_many("tiny.sort", [{"text": "he lost the saw " + "fig " * (n % 9)} for n in range(40)]))
        assert trunk._bytes == sum(a.nbytes for kept in trunk._kept.values() for a in kept.values()) <= 10_000


def test_texts_become_vectors_of_length_one(engine: Engine, heads: dict[str, FineTune]) -> None:
    texts = ["fig", "he lost the saw", "fig and pear and plum"]
    vectors = engine.embed(texts)
    headed = load_head(heads["match"].path)
    batch = headed.batch([headed.item_of(text, 0) for text in texts])
    with headed.resting():
        means = torch.einsum("rtw,rgt->rw", headed.trunk.states(batch)[:, 0], batch.pool)
    expected = torch.nn.functional.normalize(means, dim=-1)
    assert vectors.shape == (3, 64) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors, expected.numpy(), atol=1e-5)
    assert np.allclose(engine.embed(texts, head="sort"), vectors, atol=1e-6), "one frozen trunk, one pooling"
    assert engine.embed([]).shape[0] == 0
    with pytest.raises(UsageError, match="there is no head nobody"):
        engine.embed(texts, head="nobody")
    with pytest.raises(RequestError, match="more than 64"):
        engine.embed(["fig " * 100])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 0.5}, "takes no temperature"),
        ({"max_tokens": 4, "seed": 1}, "takes no max_tokens, seed"),
        ({"adapter": "find"}, r"the head find answers tiny\.find, not tiny\.sort"),
        ({"adapter": "base"}, "only reads"),
    ],
)
def test_what_a_head_has_no_use_for_is_refused(engine: Engine, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        engine.run("tiny.sort", {"text": "he lost the saw"}, **options)


def test_what_cannot_be_answered_is_said_as_for_text(engine: Engine) -> None:
    with pytest.raises(ContractError, match=r"input does not satisfy tiny\.sort"):
        engine.run("tiny.sort", {"words": "he lost the saw"})
    with pytest.raises(RequestError, match="more than 64"):
        engine.run("tiny.sort", {"text": "the fig " * 40})
    with pytest.raises(ContractError, match=r"'pear'.* does not stand in text"):
        engine.run("tiny.relate", {"text": "the fig , then the saw", "first": "pear", "second": "saw"})
    with pytest.raises(UsageError, match="answered by the head sort"):
        engine.request("tiny.sort", {"text": "he lost the saw"})
    assert engine.run("tiny.find", {"text": ""}) == {"spans": []}


def test_the_recorder_is_given_what_the_head_read_and_said(shipped: Path) -> None:
    class Told:
        def __init__(self) -> None:
            self.given: list[Any] = []

        def record(self, given: Any) -> str:
            self.given.append(given)
            return f"id{len(self.given)}"

    told = Told()
    with Engine(shipped, threads=1, recorder=told) as engine:
        answer = engine.answer("tiny.sort", {"text": "he lost the saw"})
        engine.run("tiny.sort", {"text": "he has the fig"})
    assert answer.id == "id1" and [given.prompt for given in told.given] == ["he lost the saw", "he has the fig"]
    assert told.given[0].output == answer.output and told.given[0].adapter == "sort"


def test_several_heads_of_one_task_are_told_apart_by_name(
    copied: Path, kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    other = make("sort", tiny_encoder, tmp_path / "other", kinds, "features", "all")
    add_head(copied, other.path, "other")
    with Engine(copied, threads=1) as engine:
        with pytest.raises(UsageError, match=r"2 adapters or heads were trained for tiny\.sort"):
            engine.run("tiny.sort", {"text": "he lost the saw"})
        assert engine.answer("tiny.sort", {"text": "he lost the saw"}, adapter="other").adapter == "other"


SLIM = f"""
import sys
class Slim:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {HEAVY!r}: raise ImportError(name + ' is not in a slim process')
sys.meta_path.insert(0, Slim())
"""


def test_a_slim_process_adds_a_head_verifies_the_bundle_and_answers(
    copied: Path, heads: dict[str, FineTune], kinds: Kinds
) -> None:
    remove_head(copied, "sort")
    code = (
        SLIM
        + f"""
import json
from metier.export.heads import add_head, verify_heads
from metier.runtime import Engine
add_head({str(copied)!r}, {str(heads["sort"].path)!r}, "again")
assert len(verify_heads({str(copied)!r})) == 4
with Engine({str(copied)!r}, threads=1) as engine:
    outputs = list(engine.run_many("tiny.sort", json.loads(sys.argv[1])))
    print(json.dumps([outputs, engine.embed(["fig"]).shape]))
"""
    )
    inputs = [sample.input for sample in kinds["sort"][1]]
    done = subprocess.run([sys.executable, "-c", code, json.dumps(inputs)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [load_head(heads["sort"].path).predict(inputs), [1, 64]]
    entry = next(head for head in open_bundle(copied).manifest.heads if head.name == "again")
    assert entry.parity is None and len(entry.golden) == 4
    parity = prove_head(copied, "again")
    assert parity.agreement == 1 and parity.max_abs < 1e-4
    assert next(head for head in open_bundle(copied).manifest.heads if head.name == "again").parity == parity


def test_a_head_that_does_not_fit_the_bundle_is_refused_and_changes_nothing(
    copied: Path, kinds: Kinds, tiny_encoder: Path, tiny_base: Path, heads: dict[str, FineTune], tmp_path: Path
) -> None:
    before = (copied / MANIFEST).read_bytes()
    learnt = make("sort", tiny_encoder, tmp_path / "learnt", kinds, "full")
    with pytest.raises(UsageError, match=r"learnt with it \(full\)"):
        add_head(copied, learnt.path, "x")
    foreign = make("sort", tiny_base, tmp_path / "foreign", kinds)
    with pytest.raises(UsageError, match="the bundle's frozen trunks are of"):
        add_head(copied, foreign.path, "x")
    damaged = Path(shutil.copytree(heads["sort"].path, tmp_path / "damaged"))
    (damaged / HEAD_FILE).write_bytes((damaged / HEAD_FILE).read_bytes()[:-1] + b"x")
    with pytest.raises(Exception, match=r"head\.onnx, is missing or not the one in the card"):
        add_head(copied, damaged, "x")
    assert (copied / MANIFEST).read_bytes() == before
    verify_heads(copied)


def test_removing_a_head_takes_its_own_trunk_along_and_leaves_a_shared_one(
    heads: dict[str, FineTune], kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    learnt = make("sort", tiny_encoder, tmp_path / "learnt", kinds, "full", "top:1")
    bundle = export_heads([learnt, heads["find"]], tmp_path / "bundle").path
    remove_head(bundle, "learnt")
    manifest = open_bundle(bundle).manifest
    assert [trunk.trained for trunk in manifest.trunks] == [None] and [head.name for head in manifest.heads] == ["find"]
    assert not any("learnt" in file for file in manifest.files) and not (bundle / "trunks" / "learnt").exists()
    with pytest.raises(UsageError, match="all that this bundle holds"):
        remove_head(bundle, "find")


def test_a_damaged_or_mismatched_bundle_is_refused(copied: Path, tmp_path: Path) -> None:
    file = copied / "heads" / "sort" / HEAD_FILE
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(BundleError, match="its checksum does not match"):
        Engine(copied)
    file.write_bytes(sound)
    with edited(copied) as (part, manifest):  # another task's graph, checksums and all
        (part / "heads" / "sort" / HEAD_FILE).unlink()
        shutil.copyfile(copied / "heads" / "find" / HEAD_FILE, part / "heads" / "sort" / HEAD_FILE)
        other = manifest.files["heads/find/head.onnx"]
        write_manifest(part, manifest.model_copy(update={"files": {**manifest.files, "heads/sort/head.onnx": other}}))
    with pytest.raises(BundleError, match=r"the head sort is not of tiny\.sort with 2 classes"):
        Engine(copied)


def test_a_manifest_whose_parts_do_not_go_together_is_refused(copied: Path) -> None:
    said = json.loads((copied / MANIFEST).read_text())
    for change, why in (
        ({"trunks": []}, "which is not there"),
        ({"heads": []}, "a bundle holds heads and nothing else"),
        ({"heads": [{**said["heads"][0], "layers": [9]}]}, "layers that its trunk does not give"),
        ({"heads": [said["heads"][0]] * 2}, "have names of their own"),
    ):
        (copied / MANIFEST).write_text(json.dumps({**said, **change}))
        with pytest.raises(BundleError, match=why):
            open_bundle(copied)


def test_a_head_that_answers_otherwise_than_at_export_is_found(copied: Path) -> None:
    with edited(copied) as (part, manifest):
        head = manifest.heads[0]
        output = next(o for o in ({"kind": "a fruit"}, {"kind": "a tool"}) if o != head.golden[0].output)
        wrong = head.model_copy(update={"golden": (head.golden[0].model_copy(update={"output": output}),)})
        write_manifest(part, manifest.model_copy(update={"heads": (wrong, *manifest.heads[1:])}))
    with pytest.raises(BundleError, match="answers packaged input 0 otherwise"):
        verify_heads(copied)


def test_an_export_that_differs_from_torch_is_not_written(
    heads: dict[str, FineTune], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ship.TOLERANCE, "fp32", {"max_abs": 0.0, "agreement": 1.0})
    with pytest.raises(ExportError, match=r"max_abs is .*, the bound is 0"):
        export_heads([heads["sort"]], tmp_path / "bundle", precision="fp32")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_said_first(heads: dict[str, FineTune], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a trunk is not stored in int4"):
        export_heads([heads["sort"]], tmp_path / "bundle", precision="int4")
    with pytest.raises(UsageError, match="several fine-tunes are called sort"):
        export_heads([heads["sort"]] * 2, tmp_path / "bundle")
    with pytest.raises(UsageError, match="there is no fine-tune"):
        export_heads([], tmp_path / "bundle")


def test_text_and_heads_of_another_base_stand_side_by_side(
    tiny_finetune: FineTune, tiny_bundle: Path, heads: dict[str, FineTune], tmp_path: Path
) -> None:
    bundle = export_together([tiny_finetune, heads["sort"], heads["match"]], tmp_path / "bundle", precision="fp32")
    assert {path.name for path in tmp_path.iterdir()} <= {"bundle", ".bundle.lock"}
    with Engine(bundle.path, threads=1, rows=2, max_len=256) as engine, Engine(tiny_bundle, max_len=256) as alone:
        asked = {"facts": "a blue mug"}
        assert engine.run("tiny.copy", asked) == alone.run("tiny.copy", asked)
        expected = load_head(heads["sort"].path).predict([{"text": "he lost the saw"}])
        assert [engine.run("tiny.sort", {"text": "he lost the saw"})] == expected
        assert engine.embed(["fig"]).shape == (1, 64)
        with pytest.raises(UsageError, match="no LoRA slots"):
            engine.set_adapter("x", {}, {})
