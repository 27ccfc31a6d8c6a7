"""A base's card, read from the files of its folder: config.json, the model card's front matter, weight headers."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import yaml

from metier.contracts.base import Architecture, Base
from metier.contracts.errors import BaseError
from metier.contracts.modality import Modality

_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len")
_INPUTS = {"vision_config": Modality.IMAGE, "audio_config": Modality.SPEECH}
_GENERATES = ("CausalLM", "LMHeadModel", "ConditionalGeneration")
"""What transformers calls models with a head for the next token; `MaskedLM` and a bare `Model` have none."""
_SPDX = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "bsd-2-clause": "BSD-2-Clause",
    "bsd": "BSD-3-Clause", "gpl-3.0": "GPL-3.0-only", "agpl-3.0": "AGPL-3.0-only", "lgpl-3.0": "LGPL-3.0-only",
    "mpl-2.0": "MPL-2.0", "unlicense": "Unlicense", "cc0-1.0": "CC0-1.0", "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc-by-nc-4.0": "CC-BY-NC-4.0", "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0", "bigscience-openrail-m": "BigScience-OpenRAIL-M",
}  # fmt: skip
"""Hub licence tags (lower case) → SPDX; any other tag is kept as `LicenseRef-tag`, which is SPDX for `read it`."""


def card_of(folder: Path, id: str, *, revision: str | None = None, sha256: str | None = None) -> Base:
    """The card of a Hugging Face folder.

    Raises:
        BaseError: config.json is missing, unreadable, or does not name an architecture and a context length.
    """
    config = _config(folder)
    nested = config.get("text_config")
    text: dict[str, Any] = nested if isinstance(nested, dict) else config
    front = front_matter(folder / "README.md")
    architectures = config.get("architectures") or text.get("architectures")
    context = next((text[key] for key in _CONTEXT if isinstance(text.get(key), int)), None)
    if not architectures or not context:
        missing = "architectures" if not architectures else "max_position_embeddings"
        raise BaseError(
            f"config.json has no {missing}",
            where=str(folder / "config.json"),
            remedy="give the folder of a language model in Hugging Face format",
        )
    return Base(
        id=id,
        revision=revision,
        architecture=_architecture(str(architectures[0]), config),
        model_class=str(architectures[0]),
        parameters=parameters_of(folder),
        modalities_in=frozenset({Modality.TEXT, *(m for key, m in _INPUTS.items() if config.get(key))}),
        languages=_languages(front.get("language")),
        context_length=context,
        licence=_licence(front),
        chat_template=has_chat_template(folder),
        sha256=sha256,
    )


def _architecture(model_class: str, config: Mapping[str, Any]) -> Architecture:
    if config.get("is_encoder_decoder"):
        return Architecture.ENCODER_DECODER
    generates = any(mark in model_class for mark in _GENERATES)
    return Architecture.DECODER if generates else Architecture.ENCODER


def parameters_of(folder: Path) -> int | None:
    """Number of stored weights, from the safetensors headers alone; None where there are none."""
    files = sorted(folder.glob("*.safetensors"))
    return sum(_elements(path) for path in files) if files else None


def has_chat_template(folder: Path) -> bool:
    """Whether a folder brings a chat template, in its own file or in tokenizer_config.json."""
    return (folder / "chat_template.jinja").is_file() or bool(tokenizer_config(folder).get("chat_template"))


def tokenizer_config(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json, or nothing."""
    try:
        found = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def front_matter(readme: Path) -> dict[str, Any]:
    """The YAML block that opens a model card (huggingface.co/docs/hub/model-cards), or nothing."""
    try:
        text = readme.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    if not text.startswith("---"):
        return {}
    block, found, _ = text[3:].partition("\n---")
    try:
        data = yaml.safe_load(block) if found else None
    except yaml.YAMLError:
        return {}
    return data if isinstance(data, dict) else {}


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BaseError(
            "there is no config.json", where=str(folder), remedy="give a folder in Hugging Face format"
        ) from None
    except (OSError, ValueError) as error:
        raise BaseError(f"config.json cannot be read: {error}", where=str(path)) from error
    if not isinstance(config, dict):
        raise BaseError("config.json is not a JSON object", where=str(path))
    return config


def _elements(path: Path) -> int:
    with path.open("rb") as file:
        head = file.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        try:
            header = json.loads(file.read(size)) if 0 < size <= 100 << 20 else None
        except ValueError:
            header = None
    if not isinstance(header, dict):
        raise BaseError("this is not a safetensors file", where=str(path), remedy="fetch the base again")
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _languages(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(str(v) for v in values if isinstance(v, str) and 2 <= len(v) <= 12)


def _licence(front: dict[str, Any]) -> str | None:
    tag = front.get("license")
    tag = tag[0] if isinstance(tag, list) and tag else tag
    if tag == "other" and isinstance(front.get("license_name"), str):
        tag = front["license_name"]
    if not isinstance(tag, str) or tag in {"unknown", "other"}:
        return None
    return _SPDX.get(tag.lower()) or f"LicenseRef-{tag}"
