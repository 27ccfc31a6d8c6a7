"""Writes 4-bit codes into the graph's MatMulNBits nodes, in place of the model builder's rounding."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metier.export.decoder_graph import FUSED
from metier.export.gptq import BLOCK, Codes
from metier.export.graph_file import replace_graph

SAME = 0.9
"""Least cosine between the builder's weights of a node and ours: two roundings of one matrix have 0.99, those of two
different matrices about 0. A node that no module fits keeps the builder's rounding."""


def replace_weights(folder: Path, file: str, found: Mapping[str, Codes]) -> list[str]:
    """Write `found` (module name → codes) into the graph; the names of nodes that kept the builder's weights.

    A node's layer and projection are read from its name, and the match is proved on the weights themselves.
    """
    import onnx_ir as ir

    model = ir.load(folder / file)
    kept: list[str] = []
    for node in model.graph:
        if node.op_type != "MatMulNBits":
            continue
        parts = _modules(str(node.name), found)
        if not parts or not _replace(node, parts):
            kept.append(str(node.name))
    replace_graph(model, folder, file)
    return kept


def _modules(node: str, found: Mapping[str, Codes]) -> Sequence[Codes]:
    """The modules whose weights a node contains, stacked: `/model/layers.3/attn/qkv_proj/MatMul_Q4`."""
    if "lm_head" in node:
        return [found["lm_head"]] if "lm_head" in found else []
    match = re.search(r"layers\.(\d+)/.*?([a-z0-9_]+)/MatMul", node)
    if match is None:
        return []
    layer, projection = match.groups()
    for names in ((projection,), FUSED.get(projection, ())):
        hits = [_only(found, layer, name) for name in names]
        if hits and all(hit is not None for hit in hits):
            return [hit for hit in hits if hit is not None]
    return []


def _only(found: Mapping[str, Codes], layer: str, projection: str) -> Codes | None:
    hits = [codes for name, codes in found.items() if re.search(rf"\.{layer}\.(.*\.)?{projection}$", name)]
    return hits[0] if len(hits) == 1 else None


def _replace(node: Any, parts: Sequence[Codes]) -> bool:
    import onnx_ir as ir

    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    zero_points = len(node.inputs) > 3 and node.inputs[3] is not None
    if attributes["bits"] != 4 or attributes["block_size"] != BLOCK or zero_points:
        return False
    codes = np.concatenate([part.codes.numpy() for part in parts])  # [N, K]
    scales = np.concatenate([part.scales.numpy() for part in parts])  # [N, K / BLOCK]
    if codes.shape != (attributes["N"], attributes["K"]):
        return False
    weight, scale = node.inputs[1], node.inputs[2]
    old, old_scale = weight.const_value.numpy(), scale.const_value.numpy()
    packed = (codes[:, 0::2] | (codes[:, 1::2] << 4)).reshape(old.shape)
    if _cosine(old, old_scale, packed, scales) < SAME:
        return False
    weight.const_value = ir.tensor(packed.astype(np.uint8), name=weight.name)
    scale.const_value = ir.tensor(scales.reshape(old_scale.shape).astype(old_scale.dtype), name=scale.name)
    return True


def _cosine(a: np.ndarray, a_scale: np.ndarray, b: np.ndarray, b_scale: np.ndarray) -> float:
    """Cosine between two packed weights, over the first rows: enough to distinguish two matrices."""
    rows = min(len(a), 256)
    x, y = _unpack(a[:rows], a_scale.reshape(len(a), -1)[:rows]), _unpack(b[:rows], b_scale[:rows])
    return float((x * y).sum() / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-12))


def _unpack(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    flat = packed.reshape(len(packed), -1)
    codes = np.stack([flat & 15, flat >> 4], -1).reshape(len(packed), -1).astype(np.float32) - 8
    return codes * scales.astype(np.float32).repeat(BLOCK, 1)
