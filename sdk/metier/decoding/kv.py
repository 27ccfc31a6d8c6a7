"""The KV memory of all rows: two buffers per layer, bound both as past and as present, so that a step writes in place.

It knows addresses; it does not know what the rows hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metier.contracts import ResourceError
from metier.contracts.bundle import Graph
from metier.decoding.logits import DTYPES
from metier.decoding.memory import address_of, sparse_zeros


class KV:
    """Key and value of every layer, [rows, kv_heads, max_len, head_dim] each, on one device.

    Raises:
        ResourceError: there is no memory for them.
    """

    def __init__(self, graph: Graph, rows: int, max_len: int, device: str) -> None:
        self._graph, self._device, self._dtype = graph, device, DTYPES[graph.io_dtype]
        self._row = (graph.kv_heads, max_len, graph.head_dim)
        try:
            # On a CPU, a row costs only the tokens that it has held.
            self._buffers = [sparse_zeros((rows, *self._row), self._dtype, device) for _ in range(2 * graph.layers)]
            self._host = [buffer.numpy() for buffer in self._buffers] if device == "cpu" else []  # the same memory
        except Exception as error:  # onnxruntime raises its own, unrelated classes
            size = self.bytes_per_token * max_len * rows / 2**20
            raise ResourceError(
                f"not enough memory for a KV buffer of {size:.0f} MiB",
                remedy="give the engine fewer rows or a smaller max_len",
            ) from error

    @property
    def bytes_per_token(self) -> int:
        """KV memory of one token of one row."""
        graph = self._graph
        return 2 * graph.layers * graph.kv_heads * graph.head_dim * int(np.dtype(self._dtype).itemsize)

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Bind past and present of a run over `count` rows from `first` on."""
        graph, shape = self._graph, (count, *self._row)
        for index, buffer in enumerate(self._buffers):
            layer, is_value = divmod(index, 2)
            past = (graph.past_value if is_value else graph.past_key) % layer
            present = (graph.present_value if is_value else graph.present_key) % layer
            start = address_of(buffer, first)
            binding.bind_input(past, self._device, 0, self._dtype, shape, start)
            binding.bind_output(present, self._device, 0, self._dtype, shape, start)

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one row to another; in host memory only."""
        for buffer in self._host:
            buffer[target, :, :length] = buffer[source, :, :length]
