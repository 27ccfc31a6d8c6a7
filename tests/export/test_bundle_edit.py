"""Adapters are added and removed in seconds, without torch and atomically; other runtimes load them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from metier.contracts import BaseError, BundleError, UsageError
from metier.decoding.generation import Request
from metier.export.adapter_bundle import prove_adapter, prove_adapters
from metier.export.bundle_edit import add_adapter, remove_adapter, verify_adapters
from metier.runtime import Engine, open_bundle
from metier.runtime.bundle import read_manifest

NAMES = [None, "tuned", "plain", "rank1", "rslora", "patterns", "some", "last"]


@pytest.fixture
def bundle(tiny_slotted, tmp_path):
    return Path(shutil.copytree(tiny_slotted, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def prompt(tiny_slotted):
    return open_bundle(tiny_slotted).manifest.golden[0].token_ids


@pytest.fixture(scope="module")
def greedy_tokens(tiny_slotted, prompt):
    """Our engine's greedy tokens for each adapter, 12 of them."""
    with Engine(tiny_slotted, rows=2, max_len=300) as engine:
        answers = {}
        for name in NAMES:
            generation = engine.submit(Request(ids=prompt, max_tokens=12, adapter=name))
            generation.result(60)
            answers[name] = generation.ids
    assert len({tuple(ids) for ids in answers.values()}) == len(NAMES)
    return answers


def test_the_manifest_records_the_proof_of_each_adapter(tiny_slotted):
    entries = {entry.name: entry for entry in open_bundle(tiny_slotted).manifest.adapters}
    tuned = entries.pop("tuned")
    assert tuned.parity is not None and tuned.parity.max_abs < 1e-3 and tuned.parity.top1_agreement == 1
    assert tuned.card is not None and tuned.rank == 4
    for entry in entries.values():
        assert entry.parity is None and entry.card is None
        assert entry.fold_error is not None and entry.fold_error < 1e-6
    assert {row.name for row in verify_adapters(tiny_slotted)} == {*entries, "tuned"}


def test_onnxruntime_genai_opens_the_folder_and_generates_the_same_tokens(tiny_slotted, greedy_tokens, prompt):
    genai = pytest.importorskip("onnxruntime_genai")
    model = genai.Model(str(tiny_slotted))
    adapters = genai.Adapters(model)
    for name, expected in greedy_tokens.items():
        params = genai.GeneratorParams(model)
        params.set_search_options(max_length=len(prompt) + 12, do_sample=False)
        generator = genai.Generator(model, params)
        if name is not None:
            adapters.load(str(tiny_slotted / "adapters" / name / f"{name}.onnx_adapter"), name)
            generator.set_active_adapter(adapters, name)
        generator.append_tokens(list(prompt))
        found = []
        while not generator.is_done() and len(found) < 12:
            generator.generate_next_token()
            found.append(int(generator.get_next_tokens()[0]))
        found = found[: found.index(2)] if 2 in found else found
        assert found == expected, name


def test_onnxruntimes_own_adapter_gives_the_same_logits(tiny_slotted, prompt):
    manifest = read_manifest(tiny_slotted)
    graph = manifest.graph
    session = ort.InferenceSession(str(tiny_slotted / graph.file), providers=["CPUExecutionProvider"])
    feeds = {"input_ids": np.array([prompt]), "attention_mask": np.ones((1, len(prompt)), np.int64)}
    for layer in range(graph.layers):
        for name in (graph.past_key, graph.past_value):
            feeds[name % layer] = np.zeros((1, graph.kv_heads, 0, graph.head_dim), np.float32)
    plain = session.run(["logits"], feeds)[0]
    for entry in manifest.adapters:
        file = tiny_slotted / entry.path / f"{entry.name}.onnx_adapter"
        adapter = ort.LoraAdapter()
        adapter.Load(str(file))
        options = ort.RunOptions()
        options.add_active_adapter(adapter)
        active = session.run(["logits"], feeds, options)[0]
        given = {k: v.numpy().copy() for k, v in ort.AdapterFormat.read_adapter(str(file)).get_parameters().items()}
        assert np.array_equal(active, session.run(["logits"], {**feeds, **given})[0])
        assert np.abs(active - plain).max() > 0.01


def test_adapters_load_in_plain_peft(tiny_slotted, greedy_tokens, prompt, peft_greedy):
    for name, expected in greedy_tokens.items():
        assert peft_greedy(name, list(prompt), 12) == expected


def test_adding_loads_no_torch_and_changes_no_other_file(bundle, tiny_loras):
    remove_adapter(bundle, "plain")
    before = read_manifest(bundle)
    code = (
        "import sys; from metier.cli import main\n"
        f"sys.argv = ['metier', 'bundle', 'add', {str(bundle)!r}, {str(tiny_loras['plain'])!r}, '--name', 'again',"
        " '--any-base', '--json']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'transformers', 'peft', 'onnx', 'onnx_ir'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rank"] == 4
    after = open_bundle(bundle).manifest
    assert {name: after.files[name] for name in before.files} == before.files
    assert {name.split("/")[1] for name in after.files.keys() - before.files.keys()} == {"again"}
    assert [path.name for path in bundle.parent.iterdir() if "part" in path.name] == []


def test_a_replaced_adapter_leaves_nothing_of_the_old_one(bundle, tiny_loras):
    add_adapter(bundle, tiny_loras["rslora"], "plain", any_base=True)
    manifest = open_bundle(bundle).manifest
    assert [entry.rank for entry in manifest.adapters if entry.name == "plain"] == [6]
    assert len(manifest.adapters) == len(NAMES) - 1


def test_removing_an_adapter_removes_its_task(bundle):
    remove_adapter(bundle, "tuned")
    manifest = open_bundle(bundle).manifest
    assert manifest.every_task == () and manifest.golden == ()
    with pytest.raises(UsageError, match="no adapter tuned"):
        remove_adapter(bundle, "tuned")


def test_a_failure_at_any_moment_leaves_the_bundle_unchanged(bundle, tiny_loras, monkeypatch):
    from metier.export import bundle_edit

    before = (bundle / "bundle.json").read_bytes()
    for broken in ("write_onnx_adapter", "entries_of", "write_manifest", "open_bundle"):
        with monkeypatch.context() as patch:

            def fail(*args, **kwargs):
                raise KeyboardInterrupt

            patch.setattr(bundle_edit, broken, fail)
            with pytest.raises(KeyboardInterrupt):
                add_adapter(bundle, tiny_loras["plain"], "new", any_base=True)
        assert (bundle / "bundle.json").read_bytes() == before
        open_bundle(bundle)
        assert not list(bundle.parent.glob(".metier-part-*"))


def test_an_adapter_added_without_torch_is_proved_later(bundle, tiny_finetune):
    add_adapter(bundle, tiny_finetune.path, "later")
    assert {e.name: e.parity for e in read_manifest(bundle).adapters}["later"] is None
    parity = prove_adapter(bundle, "later")
    assert parity.top1_agreement == 1
    assert {e.name: e.parity for e in open_bundle(bundle).manifest.adapters}["later"] == parity


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "plain.onnx_adapter"])
def test_a_changed_byte_in_an_adapter_is_found(bundle, file):
    path = bundle / "adapters" / "plain" / file
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="checksum"):
        verify_adapters(bundle)


def test_two_forms_that_differ_are_found_even_where_checksums_fit(bundle):
    from metier.bases.checksum import entries_of

    adapters = bundle / "adapters"
    shutil.copyfile(adapters / "rslora" / "rslora.onnx_adapter", adapters / "plain" / "plain.onnx_adapter")
    manifest = read_manifest(bundle)
    files = entries_of(bundle, without=frozenset({"bundle.json"}))
    (bundle / "bundle.json").write_text(manifest.model_copy(update={"files": files}).model_dump_json())
    with pytest.raises(BundleError, match="differs from the PEFT weights"):
        verify_adapters(bundle)


def changed_base(bundle, **changes):
    manifest = read_manifest(bundle)
    base = manifest.base.model_copy(update=changes)
    (bundle / "bundle.json").write_text(manifest.model_copy(update={"base": base}).model_dump_json())


def test_a_fine_tune_of_another_base_or_revision_is_refused(bundle, tiny_finetune):
    changed_base(bundle, sha256="0" * 64)
    with pytest.raises(UsageError, match=r"another revision of .* and the bundle's base is"):
        add_adapter(bundle, tiny_finetune.path, "x")
    changed_base(bundle, sha256="0" * 64, id="other/base")
    with pytest.raises(UsageError, match="and the bundle's base is other/base"):
        add_adapter(bundle, tiny_finetune.path, "x")


def trained_on(folder, target, name):
    """A copy of a PEFT folder whose config names another base."""
    shutil.copytree(folder, target)
    config = target / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": name}))
    return target


def test_a_peft_folder_of_this_very_base_is_recognised_by_its_weights(bundle, tiny_loras, tiny_base, tmp_path):
    """PEFT records the folder that the base was loaded from, which may have any name."""
    changed_base(bundle, id="smollm2-135m")
    copy = shutil.copytree(tiny_base, tmp_path / "downloaded")
    lora = trained_on(tiny_loras["plain"], tmp_path / "lora", str(copy))
    assert add_adapter(bundle, lora, "x").rank == 4


def test_a_peft_folder_of_other_weights_is_refused_even_where_the_name_fits(bundle, tiny_loras, tiny_base):
    changed_base(bundle, id=f"other/{tiny_base.name}", sha256="0" * 64)
    with pytest.raises(UsageError, match=r"it was trained on .* \(weights"):
        add_adapter(bundle, tiny_loras["plain"], "x")


def test_a_peft_folder_whose_base_is_not_here_is_compared_by_name(bundle, tiny_loras, tmp_path):
    changed_base(bundle, id="owner/small")
    other = trained_on(tiny_loras["plain"], tmp_path / "other", "/gone/other")
    with pytest.raises(UsageError, match="--any-base"):
        add_adapter(bundle, other, "x")
    assert add_adapter(bundle, other, "x", any_base=True).rank == 4
    same = trained_on(tiny_loras["plain"], tmp_path / "same", "/gone/Small")
    assert add_adapter(bundle, same, "y").rank == 4


def test_an_adapter_takes_the_name_of_its_card_or_folder_where_none_is_given(
    bundle, tiny_finetune, tiny_loras, tmp_path
):
    assert add_adapter(bundle, tiny_finetune.path).name == tiny_finetune.card.name
    folder = shutil.copytree(tiny_loras["plain"], tmp_path / "My LoRA 2")
    assert add_adapter(bundle, folder).name == "my-lora-2"
    with pytest.raises(UsageError, match="already contains my-lora-2") as caught:
        add_adapter(bundle, folder)
    assert "--name" in str(caught.value.remedy)
    with pytest.raises(UsageError, match="no name can be derived"):
        add_adapter(bundle, shutil.copytree(tiny_loras["plain"], tmp_path / "名"))


def test_an_adapter_of_plain_peft_is_proved_where_the_base_is_available(bundle):
    assert prove_adapter(bundle, "plain").top1_agreement == 1
    assert prove_adapters(bundle) == {}
    assert all(entry.parity for entry in open_bundle(bundle).manifest.adapters)


def test_an_adapter_can_be_proved_in_a_bundle_without_frozen_prompts(bundle):
    remove_adapter(bundle, "tuned")
    assert read_manifest(bundle).golden == ()
    assert prove_adapter(bundle, "rank1").top1_agreement == 1


def test_an_adapter_of_plain_peft_is_skipped_where_the_base_is_not_available(bundle, tiny_finetune):
    changed_base(bundle, sha256="0" * 64)
    skipped = prove_adapters(bundle)
    assert set(skipped) == set(NAMES[2:]) and all("other weights here" in reason for reason in skipped.values())
    changed_base(bundle, sha256=tiny_finetune.card.base.sha256, id="./gone")
    assert "no such folder" in prove_adapters(bundle)["plain"]
    add_adapter(bundle, tiny_finetune.path, "later")
    with pytest.raises(BaseError):  # its card promises the base
        prove_adapters(bundle)


@pytest.mark.parametrize("name", ["base", "Über", "../x", "", "a/b"])
def test_invalid_names_are_refused(bundle, tiny_loras, name):
    with pytest.raises(UsageError, match="is not a valid name"):
        add_adapter(bundle, tiny_loras["plain"], name, any_base=True)


def test_the_error_of_a_bundle_without_slots_names_the_export(tiny_bundle, tiny_loras, tmp_path):
    copy = shutil.copytree(tiny_bundle, tmp_path / "merged")
    with pytest.raises(UsageError, match="export --slots"):
        add_adapter(copy, tiny_loras["plain"], "x", any_base=True)
