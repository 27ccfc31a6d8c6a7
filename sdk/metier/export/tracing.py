"""A torch module as an ONNX graph. It knows neither trunks nor heads.

The graph is traced (TorchScript's exporter): seconds, where torch's newer exporter takes half a minute for a base of 30
layers and needs onnxscript. A trace follows one example's path, so whoever calls this proves the graph on others.
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
"""Has Gelu and LayerNormalization as one node each; ONNX Runtime knows it since 1.17."""

LARGE = 1024
"""Values from which a weight is worth halving; scalars and norms stay as they are."""


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
        module: torch module in eval mode; takes and gives tensors.
        examples: its arguments.
        file: path of the ONNX file.
        inputs: names of the arguments.
        outputs: names of what it gives.
        free: of an input or output, the axes that vary, by name.
        halve: store large weights as fp16; they are made fp32 again when the graph is loaded.
        beside: put the weights into `file`.data, which is mapped into memory; else into the file itself.

    Raises:
        ExportError: the module cannot be traced.
    """
    import onnx_ir as ir
    import torch

    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        traced = Path(scratch) / file.name
        loud = logging.root.manager.disable
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
            said = str(error).splitlines()[0] if str(error) else ""
            raise ExportError(
                f"the base cannot be traced: {type(error).__name__}: {said}",
                where=str(file.parent),
                remedy="take a base of another architecture, and report this one",
            ) from error
        finally:
            logging.disable(loud)
        model = ir.load(traced)
        if halve:
            _halve(model.graph)
        ir.save(model, file, external_data=f"{file.name}.data" if beside else None)


def _halve(graph: Any) -> None:
    """Put each large fp32 weight into fp16, and a cast back to fp32 between it and what uses it."""
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
        whole = cast.outputs[0]
        whole.name, whole.shape, whole.type = f"{name}.whole", value.shape, ir.TensorType(ir.DataType.FLOAT)
        value.replace_all_uses_with(whole)
        del graph.initializers[name]
        graph.register_initializer(small)
        casts.append(cast)
    if casts:
        graph.insert_before(graph[0], casts)
