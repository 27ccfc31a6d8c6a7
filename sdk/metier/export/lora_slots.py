"""Gives every projection of a decoder graph a LoRA slot: graph inputs that are also initializers of rank 0.

With nothing bound the graph computes the same bits as before; with A and B bound it adds (x @ A) @ B. It matches the
node names of onnxruntime-genai's model builder and verifies each match on shapes. It knows nothing about adapters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metier.contracts import ExportError
from metier.contracts.bundle import Slot, SlotPart
from metier.disk import atomic_path
from metier.export.decoder_graph import FUSED

INPUTS_FILE = "model_inputs.onnx"
"""The variant whose slots are plain inputs, for hosts that cannot override initializers, such as onnxruntime-web."""

ROWS = "lora_rows"
"""Symbolic size of every slot's first axis: 1, or the batch size."""

_PROJECTION = re.compile(r"^/model/layers\.(\d+)/(?:\w+/)*?(\w+)/MatMul(?:_Q\d+)?$")

Shapes = Mapping[str, tuple[int, int]]
"""PEFT module name → (in_features, out_features)."""


def linear_shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """Every matrix of a Hugging Face folder's weights by module name, read from the safetensors headers alone."""
    from safetensors import safe_open

    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118  safe_open is no mapping
                shape = weights.get_slice(name).get_shape()
                if name.endswith(".weight") and len(shape) == 2:
                    found[name.removesuffix(".weight")] = (shape[1], shape[0])
    return found


def add_slots(model: Path, shapes: Shapes) -> tuple[Slot, ...]:
    """Add a slot to every projection in the layers of an ONNX file; rewrites the file, not its weights.

    Args:
        model: model.onnx as the builder wrote it; its external data is unchanged.
        shapes: of the base's linear modules, from `linear_shapes`.

    Returns:
        The slots in graph order, for the manifest.

    Raises:
        ExportError: no projection was found, or one has another shape than the base's module.
    """
    import onnx_ir as ir

    loaded = ir.load(model)
    slots: list[Slot] = []
    for node in list(loaded.graph):
        match = _PROJECTION.match(node.name or "")
        if match and node.op_type in ("MatMul", "MatMulNBits"):
            layer, projection = match.groups()
            slots += _add(ir, loaded.graph, node, layer, projection, shapes, model)
    if not slots:
        raise ExportError(
            "no projection of this graph can take a LoRA slot",
            where=str(model),
            remedy="export with the LoRA merged instead (without --slots), and report the architecture",
        )
    _save(ir, loaded, model)
    return tuple(slots)


def write_inputs_variant(model: Path, slots: tuple[Slot, ...]) -> Path:
    """Write model_inputs.onnx beside `model`: the same graph and weights file, slots as required inputs.

    A host passes every slot at each step; without an adapter it passes A and B of rank 1 and zeros.
    """
    import onnx_ir as ir

    loaded = ir.load(model)
    for name in (name for slot in slots for name in (slot.a, slot.b)):
        value = loaded.graph.initializers.pop(name)
        value.const_value = None
    return _save(ir, loaded, model.with_name(INPUTS_FILE))


def _add(ir: Any, graph: Any, node: Any, layer: str, projection: str, shapes: Shapes, model: Path) -> list[Slot]:
    """Slots of one MatMul: one, or one for each half of a fused gate and up, where Split separates their outputs."""
    ins, outs = _size(node)
    parts = _parts(layer, projection, outs, shapes)
    if parts is None:
        raise _mismatch(f"there is no module for {node.name}", model)
    if outs != sum(part.width for part in parts) or any(shapes[part.module][0] != ins for part in parts):
        named = ", ".join(part.module for part in parts)
        raise _mismatch(f"{node.name} is {ins} to {outs} features, the modules {named} are not", model)
    x, y = node.inputs[0], node.outputs[0]
    if len(parts) != 2:
        return [_add_slot(ir, graph, x, y, f"lora.{layer}.{projection}", ins, parts)]
    halves = _halves(y, parts)
    if halves is None:
        raise _mismatch(f"{node.name} is not split into halves", model)
    names = FUSED[projection]
    return [
        _add_slot(ir, graph, x, half, f"lora.{layer}.{name}", ins, [part.model_copy(update={"offset": 0})])
        for half, name, part in zip(halves, names, parts, strict=True)
    ]


def _parts(layer: str, projection: str, outs: int, shapes: Shapes) -> list[SlotPart] | None:
    """The modules that a projection of the graph computes: the one of its name, those that the graph fuses, or a
    part of one that the graph splits."""
    for names in ((projection,), FUSED.get(projection, ())):
        hits = [_module(layer, name, shapes) for name in names]
        if hits and all(hits):
            offsets = np.cumsum([0, *(shapes[hit][1] for hit in hits[:-1] if hit)]).tolist()
            return [SlotPart(module=h, offset=o, width=shapes[h][1]) for h, o in zip(hits, offsets, strict=True) if h]
    for fused, names in FUSED.items():
        module = _module(layer, fused, shapes)
        if module and projection in names and shapes[module][1] == len(names) * outs:  # only equal parts are certain
            return [SlotPart(module=module, width=outs, start=names.index(projection) * outs)]
    return None


def _module(layer: str, name: str, shapes: Shapes) -> str | None:
    hits = [module for module in shapes if re.search(rf"\.{layer}\.(?:\w+\.)*{name}$", module)]
    return hits[0] if len(hits) == 1 else None


def _size(node: Any) -> tuple[int, int]:
    if node.op_type == "MatMulNBits":
        return node.attributes["K"].as_int(), node.attributes["N"].as_int()
    return tuple(int(size) for size in node.inputs[1].shape)  # type: ignore[return-value]


def _halves(y: Any, parts: list[SlotPart]) -> list[Any] | None:
    """The outputs of the Split that follows, perhaps behind a bias; None where there is none."""
    for node, _ in y.uses():
        if node.op_type == "Add":
            return _halves(node.outputs[0], parts)
        if node.op_type == "Split" and len(node.outputs) == 2 and parts[0].width == parts[1].width:
            return list(node.outputs)
    return None


def _add_slot(ir: Any, graph: Any, x: Any, y: Any, prefix: str, ins: int, parts: list[SlotPart]) -> Slot:
    """Replace `y` by `y + (x @ A) @ B`, bias included."""
    y = _after_bias(y)
    dtype = next((v.dtype for v in (x, y) if v.dtype is not None), ir.DataType.FLOAT)
    outs = sum(part.width for part in parts)
    a = _slot_input(ir, graph, f"{prefix}.A", (1, ins, 0), (ROWS, ins, f"{prefix}.rank"), dtype)
    b = _slot_input(ir, graph, f"{prefix}.B", (1, 0, outs), (ROWS, f"{prefix}.rank", outs), dtype)
    uses = list(y.uses())
    low = ir.node("MatMul", [x, a], name=f"/{prefix}/A")
    delta = ir.node("MatMul", [low.outputs[0], b], name=f"/{prefix}/B")
    total = ir.node("Add", [y, delta.outputs[0]], name=f"/{prefix}/Add")
    for node in (low, delta, total):
        node.outputs[0].name = f"{node.name}/output_0"
        node.outputs[0].dtype = dtype
    for node, index in uses:
        node.replace_input_with(index, total.outputs[0])
    graph.insert_after(y.producer(), [low, delta, total])
    return Slot(
        a=a.name,
        b=b.name,
        in_features=ins,
        out_features=outs,
        dtype="float16" if dtype == ir.DataType.FLOAT16 else "float32",
        parts=tuple(parts),
    )


def _after_bias(y: Any) -> Any:
    """`y` with its bias added, where it has one: a slot between the two would prevent ONNX Runtime from fusing them."""
    uses = list(y.uses())
    if len(uses) == 1 and uses[0][0].op_type == "Add":
        other = uses[0][0].inputs[1 - uses[0][1]]
        if other is not None and other.is_initializer() and not other.is_graph_input():
            return uses[0][0].outputs[0]
    return y


def _slot_input(ir: Any, graph: Any, name: str, shape: tuple[int, ...], symbolic: tuple[Any, ...], dtype: Any) -> Any:
    empty = ir.tensor(np.zeros(shape, dtype.numpy()), name=name)
    value = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(symbolic), const_value=empty)
    graph.inputs.append(value)
    graph.register_initializer(value)
    return value


def _mismatch(what: str, model: Path) -> ExportError:
    return ExportError(
        f"a LoRA slot cannot be placed: {what}",
        where=str(model),
        remedy="export with the LoRA merged instead (without --slots), and report the architecture",
    )


def _save(ir: Any, loaded: Any, path: Path) -> Path:
    with atomic_path(path) as part:
        ir.save(loaded, part)  # weights stay where they are: external tensors are written as references
    return path
