"""Export: every precision and target is proved against torch, and the folder is written atomically."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metier.contracts import ExportError, Sample, UsageError
from metier.contracts.bundle import MANIFEST, Parity
from metier.disk import PART, atomic_folder
from metier.export import export, parity
from metier.export.precision import PRECISIONS, default_precision
from metier.runtime.bundle import open_bundle


@pytest.mark.parametrize(
    ("precision", "target"),
    [("fp32", "cpu"), ("fp16", "cpu"), ("int8", "cpu"), ("int4", "cpu"), ("fp16", "cuda"), ("int4", "cuda")],
)
def test_every_precision_and_target_is_built_here_and_proved(tiny_finetune, tmp_path, precision, target):
    stages = []
    bundle = export(
        tiny_finetune,
        tmp_path / "b",
        precision=precision,
        target=target,
        progress=lambda s, d, t: stages.append((d, t)),
    )
    manifest = open_bundle(bundle.path).manifest
    assert (manifest.precision, manifest.target) == (precision, target)
    assert manifest.parity is not None and manifest.parity.samples == 3
    assert not parity.misses(manifest.parity)
    assert len(manifest.golden) == 3
    assert stages[0][0] == 0 and stages[-1] == (6, 6)
    config = json.loads((bundle.path / "genai_config.json").read_text())
    providers = config["model"]["decoder"]["session_options"]["provider_options"]
    assert [name for entry in providers for name in entry] == (["cuda"] if target == "cuda" else [])


def test_an_fp32_graph_computes_torchs_logits(tiny_bundle):
    proof = open_bundle(tiny_bundle).manifest.parity
    assert proof.max_abs < 1e-3 and proof.top1_agreement == 1.0 and proof.tokens > 10


def test_a_graph_that_misses_parity_is_not_written(tiny_finetune, tmp_path, monkeypatch):
    strict = dataclasses.replace(PRECISIONS["int4"], tolerance={"max_abs": 1e-9})
    monkeypatch.setitem(PRECISIONS, "int4", strict)
    with pytest.raises(ExportError, match=r"max_abs is .*the bound is 1e-09"):
        export(tiny_finetune, tmp_path / "b", precision="int4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"), [("max_abs", 0.2), ("mean_kl", 0.2), ("top1_agreement", 0.8), ("mean_kl", float("inf"))]
)
def test_each_bound_of_the_tolerance_binds(field, value):
    good = {"max_abs": 0.0, "mean_kl": 0.0, "top1_agreement": 1.0}
    tolerance = {"max_abs": 0.1, "mean_kl": 0.1, "top1_agreement": 0.9}
    proof = Parity.model_construct(samples=1, tokens=1, tolerance=tolerance, **{**good, field: value})
    assert len(parity.misses(proof)) == 1


def test_an_export_without_a_proof_sample_is_refused(tiny_finetune, tmp_path):
    other = Sample(task="other.task", input={}, output={})
    with pytest.raises(ExportError, match="no sample"):
        export(tiny_finetune, tmp_path / "b", samples=[other])


def test_unknown_precisions_are_named(tiny_finetune, tmp_path):
    with pytest.raises(UsageError, match="int3"):
        export(tiny_finetune, tmp_path / "b", precision="int3")


def test_fp32_for_cuda_is_refused_with_the_precisions_that_work(tiny_finetune, tmp_path):
    with pytest.raises(UsageError, match="export fp16, int8, int4 for cuda"):
        export(tiny_finetune, tmp_path / "b", precision="fp32", target="cuda")


def test_a_folder_that_is_no_bundle_is_never_replaced(tiny_finetune, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a bundle"):
        export(tiny_finetune, tmp_path, precision="fp32")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


KILLED = """
import sys
from pathlib import Path
from metier.bases.finetune import load_finetune
from metier.export import export
print("ready", flush=True)
export(load_finetune(sys.argv[1]), sys.argv[2], precision="fp32", progress=lambda s, d, t: print(d, flush=True))
"""


@pytest.mark.parametrize("stage", ["1", "2", "4"])
@pytest.mark.parametrize("older", [False, True], ids=["new", "replacing"])
def test_kill_9_leaves_the_old_bundle_or_none(tiny_finetune, tiny_bundle, tmp_path, stage, older):
    out = tmp_path / "b"
    if older:
        shutil.copytree(tiny_bundle, out)
    command = [sys.executable, "-c", KILLED, str(tiny_finetune.path), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == stage:
            time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    if older or out.exists():  # the last stage may win the race against the signal: then the bundle is complete
        open_bundle(out)
    with atomic_folder(out, "a bundle", MANIFEST) as part:  # the next export clears what the killed one left
        (part / "bundle.json").write_text("{}")
    assert not list(tmp_path.glob(f"{PART}*"))


def test_onnxruntime_genai_opens_the_folder_and_generates_the_same_tokens(tiny_bundle):
    from metier.decoding.generation import Request
    from metier.runtime.engine import Engine

    genai = pytest.importorskip("onnxruntime_genai")
    ids = open_bundle(tiny_bundle).manifest.golden[0].token_ids
    with Engine(tiny_bundle) as engine:
        generation = engine.submit(Request(ids=ids, max_tokens=32))
        generation.result(60)
    model = genai.Model(str(tiny_bundle))
    params = genai.GeneratorParams(model)
    params.set_search_options(max_length=len(ids) + 32, do_sample=False)
    generator = genai.Generator(model, params)
    generator.append_tokens(np.array(ids, np.int32))
    tokens = []
    while not generator.is_done():
        generator.generate_next_token()
        tokens.append(int(generator.get_next_tokens()[0]))
    assert tokens[: len(generation.ids)] == generation.ids and len(generation.ids) > 4


def test_the_manifest_records_library_versions_and_the_card(tiny_bundle):
    manifest = open_bundle(tiny_bundle).manifest
    assert {"torch", "transformers", "peft"} <= set(manifest.versions)
    assert manifest.card is not None and manifest.card.name == "tiny"
    assert Path(tiny_bundle / manifest.graph.file).is_file()


def test_the_default_precision_of_a_small_base_is_int8(tiny_finetune, tmp_path):
    bundle = export(tiny_finetune, tmp_path / "b")
    assert bundle.manifest.precision == "int8"
    assert bundle.manifest.parity is not None
    base = tiny_finetune.card.base
    assert default_precision(base, "cuda") == "int4"
    assert default_precision(base.model_copy(update={"parameters": 7_000_000_000}), "cpu") == "int4"
