"""Traces a torch module as an ONNX graph. It knows neither trunks nor heads.

The graph is traced (TorchScript's exporter): seconds, where torch's newer exporter takes half a minute for a base of 30
layers and needs onnxscript. A trace follows one example's path, so the caller proves the graph on others.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.contracts import ExportError

OPSET = 20
"""Has Gelu and LayerNormalization as one node each; supported by ONNX Runtime since 1.17."""

LARGE = 1024
"""Elements from which a weight is stored as fp16; scalars and norms keep fp32."""


def trace(
    module: Any,
    examples: Sequence[Any],
    file: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
    *,
    halve: bool = False,
    beside: bool = True,
) -> None:
    """Write `module` as `file`.

    Args:
        module: torch module in eval mode; takes and returns tensors.
        examples: its arguments.
        file: path of the ONNX file.
        inputs: names of the arguments.
        outputs: names of its results.
        free: of an input or output, the axes that vary, by name.
        halve: store large weights as fp16; they are cast to fp32 when the graph is loaded.
        beside: write the weights into `file`.data, which is mapped into memory; else into the file itself.

    Raises:
        ExportError: the module cannot be traced.
    """
    import onnx_ir as ir
    import torch

    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        traced = Path(scratch) / file.name
        disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    module,
                    tuple(examples),
                    str(traced),
                    dynamo=False,
                    input_names=list(inputs),
                    output_names=list(outputs),
                    dynamic_axes={name: dict(axes) for name, axes in free.items()},
                    opset_version=OPSET,
                    do_constant_folding=False,  # ONNX Runtime does it when it loads; here it takes minutes
                )
        except OSError:
            raise
        except Exception as error:  # torch raises whatever its passes raise
            reason = str(error).splitlines()[0] if str(error) else ""
            raise ExportError(
                f"the base cannot be traced: {type(error).__name__}: {reason}",
                where=str(file.parent),
                remedy="use a base of another architecture, and report this one",
            ) from error
        finally:
            logging.disable(disabled)
        model = ir.load(traced)
        if halve:
            _halve(model.graph)
        ir.save(model, file, external_data=f"{file.name}.data" if beside else None)


def _halve(graph: Any) -> None:
    """Store each large fp32 weight as fp16, with a cast to fp32 before its uses."""
    import numpy as np
    import onnx_ir as ir

    casts = []
    for name, value in list(graph.initializers.items()):
        if value.dtype != ir.DataType.FLOAT or value.const_value is None or value.const_value.size < LARGE:
            continue
        half = value.const_value.numpy().astype(np.float16)
        if not np.isfinite(half).all():
            continue
        stored = ir.tensor(half, name=f"{name}.half")
        small = ir.Value(name=stored.name, shape=value.shape, type=ir.TensorType(stored.dtype), const_value=stored)
        cast = ir.node("Cast", [small], attributes={"to": int(ir.DataType.FLOAT)})
        widened = cast.outputs[0]
        widened.name, widened.shape, widened.type = f"{name}.fp32", value.shape, ir.TensorType(ir.DataType.FLOAT)
        value.replace_all_uses_with(widened)
        del graph.initializers[name]
        graph.register_initializer(small)
        casts.append(cast)
    if casts:
        graph.insert_before(graph[0], casts)
