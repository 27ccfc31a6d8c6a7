"""GGUF → Hugging Face folder with full-precision weights, so that a quantised download can be trained and exported.

Weights are written as float32. A Q4_1 or Q8_0 weight is q · d (+ m) with float16 d and m: float32 holds it to its last
bit or nearly so, bfloat16 would round it a second time, and then neither this folder nor what is trained on it would
be the model that a GGUF runtime runs. A consumer that wants bfloat16 casts when it loads.

Spec: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from metier._install import install_command
from metier.bases.progress import Progress, silent
from metier.bases.quiet import quiet
from metier.contracts.errors import BaseError

SPLIT_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
"""Values of `tokenizer.ggml.pre` whose first rule is `\\p{N}`, each digit on its own, before GPT-2's split (see
llama.cpp, src/llama-vocab.cpp). transformers leaves that rule out, and then tokenises "\\n\\n1." as no runtime does."""


def convert_gguf(file: Path, folder: Path, *, tied: bool = False, progress: Progress = silent) -> None:
    """Write config.json, model.safetensors (float32), tokenizer files, chat_template.jinja and generation_config.json.

    Args:
        file: the GGUF.
        folder: to write into.
        tied: the original's input and output embeddings are one matrix; of the two that the GGUF stores, the one in
            the finer type becomes both.
        progress: called with (stage, done, total).

    Raises:
        BaseError: the training stack is missing, or transformers cannot read this GGUF.
    """
    try:
        import torch
        from gguf import GGUFReader
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise BaseError(
            f"converting a GGUF needs {error.name}, which is not installed",
            where=str(file),
            remedy=f"run `{install_command('train')}`",
        ) from error
    progress(f"dequantising {file.name}", 0, None)
    try:
        reader = GGUFReader(file)
        pre = reader.get_field("tokenizer.ggml.pre")
        source: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
            quantised = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **source)
    except Exception as error:
        raise BaseError(
            f"this GGUF cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(file),
            remedy="name a base in safetensors instead",
        ) from error
    # transformers refuses to save a model it knows as quantised: its weights move to one that never was.
    values = quantised.config.to_dict()
    values.pop("quantization_config", None)
    config = type(quantised.config).from_dict(values | ({"tie_word_embeddings": True} if tied else {}))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    model.load_state_dict(quantised.state_dict())
    if tied:
        loaded: Any = quantised
        finer = loaded.get_output_embeddings() if _head_is_finer(reader) else loaded.get_input_embeddings()
        model.get_input_embeddings().weight.data.copy_(finer.weight.data)
        model.tie_weights()
    progress("writing model.safetensors", 0, None)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    values = _clean_config(folder / "config.json")
    special = {key: values[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in values}
    _write(folder / "generation_config.json", special)
    _clean_tokenizer(folder, values["max_position_embeddings"], str(pre.contents()) if pre else "")


def _head_is_finer(reader: Any) -> bool:
    """Whether the output head is stored in more bits than the embedding."""
    bytes_of = {tensor.name: tensor.n_bytes for tensor in reader.tensors}
    return bool(bytes_of.get("output.weight", 0) > bytes_of.get("token_embd.weight", 0))


def _clean_config(path: Path) -> dict[str, Any]:
    """config.json as the model's authors would write it: float32 noise gone, readable by transformers 4 and 5."""
    values: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for key in ("transformers_version", "_name_or_path", "_model_name_or_path"):
        values.pop(key, None)
    rope = values.get("rope_parameters") or {}
    if rope.get("rope_theta"):
        values["rope_theta"] = rope["rope_theta"]  # where transformers 4 and graph builders look for it
    values["torch_dtype"] = values["dtype"] = "float32"
    # GGUF stores 1e-5 as the nearest float32, 9.99999974e-06: the shortest decimal that gives it back is meant.
    values = {key: float(str(np.float32(v))) if isinstance(v, float) else v for key, v in values.items()}
    _write(path, values)
    return values


def _clean_tokenizer(folder: Path, context: int, pre: str) -> None:
    if pre in SPLIT_DIGITS:
        tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        old = tokenizer["pre_tokenizer"]
        if old.get("type") != "Sequence":
            digits = {"type": "Digits", "individual_digits": True}
            tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, old]}
            _write(folder / "tokenizer.json", tokenizer)
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    kept = {key: value for key, value in config.items() if key.endswith("_token") or key.startswith("add_")}
    # PreTrainedTokenizerFast loads tokenizer.json unchanged, in every transformers since 4.0.
    kept |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
    kept |= {"clean_up_tokenization_spaces": False}
    _write(folder / "tokenizer_config.json", dict(sorted(kept.items())))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
