"""The small graph that selects the best tokens on the logits' own device, so that only they are copied to the host.

It knows the shape of logits; `metier.decoding.top_tokens` samples from the candidates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.contracts.bundle import Graph
from metier.decoding.top_tokens import CANDIDATES

FILE = "candidates.onnx"


def write_top_tokens_graph(folder: Path, graph: Graph) -> Graph:
    """Write candidates.onnx beside a decoder's graph; returns `graph` with its name.

    In: `logits` [rows, 1, vocab_size] as the decoder gives them, and `sharpness` [rows, 1], 1 / temperature.
    Out: `ids` and `values` [rows, K], best first, and `mass` [rows, 1], the sum of exp((logit - best) · sharpness) over
    each row: float32 exponentials, added in float64.
    """
    import onnx
    from onnx import TensorProto, helper

    count = min(CANDIDATES, graph.vocab_size)
    kinds = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
    steps: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("Squeeze", ["logits", "middle"], ["narrow"], {}),
        ("Cast", ["narrow"], ["wide"], {"to": TensorProto.FLOAT}),
        ("TopK", ["wide", "count"], ["values", "ids"], {"axis": -1}),
        ("ReduceMax", ["values", "last"], ["best"], {"keepdims": 1}),
        ("Sub", ["wide", "best"], ["below"], {}),
        ("Mul", ["below", "sharpness"], ["sharp"], {}),
        ("Exp", ["sharp"], ["weights"], {}),
        ("Cast", ["weights"], ["exact"], {"to": TensorProto.DOUBLE}),
        ("ReduceSum", ["exact", "last"], ["mass"], {"keepdims": 1}),
    ]
    value = helper.make_tensor_value_info
    top_tokens = helper.make_graph(
        [helper.make_node(kind, ins, outs, **attributes) for kind, ins, outs, attributes in steps],
        "candidates",
        [
            value("logits", kinds[graph.io_dtype], ["rows", 1, graph.vocab_size]),
            value("sharpness", TensorProto.FLOAT, ["rows", 1]),
        ],
        [
            value("ids", TensorProto.INT64, ["rows", count]),
            value("values", TensorProto.FLOAT, ["rows", count]),
            value("mass", TensorProto.DOUBLE, ["rows", 1]),
        ],
        [
            helper.make_tensor("middle", TensorProto.INT64, [1], [1]),
            helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("count", TensorProto.INT64, [1], [count]),
        ],
    )
    model = helper.make_model(top_tokens, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    (folder / FILE).write_bytes(model.SerializeToString())
    return graph.model_copy(update={"candidates": FILE})
