"""A bundle is used whole and unchanged, or not at all."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from metier.contracts import BundleError, MetierError, UsageError
from metier.contracts.schema import problems
from metier.runtime import Engine, open_bundle


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def edit(folder, change):
    file = folder / "bundle.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "genai_config.json"])
def test_one_changed_byte_is_named(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: the file.s checksum"):
        open_bundle(copy)


def test_a_truncated_file_is_named_with_its_sizes(copy):
    data = (copy / "model.onnx.data").read_bytes()
    (copy / "model.onnx.data").write_bytes(data[:-7])
    with pytest.raises(BundleError, match=rf"{len(data) - 7} bytes, not {len(data)}"):
        open_bundle(copy)


def test_a_missing_file_is_named(copy):
    (copy / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json: the file is missing"):
        open_bundle(copy)


def test_a_file_that_the_manifest_does_not_list_is_named(copy):
    (copy / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"extra\.txt: the manifest does not list"):
        open_bundle(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside", "..\\outside"])
def test_no_path_leaves_the_folder(copy, name):
    (copy.parent / "outside").write_text("x")
    edit(copy, lambda m: m["files"].update({name: {"sha256": "0" * 64, "size": 1}}))
    with pytest.raises(BundleError, match="outside the bundle"):
        open_bundle(copy)


def test_a_link_that_leaves_the_folder_is_refused(copy):
    target = copy.parent / "tokenizer.json"
    (copy / "tokenizer.json").rename(target)
    (copy / "tokenizer.json").symlink_to(target)
    with pytest.raises(BundleError, match="outside the bundle"):
        open_bundle(copy)


def test_weights_outside_the_folder_are_not_read(copy):
    import hashlib

    import onnx

    model = onnx.load(copy / "model.onnx", load_external_data=False)
    (copy / "model.onnx.data").rename(copy.parent / "model.onnx.data")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../model.onnx.data"
    onnx.save(model, copy / "model.onnx")
    data = (copy / "model.onnx").read_bytes()

    def change(manifest):
        del manifest["files"]["model.onnx.data"]
        manifest["files"]["model.onnx"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}

    edit(copy, change)
    from metier.runtime import Engine

    with pytest.raises(BundleError):
        Engine(copy)


def test_code_in_a_bundle_is_refused(copy):
    (copy / "weights.pkl").write_bytes(b"x")
    edit(copy, lambda m: m["files"].update({"weights.pkl": {"sha256": "0" * 64, "size": 1}}))
    with pytest.raises(BundleError, match="could run code"):
        open_bundle(copy)


def test_a_prompt_that_tokenises_differently_is_found_at_load(copy):
    edit(copy, lambda m: m["golden"][0]["token_ids"].__setitem__(3, 9))
    with pytest.raises(BundleError, match=r"packaged prompt 0 of tiny\.copy tokenises differently from position 3"):
        open_bundle(copy)


def test_an_error_about_another_schema_version_names_it(copy):
    edit(copy, lambda m: m.update(schema_version="1"))
    with pytest.raises(BundleError, match=r"the bundle was written by schema version 1; this Metier reads 2"):
        open_bundle(copy)


def test_a_manifest_that_is_not_one_is_named(copy):
    (copy / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        open_bundle(copy)


def test_the_error_for_a_folder_without_a_manifest_names_the_right_folder(tmp_path):
    with pytest.raises(BundleError, match="metier export"):
        open_bundle(tmp_path)


def test_an_unknown_task_lists_the_bundles(tiny_bundle):
    with pytest.raises(UsageError, match=r"tiny\.copy, tiny\.item, tiny\.mood"):
        open_bundle(tiny_bundle).task("tiny.nothing")


@pytest.fixture
def slotted(tiny_slotted, tmp_path):
    return shutil.copytree(tiny_slotted, tmp_path / "slotted")


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_link_or_pipe_that_the_manifest_does_not_list_is_named(copy, kind):
    if kind == "link":
        (copy / "extra").symlink_to("/nowhere")
    else:
        os.mkfifo(copy / "extra")
    with pytest.raises(BundleError, match=r"extra: the manifest does not list"):
        open_bundle(copy)


@pytest.mark.parametrize("path", ["../adapters/x", "/etc", ".hidden"])
def test_an_adapter_s_files_are_listed_ones(slotted, path):
    edit(slotted, lambda m: m["adapters"][0].update(path=path))
    with pytest.raises(BundleError, match=r"does not list|outside the bundle|valid"):
        open_bundle(slotted)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_an_adapter_that_is_replaced_after_the_bundle_was_opened_is_not_used(slotted, name):
    first, second = json.loads((slotted / "bundle.json").read_text())["adapters"][:2]
    with Engine(slotted, rows=1, max_len=128) as engine:
        shutil.copyfile(slotted / second["path"] / name, slotted / first["path"] / name)
        if name.endswith("json"):
            (slotted / first["path"] / name).write_text("{}")
        with pytest.raises(BundleError, match="changed after the bundle was opened"):
            engine.adapters.get(first["name"])
        engine.adapters.get(second["name"])


def test_a_contract_that_refers_outside_itself_is_refused_and_nothing_is_fetched(copy, monkeypatch):
    calls = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: calls.append(args))
    monkeypatch.setattr("socket.create_connection", lambda *args, **kwargs: calls.append(args))
    schema = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}
    edit(copy, lambda m: m["card"]["tasks"][0].update(input=schema))
    with pytest.raises(MetierError, match=r"schema\.json"):
        open_bundle(copy)
    with pytest.raises(Exception, match=r"schema\.json"):
        problems(schema, {"a": 1})
    assert calls == []


def test_a_run_looks_up_no_name_and_leaves_no_file_at_home(tiny_bundle, tmp_path):
    """onnxruntime would keep a device id and a database of its use in the user's cache folder."""
    program = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('a name was looked up')\n"
        "socket.getaddrinfo = refuse\n"
        "from metier import Engine\n"
        f"with Engine({str(tiny_bundle)!r}, rows=1, max_len=128) as engine:\n"
        "    print(engine.run('tiny.copy', {'facts': 'a blue mug'}, max_tokens=4))\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
