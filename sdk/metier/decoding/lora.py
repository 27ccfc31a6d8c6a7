"""PEFT's LoRA weights as slot arrays: transposed, scaled, and in the layout of the bundle's slots.

Takes PEFT's config and tensors, from a folder or live from training; knows nothing about sessions. What a slot
cannot hold (DoRA, biases, trained embeddings, other weights) is rejected with the reason.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.contracts import BundleError, UsageError
from metier.contracts.bundle import Slot, SlotPart
from metier.contracts.finetune import PEFT_CONFIG, WEIGHTS
from metier.decoding.lora_config import check_config, unsupported

Array = npt.NDArray[Any]

MAX_RANK = 256
"""Largest rank of a module: the recipe's own bound. At 256 a LoRA of a small model is as large as the model."""

_KEY = re.compile(r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?!weight)[^.]+)?(?:\.weight)?$")


@dataclass(frozen=True)
class LoraModule:
    """One projection's LoRA as PEFT keeps it."""

    a: Array
    """[rank, in_features]"""
    b: Array
    """[out_features, rank]"""
    scale: float
    """alpha/rank, or alpha/sqrt(rank) with rsLoRA."""


@dataclass(frozen=True)
class LoraArrays:
    """A LoRA laid out for a bundle's slots. Slots that it does not touch are absent."""

    a: dict[str, Array]
    """Slot input A → [in_features, parts · rank]"""
    b: dict[str, Array]
    """Slot input A (the slot's key) → its B, [parts · rank, out_features]"""
    ranks: dict[str, int]
    """Slot input A → rank of each part"""

    @property
    def rank(self) -> int:
        return max(self.ranks.values(), default=0)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for side in (self.a, self.b) for array in side.values())


def read_folder(folder: Path, hashes: Mapping[str, str] | None = None) -> dict[str, LoraModule]:
    """The LoRA in a PEFT folder, by module name.

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        hashes: sha256 by file name that the bytes which are used must have; None checks none.

    Raises:
        UsageError: it is no LoRA, or one that no slot can hold; states why.
        BundleError: its configuration is invalid, or a file is not the one that was hashed.
    """
    from safetensors import SafetensorError

    for name in (PEFT_CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UsageError(f"there is no {name}", where=str(folder), remedy="give a folder that PEFT saved")
    try:
        content = {name: (folder / name).read_bytes() for name in (PEFT_CONFIG, WEIGHTS)}
        for name, expected in (hashes or {}).items():
            if hashlib.sha256(content[name]).hexdigest() != expected:
                raise BundleError(
                    "the file was changed after the bundle was opened",
                    where=str(folder / name),
                    remedy="open the bundle again, or fetch it again",
                )
        config = json.loads(content[PEFT_CONFIG])
        tensors = _read_weights(content[WEIGHTS])
    except (ValueError, RecursionError, SafetensorError, OSError) as error:
        raise UsageError(f"it cannot be read: {error}", where=str(folder), remedy="save or copy it again") from error
    return read_tensors(config, tensors, str(folder))


def read_tensors(
    config: Mapping[str, Any], tensors: Mapping[str, Any], where: str | None = None
) -> dict[str, LoraModule]:
    """A LoRA from PEFT's config and state dict, by module name. Torch tensors are accepted.

    Raises:
        UsageError: no slot can hold it; states why.
        BundleError: the configuration is invalid.
    """
    check_config(config, where)
    sides: dict[str, dict[str, Array]] = {}
    for key, tensor in tensors.items():
        match = _KEY.match(key)
        if match is None or "lora_embedding" in key:
            raise unsupported(f"it carries the tensor {key}, which is no LoRA of a linear projection", where)
        sides.setdefault(match["module"], {})[match["side"]] = _numpy(tensor)
    found = {}
    for module, pair in sides.items():
        if set(pair) != {"A", "B"} or any(side.ndim != 2 for side in pair.values()):
            raise unsupported(f"{module} needs one matrix lora_A and one lora_B", where)
        rank = pair["A"].shape[0]
        if pair["B"].shape[1] != rank:
            raise unsupported(f"lora_A and lora_B of {module} differ in rank: {rank} and {pair['B'].shape[1]}", where)
        found[module] = LoraModule(pair["A"], pair["B"], _scale(config, module, rank, where))
    if not found:
        raise unsupported("it carries no LoRA weights", where)
    return found


def lay_out(modules: Mapping[str, LoraModule], slots: Sequence[Slot], where: str | None = None) -> LoraArrays:
    """Slot arrays of a LoRA, in the slots' dtype.

    Raises:
        UsageError: a module has no slot, or another shape than its slot; the LoRA is for another base.
    """
    outs: dict[str, int] = {}
    for part in (part for slot in slots for part in slot.parts):
        outs[part.module] = max(outs.get(part.module, 0), part.start + part.width)
    if unknown := sorted(set(modules) - set(outs)):
        raise unsupported(f"the bundle has no slot for {_some(unknown)}", where)
    a: dict[str, Array] = {}
    b: dict[str, Array] = {}
    ranks: dict[str, int] = {}
    for slot in slots:
        rank = max((len(modules[part.module].a) for part in slot.parts if part.module in modules), default=0)
        if rank == 0:
            continue
        if rank > MAX_RANK:
            raise unsupported(f"its rank {rank} is above {MAX_RANK}", where)
        count = len(slot.parts)
        a[slot.a] = np.zeros((slot.in_features, count * rank), slot.dtype)
        b[slot.a] = np.zeros((count * rank, slot.out_features), slot.dtype)
        for index, part in enumerate(slot.parts):
            module = modules.get(part.module)
            if module is None:
                continue
            shapes, wanted = (module.a.shape[1], module.b.shape[0]), (slot.in_features, outs[part.module])
            if shapes != wanted:
                raise UsageError(
                    f"{part.module} is {shapes[0]} to {shapes[1]} features here and {wanted[0]} to {wanted[1]} in the"
                    " bundle: this LoRA belongs to another base",
                    where=where,
                    remedy="add it to a bundle of the base that it was trained on",
                )
            first, own = index * rank, len(module.a)
            rows = module.b[part.start : part.start + part.width] * np.float32(module.scale)
            a[slot.a][:, first : first + own] = module.a.T
            b[slot.a][first : first + own, part.offset : part.offset + part.width] = rows.T
        if not (np.isfinite(a[slot.a]).all() and np.isfinite(b[slot.a]).all()):
            raise unsupported(f"the weights for {slot.a} are not finite in {slot.dtype}", where)
        ranks[slot.a] = rank
    return LoraArrays(a, b, ranks)


def fold_error(arrays: LoraArrays, modules: Mapping[str, LoraModule], slots: Sequence[Slot]) -> float:
    """Largest absolute difference, over all projections, between A @ B as laid out and PEFT's scale · B A."""
    worst = 0.0
    for slot in slots:
        if slot.a not in arrays.a:
            continue
        product = arrays.a[slot.a].astype(np.float32) @ arrays.b[slot.a].astype(np.float32)  # [in, out]
        for part in slot.parts:
            ours = product[:, part.offset : part.offset + part.width]
            module = modules.get(part.module)
            expected = 0.0 if module is None else module.scale * (_share(module, part) @ module.a).T
            worst = max(worst, float(np.abs(ours - expected).max()))
    return worst


def _share(module: LoraModule, part: SlotPart) -> Array:
    return module.b[part.start : part.start + part.width].astype(np.float32)


def _scale(config: Mapping[str, Any], module: str, rank: int, where: str | None) -> float:
    expected = _pattern(config.get("rank_pattern"), module, config.get("r", rank))
    alpha = float(_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", 8)))
    if int(expected) != rank:
        raise unsupported(f"{module} has rank {rank}, but its config says {expected}", where)
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _pattern(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value for a module, as PEFT's own get_pattern_key finds it: a pattern matches a name's last parts."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _numpy(tensor: Any) -> Array:
    """A tensor as float numpy; a torch tensor is converted by its own methods, so torch is not imported here."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().float().cpu().numpy()
    array = np.asarray(tensor)
    return array if array.dtype in (np.float32, np.float16) else array.astype(np.float32)


_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def _read_weights(content: bytes) -> dict[str, Array]:
    """Tensors of a safetensors file, bfloat16 as float32: numpy itself has none."""
    from safetensors import deserialize

    found: dict[str, Array] = {}
    for name, tensor in deserialize(content):  # type: ignore[no-untyped-call]
        kind, raw = tensor["dtype"], tensor["data"]
        if kind == "BF16":  # a float32's upper half
            flat: Array = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif kind in _DTYPES:
            flat = np.frombuffer(raw, _DTYPES[kind])
        else:
            raise ValueError(f"{name} is of dtype {kind}")
        found[name] = flat.reshape(tensor["shape"])
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
