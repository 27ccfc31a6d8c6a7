"""The decoder graph, built by onnxruntime-genai's model builder from a Hugging Face folder.

It knows the builder's options, and nothing about fine-tunes or bundles.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metier._install import install_command
from metier.contracts import ExportError
from metier.contracts.bundle import Graph, Precision, Target
from metier.export.precision import PRECISIONS
from metier.export.top_tokens_graph import write_top_tokens_graph

FILE = "model.onnx"
GENAI_CONFIG = "genai_config.json"

FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
"""Projections that the builder fuses, in its order."""

PRUNED = "prune_lm_head=true"
"""Only the last position's logits leave the graph: a prompt's other rows would be 200 kB each, unused."""

OWN_EMBEDDINGS = "shared_embeddings=false"
"""Where input and output embeddings are tied, the builder would look tokens up in the output head, in 4 bits only: the
error would enter at the first layer. `token_embedding` stores them in 8 bits instead."""


def build_graph(model: Path, out: Path, precision: Precision, target: Target) -> Graph:
    """Write model.onnx, model.onnx.data, genai_config.json and candidates.onnx of a decoder into `out`.

    Args:
        model: Hugging Face folder with full weights.
        out: an existing folder.
        precision: of the weights.
        target: which execution provider the graph is shaped for. A cuda graph is built without CUDA.

    Raises:
        ExportError: the builder is not installed, or does not support the architecture.
    """
    builder = _builder()
    entry = PRECISIONS[precision]
    # The builder's fp16 form for CPU has no GroupQueryAttention; its CUDA form has, and runs on CPU as well.
    provider = entry.builder_provider(target)
    wanted = [PRUNED, OWN_EMBEDDINGS, "hf_token=false", *entry.builder_options(target)]
    output = io.StringIO()
    try:
        with tempfile.TemporaryDirectory() as scratch, silence(output):
            options = builder.parse_extra_options(None, str(model), str(out), precision, provider, scratch, wanted)
            if "hf_details" not in options:
                options["hf_details"] = builder.get_hf_details(None, str(model), scratch, options)
            _flatten_rope(options["hf_details"]["hf_config"])
            builder.create_model(None, str(model), str(out), precision, provider, scratch, **options)
    except NotImplementedError as error:
        raise ExportError(
            f"the model builder does not support this architecture: {error}",
            where=str(model),
            remedy="use a base whose architecture onnxruntime-genai lists, or a newer onnxruntime-genai",
        ) from error
    except OSError:
        raise
    except Exception as error:  # the builder raises whatever its libraries raise
        last = output.getvalue().strip().splitlines()[-1:] or [""]
        raise ExportError(f"the model builder failed: {error!r} {last[0]}".strip(), where=str(model)) from error
    return write_top_tokens_graph(out, _describe(model, out, target))


def _flatten_rope(config: Any) -> None:
    """Give a config whose layers have two rotary bases (Gemma 3) the form that the builder reads.

    transformers 5 keeps parameters of each type of layer; the builder wants those of full attention at the top, and
    the base of sliding attention as `rope_local_base_freq`, as the models' own config.json have it.
    """
    kinds = getattr(config, "rope_parameters", None) or {}
    if "full_attention" not in kinds or "sliding_attention" not in kinds or not config.model_type.startswith("gemma3"):
        return
    config.rope_theta = kinds["full_attention"]["rope_theta"]
    config.rope_local_base_freq = kinds["sliding_attention"]["rope_theta"]
    config.rope_parameters = dict(kinds["full_attention"])


def _describe(model: Path, out: Path, target: Target) -> Graph:
    """The facts that a decode loop needs, read from the builder's files."""
    path = out / GENAI_CONFIG
    config = json.loads(path.read_text("utf-8"))
    decoder = config["model"]["decoder"]
    options = decoder["session_options"]
    if target == "cpu":
        options["provider_options"] = []
    # In the order that training and the runtime use: the tokenizer's own end token first.
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    import onnx

    graph = onnx.load(out / FILE, load_external_data=False).graph
    types = {v.name: v.type.tensor_type.elem_type for v in [*graph.input, *graph.output]}
    known = {"input_ids", "attention_mask"}
    keys, values = decoder["inputs"]["past_key_names"], decoder["inputs"]["past_value_names"]
    layers = decoder["num_hidden_layers"]
    known |= {name % layer for name in (keys, values) for layer in range(layers)}
    if extra := sorted({v.name for v in graph.input} - known):
        raise ExportError(
            f"the builder's graph has inputs that Metier's decode loop does not support: {', '.join(extra[:5])}",
            where=str(model),
            remedy="use a base with plain grouped-query attention",
        )
    names = {
        onnx.TensorProto.FLOAT: "float32",
        onnx.TensorProto.FLOAT16: "float16",
        onnx.TensorProto.BFLOAT16: "bfloat16",
    }
    eos = config["model"]["eos_token_id"]
    return Graph(
        file=FILE,
        layers=layers,
        kv_heads=decoder["num_key_value_heads"],
        head_dim=decoder["head_size"],
        vocab_size=config["model"]["vocab_size"],
        context_length=config["model"]["context_length"],
        io_dtype=names[types["logits"]],
        past_key=keys,
        past_value=values,
        present_key=decoder["outputs"]["present_key_names"],
        present_value=decoder["outputs"]["present_value_names"],
        eos_token_ids=tuple(eos if isinstance(eos, list) else [eos]),
    )


def _builder() -> Any:
    try:
        from onnxruntime_genai.models import builder
    except ImportError as error:
        raise ExportError(
            f"{error.name} is not installed", remedy=f"run `{install_command('train')}` for training and export"
        ) from error
    return builder


@contextlib.contextmanager
def silence(output: io.StringIO | None = None) -> Iterator[None]:
    """Collect what libraries print, a line per weight, in `output` instead of the terminal."""
    output = output or io.StringIO()
    disabled = logging.root.manager.disable
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before
