"""The steps that every export of a decoder shares: the model as a folder, the graph, 4-bit codes, the tokenizer.

They write into a folder that the caller prepares; the caller proves parity and writes the manifest.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metier.bases.progress import Progress
from metier.bases.resolve import LocalBase
from metier.contracts import ExportError
from metier.contracts.bundle import Graph, Target
from metier.decoding.tokenizer import ChatTokenizer
from metier.export.decoder_graph import build_graph, silence
from metier.export.gptq import quantise
from metier.export.int4_weights import replace_weights
from metier.export.parity import SAME_WEIGHTS, Texts, prove
from metier.export.precision import PrecisionEntry
from metier.export.token_embedding import quantise_embedding

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
VERSIONS = ("metier", "onnxruntime-genai-cuda", "onnxruntime-genai", "torch", "transformers", "peft", "tokenizers")


@dataclass(frozen=True)
class GraphSource:
    """What a decoder graph is built from."""

    model: Any
    """transformers causal language model, fp32, on CPU."""
    base: LocalBase
    tokenizer: ChatTokenizer
    precision: PrecisionEntry
    target: Target
    texts: Texts
    """Samples that prove the graph."""
    calibration: Callable[[], Texts]
    """Samples that calibrate the codes; called where the precision needs them."""


def write_graph(source: GraphSource, part: Path, scratch: Path, progress: Progress, stages: int) -> Graph:
    """Write the graph and the tokenizer files into `part`; the model's Hugging Face folder goes to `scratch`.

    Raises:
        ExportError: the graph cannot be built, or does not compute what torch computes with the same 4-bit codes.
    """
    save_model(source.model, source.base, scratch)
    progress(f"build the {source.precision.name} graph", 1, stages)
    graph = build_graph(scratch, part, source.precision.name, source.target)
    if source.precision.calibrated:
        progress("choose 4-bit codes (GPTQ)", 2, stages)
        rounded = quantise_graph(source.model, part, graph.file, source.calibration(), progress)
        prove(rounded, part, graph, source.texts, SAME_WEIGHTS)
    if source.precision.quantises_embedding(source.target):
        quantise_embedding(part, graph.file)
    copy_tokenizer(source.base.path, part)
    return graph.model_copy(update={"eos_token_ids": source.tokenizer.eos_ids})


def quantise_graph(model: Any, folder: Path, file: str, texts: Texts, progress: Progress) -> Any:
    """Replace the builder's 4-bit rounding; a copy of `model` that computes with the same 4-bit weights."""
    rounded = copy.deepcopy(model)
    sequences = [[*prompt, *reply] for prompt, reply in texts]
    codes = quantise(rounded, sequences, lambda done, total: progress("4-bit codes", done, total))
    if kept := replace_weights(folder, file, codes):
        raise ExportError(f"no module was found for the graph's {', '.join(kept[:3])}", remedy="export fp16 or fp32")
    return rounded


def save_model(model: Any, base: LocalBase, folder: Path) -> None:
    """The model as a Hugging Face folder: the form that the builder reads."""
    with silence():
        model.save_pretrained(folder)
    for file in base.path.iterdir():
        if (
            file.is_file()
            and file.suffix in {".json", ".jinja", ".model", ".txt"}
            and not (folder / file.name).exists()
        ):
            shutil.copy2(file, folder / file.name)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config.pop("quantization_config", None) is not None:
        (folder / "config.json").write_text(json.dumps(config), "utf-8")


def copy_tokenizer(source: Path, part: Path) -> None:
    """The base's own tokenizer files, byte for byte: what training used is what the product ships."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, part / name)


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that write bundles."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
