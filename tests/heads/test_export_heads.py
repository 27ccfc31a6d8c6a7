"""Heads into a bundle: every method over every choice of layers is proved, what does not fit is refused, a bundle is
changed whole or not at all."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from metier.adapt import ExportOptions, adapt, export_bundle
from metier.cli.app import app
from metier.contracts import (
    BundleError,
    DataError,
    ExportError,
    FineTune,
    Recipe,
    Sample,
    TaskContract,
    TaskKind,
    UsageError,
    prompt,
)
from metier.contracts.bundle import MANIFEST
from metier.contracts.heads import HEAD_FILE
from metier.export.bundle_edit import edited, write_manifest
from metier.export.head_entries import add_head, remove_head, verify_heads
from metier.heads import export_heads, load_head, prove_head
from metier.runtime import Engine
from metier.runtime.bundle import open_bundle

Kinds = dict[str, tuple[TaskContract, list[Sample]]]
Maker = Callable[..., FineTune]

HEAVY = ("torch", "transformers", "peft", "onnx", "onnx_ir", "onnxruntime_genai", "datasets", "pandas")
LAYERS = {
    "features": ("all", "embedding", "mix", "top:2", "1,3"),
    "full": ("all", "embedding", "mix", "top:1", "1-2"),
    "lora": ("all", "mix", "top:2", "1,3"),
}


@pytest.mark.parametrize("method", LAYERS)
@pytest.mark.parametrize("base", ["tiny_encoder", "tiny_base"])
def test_every_method_and_layers_answer_through_the_engine_as_in_torch(
    base: str, method: str, kinds: Kinds, make_head: Maker, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(base)
    wanted = [("sort", layers) for layers in LAYERS[method]] + [(kind, "all") for kind in kinds if kind != "sort"]
    tuned = [
        make_head(kind, folder, tmp_path / f"{kind}-{n}", method, layers) for n, (kind, layers) in enumerate(wanted)
    ]
    bundle = export_heads(tuned, tmp_path / "bundle", precision="fp32")
    # Over frozen features all read one trunk; a base that was trained is the head's own.
    assert len(bundle.manifest.trunks) == (1 if method == "features" else len(tuned))
    assert bundle.manifest.graph is None and len(bundle.manifest.heads) == len(tuned)
    varied = 0
    with Engine(bundle, threads=1) as engine:
        for finetune in tuned:
            task, samples = finetune.card.tasks[0], kinds[finetune.card.tasks[0].name.partition(".")[2]][1]
            inputs = [sample.input for sample in samples]
            expected = load_head(finetune.path).predict(inputs)
            assert list(engine.run_many(task.name, inputs, adapter=finetune.card.name)) == expected
            varied += len({json.dumps(output) for output in expected}) > 1
    assert varied > len(tuned) / 2, "heads that say one thing prove little"
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


def test_layers_that_no_head_reads_are_left_out_of_the_trunk(
    make_head: Maker, tiny_encoder: Path, tmp_path: Path
) -> None:
    low = make_head("sort", tiny_encoder, tmp_path / "low", "features", "embedding")
    bundle = export_heads([low], tmp_path / "bundle")
    (trunk,) = bundle.manifest.trunks
    assert trunk.layers == (0,) and (trunk.count, trunk.width) == (3, 64)
    with pytest.raises(UsageError, match="reads layers 3, which the bundle's trunk leaves out"):
        add_head(bundle.path, make_head("find", tiny_encoder, tmp_path / "find").path, "find")


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
from metier.export.head_entries import add_head, verify_heads
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
    copied: Path, make_head: Maker, tiny_encoder: Path, tiny_base: Path, heads: dict[str, FineTune], tmp_path: Path
) -> None:
    before = (copied / MANIFEST).read_bytes()
    trained_head = make_head("sort", tiny_encoder, tmp_path / "trained", "full")
    with pytest.raises(UsageError, match=r"trained together with its base \(full\)"):
        add_head(copied, trained_head.path, "x")
    foreign = make_head("sort", tiny_base, tmp_path / "foreign")
    with pytest.raises(UsageError, match="the bundle's frozen trunks are of"):
        add_head(copied, foreign.path, "x")
    damaged = Path(shutil.copytree(heads["sort"].path, tmp_path / "damaged"))
    (damaged / HEAD_FILE).write_bytes((damaged / HEAD_FILE).read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"head\.onnx, is missing or not the one in the card"):
        add_head(copied, damaged, "x")
    assert (copied / MANIFEST).read_bytes() == before
    verify_heads(copied)


def test_removing_a_head_takes_its_own_trunk_along_and_leaves_a_shared_one(
    heads: dict[str, FineTune], make_head: Maker, tiny_encoder: Path, tmp_path: Path
) -> None:
    trained_head = make_head("sort", tiny_encoder, tmp_path / "with_trunk", "full", "top:1")
    bundle = export_heads([trained_head, heads["find"]], tmp_path / "bundle").path
    remove_head(bundle, "with_trunk")
    manifest = open_bundle(bundle).manifest
    assert [trunk.trained for trunk in manifest.trunks] == [None] and [head.name for head in manifest.heads] == ["find"]
    assert not any("with_trunk" in file for file in manifest.files) and not (bundle / "trunks" / "with_trunk").exists()
    with pytest.raises(UsageError, match="this bundle contains only find"):
        remove_head(bundle, "find")


def test_a_damaged_or_mismatched_bundle_is_refused(copied: Path, tmp_path: Path) -> None:
    file = copied / "heads" / "sort" / HEAD_FILE
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(BundleError, match="checksum does not match"):
        Engine(copied)
    file.write_bytes(sound)
    with edited(copied) as (part, manifest):  # another task's graph, checksums and all
        (part / "heads" / "sort" / HEAD_FILE).unlink()
        shutil.copyfile(copied / "heads" / "find" / HEAD_FILE, part / "heads" / "sort" / HEAD_FILE)
        other = manifest.files["heads/find/head.onnx"]
        write_manifest(part, manifest.model_copy(update={"files": {**manifest.files, "heads/sort/head.onnx": other}}))
    with pytest.raises(BundleError, match=r"the head sort does not have the 2 classes of tiny\.sort"):
        Engine(copied)


def test_a_manifest_whose_parts_do_not_go_together_is_refused(copied: Path) -> None:
    manifest_values = json.loads((copied / MANIFEST).read_text())
    for change, why in (
        ({"trunks": []}, "which is missing"),
        ({"heads": []}, "a bundle without a decoder graph contains heads"),
        ({"heads": [{**manifest_values["heads"][0], "layers": [9]}]}, "layers that its trunk lacks"),
        ({"heads": [manifest_values["heads"][0]] * 2}, "need distinct names"),
    ):
        (copied / MANIFEST).write_text(json.dumps({**manifest_values, **change}))
        with pytest.raises(BundleError, match=why):
            open_bundle(copied)


def test_a_head_that_answers_otherwise_than_at_export_is_found(copied: Path) -> None:
    with edited(copied) as (part, manifest):
        head = manifest.heads[0]
        output = next(o for o in ({"kind": "a fruit"}, {"kind": "a tool"}) if o != head.golden[0].output)
        wrong = head.model_copy(update={"golden": (head.golden[0].model_copy(update={"output": output}),)})
        write_manifest(part, manifest.model_copy(update={"heads": (wrong, *manifest.heads[1:])}))
    with pytest.raises(BundleError, match="does not answer packaged input 0"):
        verify_heads(copied)


def test_an_export_that_differs_from_torch_is_not_written(
    heads: dict[str, FineTune], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        importlib.import_module("metier.heads.export_heads").TOLERANCE, "fp32", {"max_abs": 0.0, "agreement": 1.0}
    )
    with pytest.raises(ExportError, match=r"max_abs is .*, the bound is 0"):
        export_heads([heads["sort"]], tmp_path / "bundle", precision="fp32")
    assert list(tmp_path.iterdir()) == []


def test_fine_tunes_that_cannot_be_exported_are_refused_first(heads: dict[str, FineTune], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a trunk is not stored in int4"):
        export_heads([heads["sort"]], tmp_path / "bundle", precision="int4")
    with pytest.raises(UsageError, match="several fine-tunes are called sort"):
        export_heads([heads["sort"]] * 2, tmp_path / "bundle")
    with pytest.raises(UsageError, match="there is no fine-tune"):
        export_heads([], tmp_path / "bundle")


def test_text_and_heads_of_another_base_stand_side_by_side(
    tiny_finetune: FineTune, tiny_bundle: Path, heads: dict[str, FineTune], tmp_path: Path
) -> None:
    bundle = export_bundle([tiny_finetune, heads["sort"], heads["match"]], tmp_path / "bundle", ExportOptions("fp32"))
    assert {path.name for path in tmp_path.iterdir()} <= {"bundle", ".bundle.lock"}
    with Engine(bundle.path, threads=1, rows=2, max_len=256) as engine, Engine(tiny_bundle, max_len=256) as alone:
        request = {"facts": "a blue mug"}
        assert engine.run("tiny.copy", request) == alone.run("tiny.copy", request)
        expected = load_head(heads["sort"].path).predict([{"text": "he lost the saw"}])
        assert [engine.run("tiny.sort", {"text": "he lost the saw"})] == expected
        assert engine.embed(["fig"]).shape == (1, 64)
        with pytest.raises(UsageError, match="no LoRA slots"):
            engine.load_adapter("x", {}, {})


def test_the_commands_export_list_add_run_and_verify_heads(heads: dict[str, FineTune], tmp_path: Path) -> None:
    def metier(*args: object) -> str:
        done = CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    bundle = tmp_path / "bundle"
    printed = metier("export", heads["sort"].path, heads["match"].path, "--out", bundle)
    assert "bundle: fp16" in printed and "heads give the same label as torch at 100.0% of 96 places" in printed
    assert "find: a head over" in metier("bundle", "add", bundle, heads["find"].path, "--name", "find")
    listed = metier("bundle", "list", bundle)
    assert "match: a head over" in listed and "tiny.find, not proved against torch" in listed
    expected = load_head(heads["sort"].path).predict([{"text": "he lost the saw"}])[0]
    request = ("run", bundle, "--task", "tiny.sort", "--input-text", "he lost the saw")
    assert metier(*request).strip() == expected["kind"] and json.loads(metier(*request, "--json")) == expected
    assert "labels as torch 100.0%" in metier("bundle", "verify", bundle, "--prove")
    assert json.loads(metier("bundle", "verify", bundle, "--json"))["heads"][2]["parity"]["agreement"] == 1
    metier("bundle", "remove", bundle, "--name", "find")
    assert "find" not in metier("bundle", "list", bundle)


@pytest.mark.slow
def test_banking_intents_on_the_real_encoder_are_answered_as_in_torch(tmp_path: Path) -> None:
    """Features, LoRA and all of MiniLM, trained for a moment; one bundle of the three."""

    class Question(BaseModel):
        text: str

    class Intent(BaseModel):
        intent: Literal["card_arrival", "lost_or_stolen_card", "top_up_failed", "exchange_rate"]

    request = {
        "card_arrival": ["When will my card get here?", "My card has not come yet", "How do I track my new card?"],
        "lost_or_stolen_card": ["Someone stole my card", "I lost my card on the bus", "My card is gone, block it"],
        "top_up_failed": ["My top up did not work", "Why was my top-up declined?", "The top up keeps failing"],
        "exchange_rate": ["What is the rate for euros?", "Is your exchange rate fair?", "Which rate do I get abroad?"],
    }
    task = TaskContract(
        name="bank.intent",
        kind=TaskKind.CLASSIFY,
        input=Question,
        output=Intent,
        prompts={"en": prompt("{{ text }}")},
        reply="label",
    )
    samples = [
        Sample(task=task.name, input={"text": text}, output={"intent": label})
        for label, texts in request.items()
        for text in texts
    ]
    tuned = []
    for method, layers in (("features", "all"), ("lora", "top:2"), ("full", "top:2")):
        recipe = Recipe(
            base="all-minilm-l6-v2", produces="head", method=method, layers=layers, epochs=2, learning_rate=1e-4
        )
        tuned.append(adapt(task, samples, samples[:4], recipe, tmp_path / method))
    bundle = export_heads(tuned, tmp_path / "bundle")
    inputs = [sample.input for sample in samples]
    with Engine(bundle) as engine:
        for finetune in tuned:
            name = finetune.card.name
            expected = load_head(finetune.path).predict(inputs)
            assert list(engine.run_many(task.name, inputs, adapter=name)) == expected
        near, far = "I can't find my card", "What do you pay for a dollar?"
        mine, other, lost = engine.embed([near, far, "I lost my card on the bus"], head="features")
        assert mine @ lost > 0.5 > other @ lost
    for head in bundle.manifest.heads:
        assert head.parity is not None and head.parity.agreement == 1 and head.parity.max_abs < 0.05
