"""A decoder graph's inputs and outputs by name, bound over a range of rows, and its session run.

It knows names and devices; it knows nothing about sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.contracts import ResourceError
from metier.contracts.bundle import Graph
from metier.decoding.adapter_rows import AdapterRows
from metier.decoding.kv import KV
from metier.decoding.logits import DeviceLogits, HostLogits
from metier.decoding.onnx_runtime import ort

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class IoBinding:
    """A session and the memory that its runs read and write."""

    session: Any
    graph: Graph
    device: str
    kv: KV
    logits: HostLogits | DeviceLogits
    adapters: AdapterRows

    def binding(self, first: int, count: int) -> Any:
        """A new binding over `count` rows from `first` on: past, present and logits."""
        binding = self.session.io_binding()
        self.kv.bind(binding, first, count)
        self.logits.bind(binding, first, count)
        return binding

    def bind_host(self, binding: Any, ids: Ids, mask: Ids) -> None:
        """Token ids, [rows, tokens], and the mask, [rows, width], in host memory; a device copies them when they are
        bound."""
        for name, array in ((self.graph.input_ids, ids), (self.graph.attention_mask, mask)):
            binding.bind_input(name, "cpu", 0, np.int64, array.shape, array.ctypes.data)

    def bind_values(self, binding: Any, ids: Any, mask: Any) -> None:
        """The same as OrtValues of the device."""
        binding.bind_ortvalue_input(self.graph.input_ids, ids)
        binding.bind_ortvalue_input(self.graph.attention_mask, mask)

    def run(self, binding: Any, options: Any = None) -> None:
        """Run the graph; without options, as a run that is not captured.

        Raises:
            ResourceError: ONNX Runtime failed; most often there is not enough memory.
        """
        try:
            self.session.run_with_iobinding(binding, options or NOT_CAPTURED)
        except Exception as error:  # onnxruntime raises its own, unrelated classes
            text = str(error).splitlines()[0]
            raise ResourceError(
                f"a decode step failed: {text}", remedy="give the engine fewer rows or a smaller max_len"
            ) from error


def run_options(graph_id: int = -1) -> Any:
    """Options of a run that is captured and replayed under that number.

    -1 runs it node by node: without a number, a capturing session would use 0.
    """
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options


NOT_CAPTURED = run_options()
