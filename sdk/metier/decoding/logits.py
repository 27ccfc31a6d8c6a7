"""Holds a step's logits and reads those of a row: all of them in host memory, or the best tokens on a device."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.contracts.bundle import Graph
from metier.decoding.memory import address_of, rows_of, zeros
from metier.decoding.top_tokens import Candidates, Logits, TokenScores

DTYPES: dict[str, Any] = {"float32": np.float32, "float16": np.float16}
"""Of logits and KV, as numpy has them."""


class HostLogits:
    """Logits in host memory, [rows, 1, vocab_size]: there, numpy finds the best tokens faster than a graph does."""

    def __init__(self, graph: Graph, rows: int) -> None:
        self._name = graph.logits
        self._logits = np.zeros((rows, 1, graph.vocab_size), DTYPES[graph.io_dtype])

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Bind the logits of a run over `count` rows from `first` on."""
        target = self._logits[first : first + count]
        binding.bind_output(self._name, "cpu", 0, target.dtype.type, target.shape, target.ctypes.data)

    def set_temperature(self, row: int, temperature: float) -> None:
        """Not needed here: the sampler computes sums itself."""

    def find_candidates(self, count: int) -> None:
        """Not needed here: the sampler searches the row itself."""

    def full(self, row: int) -> Logits:
        """Logits of the row's last token, [vocab_size], valid until the next run."""
        logits: Logits = self._logits[row, 0]
        return logits if logits.dtype == np.float32 else logits.astype(np.float32)

    def scores(self, row: int) -> TokenScores:
        """Of a row, after the last step."""
        return TokenScores(partial(self.full, row))

    def move(self, source: int, target: int) -> None:
        """The target row's logits are now the source's."""
        self._logits[target] = self._logits[source]


class DeviceLogits:
    """Logits that stay on the device, at one address; of each row only the best candidates are copied to the host, or
    all on request."""

    def __init__(self, graph: Graph, rows: int, device: str, session: Any) -> None:
        """`session`: of the candidates' graph on the device; None copies whole rows."""
        self._graph, self._device, self._session = graph, device, session
        self._dtype = DTYPES[graph.io_dtype]
        self._logits = zeros((rows, 1, graph.vocab_size), self._dtype, device)
        self._temperatures = np.ones(rows)
        self._inverse_temperatures = zeros((rows, 1), np.float32, device)
        self._changed = True  # whether temperatures changed since they were copied to the device
        self._bindings: dict[int, Any] = {}
        self._candidates: dict[str, npt.NDArray[Any]] = {}
        if session is not None:
            count = next(output.shape[1] for output in session.get_outputs() if output.name == "ids")
            self._candidates = {
                "ids": np.zeros((rows, count), np.int64),
                "values": np.zeros((rows, count), np.float32),
                "mass": np.zeros((rows, 1), np.float64),
            }

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Bind the logits of a run over `count` rows from `first` on."""
        shape = (count, 1, self._graph.vocab_size)
        address = address_of(self._logits, first)
        binding.bind_output(self._graph.logits, self._device, 0, self._dtype, shape, address)

    def set_temperature(self, row: int, temperature: float) -> None:
        """The temperature at which the row's tokens are drawn; 0 is greedy, computed as 1."""
        self._temperatures[row], self._changed = temperature or 1.0, True

    def find_candidates(self, count: int) -> None:
        """Find the best tokens of the first `count` rows, after a step."""
        if self._session is None:
            return
        if self._changed:
            self._inverse_temperatures.update_inplace((1 / self._temperatures[:, None]).astype(np.float32))
            self._changed = False
        if count not in self._bindings:
            binding = self._bindings[count] = self._session.io_binding()
            shape = (count, 1, self._graph.vocab_size)
            binding.bind_input("logits", self._device, 0, self._dtype, shape, address_of(self._logits))
            binding.bind_input(
                "sharpness", self._device, 0, np.float32, (count, 1), address_of(self._inverse_temperatures)
            )
            for name, array in self._candidates.items():
                shape = (count, *array.shape[1:])
                binding.bind_output(name, "cpu", 0, array.dtype.type, shape, array.ctypes.data)
        self._session.run_with_iobinding(self._bindings[count])

    def full(self, row: int) -> Logits:
        """Logits of the row's last token, [vocab_size]: the one row is copied."""
        logits: Logits = rows_of(self._logits, row).numpy().reshape(-1).astype(np.float32)
        return logits

    def scores(self, row: int) -> TokenScores:
        """Of a row, after the last step."""
        if self._session is None:
            return TokenScores(partial(self.full, row))
        ids, values, mass = (self._candidates[name][row] for name in ("ids", "values", "mass"))
        every = len(ids) == self._graph.vocab_size
        candidates = Candidates(ids, values, float(mass[0]), float(self._temperatures[row]), every)
        return TokenScores(partial(self.full, row), candidates)
