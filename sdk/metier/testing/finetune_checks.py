"""Checks of a vertical's packaged fine-tunes against their own cards: hash, base, shapes, contract. Weights are not
loaded, only the safetensors header is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metier.contracts.finetune import CARD, PEFT_CONFIG, WEIGHTS, FineTune
from metier.contracts.vertical import Vertical

_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight")
_PAIR = "package weights, config and card of one run"
Shapes = dict[str, list[int]]


def fine_tunes_match(vertical: Vertical) -> Iterator[str]:
    """Every packaged fine-tune is complete, and its weights, config and contracts match its card."""
    for tuned in vertical.fine_tunes:
        for fault in _faults(vertical, tuned):
            yield f"fine-tune {tuned.card.name} ({tuned.path.name}/): {fault}"


def _faults(vertical: Vertical, tuned: FineTune) -> Iterator[str]:
    card = tuned.card
    for name in (WEIGHTS, PEFT_CONFIG, CARD):
        if not (tuned.path / name).is_file():
            yield f"{name} is not there: package the folder that `metier adapt` wrote"
            return
    weights = tuned.path / WEIGHTS
    with weights.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != card.weights_sha256:
        yield f"{WEIGHTS} has sha256 {actual[:12]}…, its card has {card.weights_sha256[:12]}…: {_PAIR}"
        return
    if card.base.id != card.recipe.base:
        yield f"its card's base is {card.base.id}, its recipe's {card.recipe.base}: adapt again with one of them"
    try:
        config: dict[str, Any] = json.loads((tuned.path / PEFT_CONFIG).read_text(encoding="utf-8"))
        shapes = _shapes(weights)
    except (ValueError, KeyError, AttributeError) as error:
        yield f"{PEFT_CONFIG} or the header of {WEIGHTS} is damaged ({error}): adapt again"
        return
    yield from _config_faults(tuned, config)
    yield from _shape_faults(config, shapes)
    for old in card.tasks:
        new = next((task for task in vertical.tasks if task.name == old.name), None)
        if new is None:
            yield f"it was trained for {old.name}, which {vertical.name} does not have: remove it, or add the task"
        elif stale := [f for f in ("input", "output", "prompts", "reply") if getattr(old, f) != getattr(new, f)]:
            yield f"the {', '.join(stale)} of {old.name} changed since it was trained: adapt again"


def _config_faults(tuned: FineTune, config: dict[str, Any]) -> Iterator[str]:
    lora = tuned.card.recipe.lora
    if config.get("peft_type") != "LORA":
        yield f"{PEFT_CONFIG} has peft_type {config.get('peft_type')!r}, not LORA: adapt again"
    pairs = (("r", lora.rank), ("lora_alpha", lora.alpha), ("use_rslora", lora.rslora))
    for key, wanted in pairs:
        if config.get(key, False) != wanted:
            yield f"{PEFT_CONFIG} has {key} {config.get(key)}, its card's recipe {wanted}: {_PAIR}"
    named = str(config.get("base_model_name_or_path") or "")
    known = {tuned.card.base.id.rsplit("/", 1)[-1].lower(), tuned.card.recipe.base.rsplit("/", 1)[-1].lower()}
    if not any(name in named.lower() for name in known):
        yield f"{PEFT_CONFIG} names the base {named!r}, its card {tuned.card.base.id}: {_PAIR}"


def _shape_faults(config: dict[str, Any], shapes: Shapes) -> Iterator[str]:
    sides: dict[str, dict[str, list[int]]] = {}
    for name, shape in shapes.items():
        if found := _LORA.fullmatch(name):
            sides.setdefault(found["module"], {})[found["side"]] = shape
    if not sides:
        yield f"{WEIGHTS} holds no LoRA tensors (…lora_A.weight): adapt again"
    kinds: dict[str, tuple[int, int]] = {}
    for module, pair in sorted(sides.items()):
        if set(pair) != {"A", "B"}:
            yield f"{module} has only lora_{'/'.join(pair)}: adapt again"
            return
        rank = _rank(config, module)
        (low, inside), (outside, high) = pair["A"], pair["B"]
        if not low == high == rank:
            yield f"{module} has A {pair['A']} and B {pair['B']}, its config has rank {rank}: {_PAIR}"
            return
        first = kinds.setdefault(module.rsplit(".", 1)[-1], (inside, outside))
        if first != (inside, outside):
            yield f"{module} maps {inside} to {outside} where other layers map {first[0]} to {first[1]}: adapt again"
            return


def _rank(config: dict[str, Any], module: str) -> int:
    for pattern, rank in (config.get("rank_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return int(rank)
    return int(config["r"])


def _shapes(weights: Path) -> Shapes:
    """Tensor name → shape, from the safetensors header: 8 bytes of length, then JSON."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > weights.stat().st_size:
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if weights.stat().st_size != 8 + length + max(ends, default=0):
        raise ValueError("its size differs from its header")
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
