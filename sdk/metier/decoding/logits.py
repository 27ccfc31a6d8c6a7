"""Where a step's logits land, and how a row's are read: in host memory whole, or on a device as the best few tokens."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.contracts.bundle import Graph
from metier.decoding.memory import address_of, rows_of, zeros
from metier.decoding.top_tokens import Candidates, Logits, Scores

DTYPES: dict[str, Any] = {"float32": np.float32, "float16": np.float16}
"""Of logits and KV, as numpy has them."""


class HostLogits:
    """Logits in host memory, [rows, 1, vocab_size]: there, numpy finds the best of a row sooner than a graph does."""

    def __init__(self, graph: Graph, rows: int) -> None:
        self._name = graph.logits
        self._held = np.zeros((rows, 1, graph.vocab_size), DTYPES[graph.io_dtype])

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Where a run over `count` rows from `first` on leaves its logits."""
        where = self._held[first : first + count]
        binding.bind_output(self._name, "cpu", 0, where.dtype.type, where.shape, where.ctypes.data)

    def temper(self, row: int, temperature: float) -> None:
        """Of no use here: what a draw needs is summed when it is needed."""

    def refresh(self, count: int) -> None:
        """Nothing is to be prepared."""

    def full(self, row: int) -> Logits:
        """Logits of the row's last token, [vocab_size], valid until the next run."""
        found: Logits = self._held[row, 0]
        return found if found.dtype == np.float32 else found.astype(np.float32)

    def scores(self, row: int) -> Scores:
        """What the last step says of a row."""
        return Scores(partial(self.full, row))

    def move(self, source: int, target: int) -> None:
        """The target row's logits are now the source's."""
        self._held[target] = self._held[source]


class DeviceLogits:
    """Logits that stay on the device, at one address; of each row only the best few are copied, or all when asked."""

    def __init__(self, graph: Graph, rows: int, device: str, session: Any) -> None:
        """`session`: of the candidates' graph on the device; None copies whole rows."""
        self._graph, self._device, self._session = graph, device, session
        self._dtype = DTYPES[graph.io_dtype]
        self._held = zeros((rows, 1, graph.vocab_size), self._dtype, device)
        self._temperatures = np.ones(rows)
        self._sharpness = zeros((rows, 1), np.float32, device)
        self._sharpen = True  # whether temperatures changed since the device heard of them
        self._bindings: dict[int, Any] = {}
        self._few: dict[str, npt.NDArray[Any]] = {}
        if session is not None:
            count = next(output.shape[1] for output in session.get_outputs() if output.name == "ids")
            self._few = {
                "ids": np.zeros((rows, count), np.int64),
                "values": np.zeros((rows, count), np.float32),
                "mass": np.zeros((rows, 1), np.float64),
            }

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Where a run over `count` rows from `first` on leaves its logits."""
        shape = (count, 1, self._graph.vocab_size)
        where = address_of(self._held, first)
        binding.bind_output(self._graph.logits, self._device, 0, self._dtype, shape, where)

    def temper(self, row: int, temperature: float) -> None:
        """At what temperature the row's tokens are drawn; 0 is greedy, and 1 does for it."""
        self._temperatures[row], self._sharpen = temperature or 1.0, True

    def refresh(self, count: int) -> None:
        """Find the best few tokens of the first `count` rows, after a step."""
        if self._session is None:
            return
        if self._sharpen:
            self._sharpness.update_inplace((1 / self._temperatures[:, None]).astype(np.float32))
            self._sharpen = False
        if count not in self._bindings:
            binding = self._bindings[count] = self._session.io_binding()
            shape = (count, 1, self._graph.vocab_size)
            binding.bind_input("logits", self._device, 0, self._dtype, shape, address_of(self._held))
            binding.bind_input("sharpness", self._device, 0, np.float32, (count, 1), address_of(self._sharpness))
            for name, array in self._few.items():
                shape = (count, *array.shape[1:])
                binding.bind_output(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)
        self._session.run_with_iobinding(self._bindings[count])

    def full(self, row: int) -> Logits:
        """Logits of the row's last token, [vocab_size]: the one row is copied."""
        found: Logits = rows_of(self._held, row).numpy().reshape(-1).astype(np.float32)
        return found

    def scores(self, row: int) -> Scores:
        """What the last step says of a row."""
        if self._session is None:
            return Scores(partial(self.full, row))
        ids, values, mass = (self._few[name][row] for name in ("ids", "values", "mass"))
        every = len(ids) == self._graph.vocab_size
        few = Candidates(ids, values, float(mass[0]), float(self._temperatures[row]), every)
        return Scores(partial(self.full, row), few)
