"""Bundles for the serving benchmarks: a base with slots, the plain graph, and random adapters of a given rank.

Weights of adapters are random and small: their speed does not depend on their values.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

NEVER = -1
"""End token that no token is, so that every request generates its full number of tokens."""


def build(base: str, folder: Path, precision: str = "int4", target: str = "cpu") -> tuple[Any, Any]:
    """(plain bundle, bundle with slots) of a base; the two share their weights file."""
    from metier.bases.resolve import resolve
    from metier.contracts import Manifest
    from metier.export.decoder_graph import build_graph
    from metier.export.lora_slots import add_slots, linear_shapes
    from metier.export.precision import PRECISIONS
    from metier.export.token_embedding import quantise_embedding

    local = resolve(base)
    plain, slotted = folder / "plain", folder / "slots"
    plain.mkdir(parents=True)
    graph = build_graph(local.path, plain, precision, target)  # type: ignore[arg-type]
    if PRECISIONS[precision].quantises_embedding(target):  # type: ignore[index,arg-type]
        quantise_embedding(plain, graph.file)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if (local.path / name).is_file():
            shutil.copyfile(local.path / name, plain / name)
    endless(plain)
    shutil.copytree(plain, slotted, copy_function=os.link)
    (slotted / graph.file).unlink()
    shutil.copyfile(plain / graph.file, slotted / graph.file)
    slots = add_slots(slotted / graph.file, linear_shapes(local.path))
    bundles = []
    for path, found in ((plain, ()), (slotted, slots)):
        manifest = Manifest(
            name="benchmark", created=datetime.now(UTC), base=local.card, licence=None, precision=precision,
            target=target, tasks=(), graph=graph, slots=found, files={},
        )  # fmt: skip
        bundles.append(unending(path, manifest))
    return bundles[0], bundles[1]


def unending(path: Path, manifest: Any) -> Any:
    """A bundle on disk whose requests generate their full number of tokens."""
    from metier.runtime import Bundle, ChatTokenizer

    tokenizer = ChatTokenizer.load(path)
    tokenizer.eos_ids = (NEVER,)
    return Bundle(path, manifest, tokenizer)


def endless(folder: Path) -> None:
    """onnxruntime-genai's config with an end token that is never made."""
    config = folder / "genai_config.json"
    values = json.loads(config.read_text())
    values["model"]["eos_token_id"] = values["model"]["vocab_size"] - 1
    config.write_text(json.dumps(values))


def random_peft(bundle: Any, folder: Path, rank: int, seed: int) -> Path:
    """A PEFT folder with random weights for every slot of the bundle."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    tensors = {}
    for slot in bundle.manifest.slots:
        for part in slot.parts:
            name = f"base_model.model.{part.module}"
            a = rng.standard_normal((rank, slot.in_features), np.float32) * 0.02
            b = rng.standard_normal((part.width, rank), np.float32) * 0.02
            tensors |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
    save_file(tensors, folder / "adapter_model.safetensors")
    targets = sorted({part.module.split(".")[-1] for slot in bundle.manifest.slots for part in slot.parts})
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": targets, "task_type": "CAUSAL_LM",
        "base_model_name_or_path": bundle.manifest.base.id,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def with_adapters(bundle: Any, ranks: list[int], *, onnx: bool = False) -> Any:
    """The bundle with one random adapter per rank, named a0, a1, …; with ONNX Runtime's own form where `onnx`."""
    from metier.contracts.bundle import AdapterEntry
    from metier.decoding.lora import lay_out, read_folder
    from metier.export.bundle_edit import write_onnx_adapter
    from metier.runtime import Bundle

    entries = []
    for number, rank in enumerate(ranks):
        folder = random_peft(bundle, bundle.path / "adapters" / f"a{number}", rank, number)
        if onnx:
            arrays = lay_out(read_folder(folder), bundle.manifest.slots)
            write_onnx_adapter(arrays, folder / f"a{number}.onnx_adapter")
        entries.append(AdapterEntry(name=f"a{number}", path=f"adapters/a{number}", rank=rank))
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"adapters": tuple(entries)}), bundle.tokenizer)


def machine(*libraries: str) -> dict[str, Any]:
    """When, where and with what a benchmark ran."""
    found = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": found,
    }
