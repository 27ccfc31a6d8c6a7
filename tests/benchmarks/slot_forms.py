"""Other forms that a LoRA slot could have, on the real graph: what a step of eight rows with eight adapters costs.

    python tests/benchmarks/slot_forms.py [--json] [--base smollm2-135m] [--rank 8] [--repeat 9] [--steps 24]

Each form is one graph; all are stepped in turn, and the figures are medians. Weights are random: only time is measured
here, and `shipped` is the form that `metier export --slots` writes. `padded` says how much smaller the fused QKV's
share would be without the zeros of its block-diagonal B: it computes less than a LoRA and only bounds what is to gain.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from slot_bundles import build, machine

ROWS, CONTEXT = 8, 64
PROJECTION = re.compile(r"^/model/layers\.(\d+)/(?:\w+/)*?(\w+)/MatMul(?:_Q\d+)?$")
FORMS = (
    "shipped", "shipped, one block", "A transposed", "A and B transposed", "fp16", "int8", "side by side",
    "padded", "upper half of the layers", "attention only",
)  # fmt: skip


class Form:
    """One graph under way: adds nodes to it, and keeps the arrays that its inputs take."""

    def __init__(self, graph: Any, rank: int) -> None:
        import onnx_ir as ir

        self.ir, self.graph, self.rank, self.inputs = ir, graph, rank, dict[str, np.ndarray]()
        self._random = np.random.default_rng(0)
        self._new: list[Any] = []

    def input(self, name: str, shape: tuple[int, ...], empty: int, dtype: str = "float32") -> Any:
        """An input that is also an initializer, empty along the axis `empty`; the real array is random."""
        values = self._random.integers(-127, 128, shape).astype(dtype) if dtype == "int8" else None
        real = (self._random.standard_normal(shape, np.float32) * 0.02).astype(dtype) if values is None else values
        tensor = self.ir.tensor(np.zeros([0 if axis == empty else size for axis, size in enumerate(shape)], dtype))
        symbols = [f"{name}.{axis}" for axis in range(len(shape))]
        value = self.ir.Value(
            name=name, type=self.ir.TensorType(tensor.dtype), shape=self.ir.Shape(symbols), const_value=tensor
        )
        self.graph.inputs.append(value)
        self.graph.register_initializer(value)
        self.inputs[name] = real
        return value

    def node(self, op: str, *inputs: Any, **attributes: Any) -> Any:
        """The output of a new node."""
        domain = "com.microsoft" if op == "FusedMatMul" else ""
        node = self.ir.node(
            op,
            list(inputs),
            attributes=attributes,
            domain=domain,
            name=f"/form/{self.graph.num_nodes()}.{len(self._new)}",
        )
        node.outputs[0].name = f"{node.name}/out"
        self._new.append(node)
        return node.outputs[0]

    def wire(self, form: str, layer: int, projection: str, node: Any) -> None:
        """Give one projection its slot in that form."""
        x, y, name = node.inputs[0], node.outputs[0], f"lora.{layer}.{projection}"
        ins, outs = node.attributes["K"].as_int(), node.attributes["N"].as_int()
        rank = self.rank * (3 if projection == "qkv_proj" and form != "padded" else 1)
        uses, dtype = list(y.uses()), {"fp16": "float16", "int8": "int8"}.get(form, "float32")
        if form == "side by side":  # one product for all rows, each row's own columns kept by a mask
            a, b = self.input(f"{name}.A", (ins, ROWS * rank), 1), self.input(f"{name}.B", (ROWS * rank, outs), 0)
            low = self.node("Mul", self.node("MatMul", x, a), self.mask(rank))
        else:
            turned = form in ("A transposed", "A and B transposed")
            a = self.input(f"{name}.A", (ROWS, rank, ins) if turned else (ROWS, ins, rank), 1 if turned else 2, dtype)
            a = a if dtype == "float32" else self.node("Cast", a, to=1)
            low = self.node("FusedMatMul", x, a, transB=1) if turned else self.node("MatMul", x, a)
            turned = form == "A and B transposed"
            b = self.input(f"{name}.B", (ROWS, outs, rank) if turned else (ROWS, rank, outs), 2 if turned else 1, dtype)
            b = b if dtype == "float32" else self.node("Cast", b, to=1)
        delta = self.node("FusedMatMul", low, b, transB=1) if form == "A and B transposed" else None
        total = self.node("Add", y, self.node("MatMul", low, b) if delta is None else delta)
        for use, index in uses:
            use.replace_input_with(index, total)
        self.graph.insert_after(node, self._new)
        self._new = []

    def mask(self, rank: int) -> Any:
        """[rows, 1, rows · rank]: ones where a row meets its own columns."""
        name = f"mask.{rank}"
        if name not in self.inputs:
            self.input(name, (ROWS, 1, ROWS * rank), 2)
            self.inputs[name] = np.repeat(np.eye(ROWS, dtype=np.float32), rank, 1)[:, None]
            value = next(value for value in self.graph.inputs if value.name == name)
            value.const_value = self.ir.tensor(np.ones((1, 1, 1), np.float32))
            return value
        return next(value for value in self.graph.inputs if value.name == name)


def write(form: str, plain: Any, rank: int) -> tuple[Path, dict[str, np.ndarray]]:
    """The graph in one form, beside the plain one, whose weights it shares; and what its inputs take."""
    import onnx_ir as ir

    folder, graph = plain.path, plain.manifest.graph
    model = ir.load(folder / graph.file)
    made = Form(model.graph, rank)
    for node in list(model.graph):
        match = PROJECTION.match(node.name or "")
        if not match or node.op_type != "MatMulNBits":
            continue
        layer, projection = int(match[1]), match[2]
        lower, mlp = layer < graph.layers // 2, projection in ("gate_proj", "up_proj", "down_proj")
        made.wire(form, layer, projection, node)
        if (form == "upper half of the layers" and lower) or (form == "attention only" and mlp):
            for side in "AB":  # the slot is there and stays empty
                del made.inputs[f"lora.{layer}.{projection}.{side}"]
    if form == "shipped, one block":
        block, start = np.zeros(sum(array.size for array in made.inputs.values()), np.float32), 0
        for name, array in made.inputs.items():
            block[start : start + array.size] = array.reshape(-1)
            made.inputs[name], start = block[start : start + array.size].reshape(array.shape), start + array.size
    model.opset_imports.setdefault("com.microsoft", 1)
    path = folder / f"form{FORMS.index(form)}.onnx"
    ir.save(model, path)
    return path, made.inputs


def stepper(file: Path, graph: Any, inputs: dict[str, np.ndarray]) -> Callable[[int], float]:
    """Runs so many steps of eight rows; seconds of one."""
    from metier.decoding.decoder import Decoder
    from metier.decoding.device import open_session

    decoder = Decoder(open_session(file, "cpu"), graph, rows=ROWS, max_len=256)
    decoder.prefill(0, *[np.arange(100, 100 + CONTEXT)] * ROWS)
    decoder.step(np.full(ROWS, 5))
    binding = decoder._steps._bindings[ROWS]  # holds until the mask is widened, which it never is here
    for name, array in inputs.items():
        binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def run(steps: int) -> float:
        for row in range(ROWS):
            decoder.truncate(row, CONTEXT)
        for _ in range(4):
            decoder.step(np.full(ROWS, 5))
        start = time.perf_counter()
        for _ in range(steps):
            decoder.step(np.full(ROWS, 5))
        return (time.perf_counter() - start) / steps

    return run


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--forms", nargs="+", default=FORMS, choices=FORMS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        plain, _ = build(options.base, Path(scratch))
        graph = plain.manifest.graph
        runs = {"plain graph": stepper(plain.path / graph.file, graph, {})}
        read = {"plain graph": 0}
        for form in options.forms:
            file, inputs = write(form, plain, options.rank)
            runs[form], read[form] = stepper(file, graph, inputs), sum(array.nbytes for array in inputs.values())
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.repeat):
            for name, run in runs.items():
                times[name].append(run(options.steps))
    median = {name: statistics.median(taken) for name, taken in times.items()}
    result = {
        "benchmark": "slot_forms", **machine("onnxruntime-gpu", "onnxruntime", "numpy"), "base": options.base,
        "rank": options.rank, "rows": ROWS, "context": CONTEXT, "forms": [
            {
                "form": name, "step_ms": round(median[name] * 1e3, 2), "best_ms": round(min(times[name]) * 1e3, 2),
                "share_of_plain": round(median["plain graph"] / median[name], 3), "adapter_bytes_per_step": read[name],
            }
            for name in runs
        ],
    }  # fmt: skip
    if options.json:
        json.dump(result, sys.stdout, indent=1)
        print()
    else:
        for row in result["forms"]:
            print(row)


if __name__ == "__main__":
    main()
