"""Stores the token embedding of a decoder graph in 8 bits, shared with the output head where the two are one matrix.

It takes and writes the graph that the model builder wrote, and knows nothing about fine-tunes or bundles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from metier.export.graph_file import replace_graph

BITS = 8
BLOCKS = (64, 32, 16)
"""Values that share a scale, the first that divides the width. ONNX Runtime takes powers of two from 16."""
ZERO = 128
"""Code of zero, which GatherBlockQuantized and MatMulNBits both take where there is no zero point."""
SAME = 0.999
"""Least cosine between a row of the embedding and the same row of the output head's codes: rounding to 8 bits leaves
0.9999; two matrices that were trained apart have far less."""
PROBED = 512
"""Rows compared, spread over the vocabulary."""


def quantise_embedding(folder: Path, file: str) -> bool:
    """Replace the lookup of the floating-point embedding by one of 8-bit codes; False where the graph has no such one.

    Codes are symmetric with one scale per block of a row (`GatherBlockQuantized`, com.microsoft). Where the output
    head holds the same matrix in 8 bits, its codes serve both, and the embedding's own are not stored. Dividing a
    block by 127 leaves an error of at most 0.4% of its largest value.

    Args:
        folder: of the graph and its weights file; both are rewritten.
        file: name of the ONNX file.
    """
    import onnx_ir as ir

    model = ir.load(folder / file)
    node = next((n for n in model.graph if n.op_type == "Gather" and _is_embedding(n)), None)
    if node is None:
        return False
    stored: Any = node.inputs[0]
    table = stored.const_value.numpy()  # [vocabulary, width]
    block = next((size for size in BLOCKS if table.shape[1] % size == 0), None)
    if table.dtype != np.float32 or block is None:
        return False
    codes, scales, block = _head_codes(model.graph, table, ir) or (*_own_codes(model.graph, table, block, ir), block)
    _look_up(model.graph, node, codes, scales, table.shape[1], block, ir)
    replace_graph(model, folder, file)
    return True


def _is_embedding(node: Any) -> bool:
    """Whether a Gather looks token ids up in a stored matrix."""
    table, ids = node.inputs[0], node.inputs[1]
    return bool(table.is_initializer() and len(table.const_value.shape) == 2 and ids.name == "input_ids")


def _head_codes(graph: Any, table: np.ndarray, ir: Any) -> tuple[Any, Any, int] | None:
    """Codes [vocabulary, blocks, block] and scales of the output head, where it holds this matrix in 8 bits."""
    for node in graph:
        if node.op_type != "MatMulNBits" or "lm_head" not in str(node.name) or len(node.inputs) > 3:
            continue
        attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        block = attributes["block_size"]
        if attributes["bits"] != BITS or (attributes["N"], attributes["K"]) != table.shape or table.shape[1] % block:
            continue
        codes, scales = node.inputs[1].const_value.numpy(), node.inputs[2].const_value.numpy()
        rows = np.unique(np.linspace(0, len(table) - 1, min(PROBED, len(table))).astype(int))
        found = (codes[rows].astype(np.float32) - ZERO) * scales.reshape(len(table), -1, 1)[rows]
        if _cosines(found.reshape(len(rows), -1), table[rows]).min() >= SAME:
            axis = ir.val("token_embedding.axis", const_value=ir.tensor(np.array([2]), name="token_embedding.axis"))
            graph.register_initializer(axis)
            shape = ir.node("Unsqueeze", [node.inputs[2], axis], name="/model/embed_tokens/Scales")
            graph.insert_before(graph[0], shape)
            return node.inputs[1], shape.outputs[0], block
    return None


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.where(norms > 0, (a * b).sum(1) / np.maximum(norms, 1e-30), 1.0)  # a row of zeros is no evidence


def _own_codes(graph: Any, table: np.ndarray, block: int, ir: Any) -> tuple[Any, Any]:
    """The embedding's own codes [vocabulary, blocks, block] and scales [vocabulary, blocks, 1]."""
    blocks = table.reshape(len(table), -1, block)
    scales = np.abs(blocks).max(-1, keepdims=True) / 127
    codes = np.rint(blocks / np.where(scales > 0, scales, 1)).clip(-127, 127) + ZERO
    values = []
    for name, array in (("weight_Q8", codes.astype(np.uint8)), ("weight_scales", scales.astype(np.float32))):
        value = ir.val(f"model.embed_tokens.{name}", const_value=ir.tensor(array, name=f"model.embed_tokens.{name}"))
        graph.register_initializer(value)
        values.append(value)
    return values[0], values[1]


def _look_up(graph: Any, node: Any, codes: Any, scales: Any, width: int, block: int, ir: Any) -> None:
    """Put the lookup in 8 bits in place of the Gather; its result keeps the shape [rows, tokens, width]."""
    shape = ir.val(
        "token_embedding.shape", const_value=ir.tensor(np.array([0, 0, width]), name="token_embedding.shape")
    )
    graph.register_initializer(shape)
    gather = ir.node(
        "GatherBlockQuantized",
        [codes, node.inputs[1], scales],
        {"bits": BITS, "block_size": block, "gather_axis": 0, "quantize_axis": 2},
        domain="com.microsoft",
        name="/model/embed_tokens/GatherBlockQuantized",
    )
    result = node.outputs[0]
    reshape = ir.node("Reshape", [gather.outputs[0], shape], name="/model/embed_tokens/Reshape")
    graph.insert_before(node, [gather, reshape])
    found, table, name = reshape.outputs[0], node.inputs[0], result.name
    found.shape, found.dtype = result.shape, result.dtype
    result.replace_all_uses_with(found, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    found.name = name
    if not list(table.uses()):
        graph.initializers.pop(table.name)
