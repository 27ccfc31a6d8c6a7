"""`metier export --slots` and `metier bundle`: one base, adapters that come and go."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.contracts import errors

Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bundle(tiny_slotted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_slotted, tmp_path / "bundle"))


def test_a_run_becomes_a_base_with_one_adapter_and_answers_its_task(tiny_finetune, metier: Runner, tmp_path: Path):
    done = metier("export", tiny_finetune.path, "--slots", "--inputs", "--precision", "fp32", "--out", "B", "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert [entry["name"] for entry in manifest["adapters"]] == ["tiny"]
    assert manifest["adapters"][0]["parity"]["top1_agreement"] == 1
    assert {"model.onnx", "model_inputs.onnx", "adapters/tiny/tiny.onnx_adapter"} <= set(manifest["files"])
    own = metier("run", "B", "--task", "tiny.copy", "--input-text", "a lamp")
    base = metier("run", "B", "--task", "tiny.copy", "--input-text", "a lamp", "--adapter", "base")
    assert own.returncode == base.returncode == 0, own.stderr + base.stderr
    assert own.stdout != base.stdout


def test_adapters_are_added_listed_verified_and_removed(bundle: Path, tiny_finetune, metier: Runner):
    added = metier("bundle", "add", bundle, tiny_finetune.path, "--name", "second")
    assert added.returncode == 0 and "second: rank 4" in added.stdout, added.stderr
    listed = json.loads(metier("bundle", "list", bundle, "--json").stdout)
    assert [entry["name"] for entry in listed][-1] == "second" and listed[-1]["parity"] is None
    verified = metier("bundle", "verify", bundle, "--prove", "--json")
    assert verified.returncode == 0, verified.stderr
    rows = {row["name"]: row for row in json.loads(verified.stdout)["adapters"]}
    assert rows["second"]["parity"]["top1_agreement"] == 1
    assert rows["plain"]["parity"]["top1_agreement"] == 1 and rows["plain"]["skipped"] is None
    removed = metier("bundle", "remove", bundle, "--name", "second")
    assert removed.returncode == 0, removed.stderr
    assert "second" not in metier("bundle", "list", bundle).stdout


def test_a_failed_proof_names_its_reason_and_an_adapter_needs_no_name(bundle: Path, tiny_loras, metier: Runner):
    folder = Path(shutil.copytree(tiny_loras["plain"], bundle.parent / "mine"))
    added = metier("bundle", "add", bundle, folder)
    assert added.returncode == 0 and added.stdout.startswith("mine: rank 4"), added.stderr
    assert "where the bundle's base is available" in added.stdout
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["base"]["sha256"] = "0" * 64
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    verified = metier("bundle", "verify", bundle, "--prove")
    assert verified.returncode == 0, verified.stderr
    assert "mine: rank 4" in verified.stdout and "not proved against peft: skipped" in verified.stdout


def test_what_does_not_fit_is_refused_and_changes_nothing(bundle: Path, tiny_loras, metier: Runner):
    before = (bundle / "bundle.json").read_bytes()
    config = tiny_loras["plain"] / "adapter_config.json"
    dora = Path(shutil.copytree(tiny_loras["plain"], bundle.parent / "dora"))
    (dora / config.name).write_text(json.dumps({**json.loads(config.read_text()), "use_dora": True}))
    done = metier("bundle", "add", bundle, dora, "--name", "x", "--any-base")
    assert done.returncode == errors.UsageError.exit_code
    assert "DoRA" in done.stderr and "merge it into a bundle of its own" in done.stderr
    assert (bundle / "bundle.json").read_bytes() == before


def test_several_runs_go_into_one_bundle_with_slots(metier: Runner, tiny_finetune, tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = Path(shutil.copytree(tiny_finetune.path, tmp_path / name))
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, "name": name}))
    done = metier("export", "one", "two", "--precision", "fp32", "--out", "B", "--json")
    assert done.returncode == 0, done.stderr
    assert [entry["name"] for entry in json.loads(done.stdout)["adapters"]] == ["one", "two"]
