"""Runs a decode step over the graph: with the shapes that the rows have, or with fixed ones that a device can replay.

Both append one token to each of the first rows; neither knows about requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.decoding.adapter_rows import Plan
from metier.decoding.io_binding import IoBinding, run_options
from metier.decoding.memory import zeros

Ids = npt.NDArray[np.int64]

MASK_STEP = 256
"""The mask's width grows in steps of so many tokens, so that bindings hold for many steps."""


class RaggedSteps:
    """Steps over exactly the given rows, inputs in host memory; bindings are kept until the mask is widened."""

    def __init__(self, io: IoBinding, rows: int, max_len: int) -> None:
        self._io, self._max_len = io, max_len
        self._ids = np.zeros((rows, 1), np.int64)
        self._positions = np.arange(0)
        self._mask = np.zeros((rows, 0), np.int64)
        self._bindings: dict[int, Any] = {}
        self._bound: dict[int, Plan] = {}  # by rows of the step

    def padded(self, count: int) -> int:
        """Rows that a step over `count` takes."""
        return count

    def run(self, tokens: Ids, lengths: Ids) -> None:
        """Append tokens, [count], to the first rows, of which row r holds `lengths[r]`."""
        count, io = len(tokens), self._io
        self._ids[:count, 0] = tokens
        needed = int(lengths[:count].max()) + 1
        if needed > self._mask.shape[1]:
            self._widen(needed)
        mask = self._mask[:count]
        np.less_equal(self._positions, lengths[:count, None], out=mask)
        binding = self._bindings.get(count)
        if binding is None:
            binding = self._bindings[count] = io.binding(0, count)
            io.bind_host(binding, self._ids[:count], mask)
        plan = io.adapters.plan(0, count)
        if not _same(self._bound.get(count), plan):
            io.adapters.bind(binding, plan, 0, count)
            self._bound[count] = plan
        io.run(binding)

    def _widen(self, needed: int) -> None:
        """A wider mask has another address, so that every step must be bound again."""
        width = min(-(-needed // MASK_STEP) * MASK_STEP, self._max_len)
        self._positions, self._mask = np.arange(width), np.zeros((len(self._mask), width), np.int64)
        self._bindings.clear()
        self._bound.clear()


@dataclass(frozen=True)
class Shape:
    """Everything that a step of one shape reads and writes, at fixed addresses, and its run options."""

    binding: Any
    ids: Any
    """[rows, 1]"""
    mask: Any
    """[rows, width]"""
    options: Any
    graph_id: int
    """Under which ONNX Runtime captures and replays it; -1 runs it node by node."""


class FixedSteps:
    """Steps of few shapes, whose inputs and outputs never move: what a CUDA graph needs
    (https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#using-cuda-graphs-preview).

    Row counts and mask widths are rounded up; padding rows write behind what they hold, and their logits are ignored.
    The first run of a shape is ordinary, then it is captured, then replayed; LoRA weights are updated in place. When
    adapters need other ranks, the shapes that were bound to the old ones are released.
    """

    def __init__(self, io: IoBinding, rows: int, max_len: int, *, capture: bool) -> None:
        self._io, self._capture = io, capture
        self._counts = sorted({*_doubling(1, rows), rows})
        self._widths = sorted({*_doubling(MASK_STEP, max_len), max_len})
        self._shapes: dict[tuple[int, int, Plan], Shape] = {}

    def padded(self, count: int) -> int:
        """Rows that a step over `count` takes: the next of 1, 2, 4, … and all."""
        return next(size for size in self._counts if size >= count)

    def run(self, tokens: Ids, lengths: Ids) -> None:
        """Append tokens, [span], to the first rows, of which row r holds `lengths[r]`."""
        count = len(tokens)
        width = next(size for size in self._widths if size > lengths[:count].max())
        plan = self._io.adapters.plan(0, count)
        shape = self._shapes.get((count, width, plan)) or self._new_shape(count, width, plan)
        shape.ids.update_inplace(tokens[:, None])
        shape.mask.update_inplace((np.arange(width) <= lengths[:count, None]).astype(np.int64))
        self._io.run(shape.binding, shape.options)

    def release(self, kind: str | None = None) -> None:
        """Drop every shape, or those of one kind of plan: their addresses may be invalid."""
        for key in [key for key in self._shapes if kind in (None, key[2][0])]:
            graph_id = self._shapes.pop(key).graph_id
            release_graph = getattr(self._io.session, "release_captured_graph", None)  # ONNX Runtime 1.31 and later
            if graph_id >= 0 and release_graph is not None:
                release_graph(graph_id)

    def _new_shape(self, count: int, width: int, plan: Plan) -> Shape:
        if any(known[0] == plan[0] and known != plan for _, _, known in self._shapes):
            self.release(plan[0])
        io, device = self._io, self._io.device
        ids, mask = zeros((count, 1), np.int64, device), zeros((count, width), np.int64, device)
        binding = io.binding(0, count)
        io.bind_values(binding, ids, mask)
        io.adapters.bind(binding, plan, 0, count)
        graph_id = next(_numbers) if self._capture else -1
        shape = self._shapes[count, width, plan] = Shape(binding, ids, mask, run_options(graph_id), graph_id)
        return shape


_numbers = itertools.count()  # ids of captured graphs, unique in the process: decoders may share a session


def _doubling(first: int, bound: int) -> Iterator[int]:
    while first < bound:
        yield first
        first *= 2


def _same(bound: Plan | None, plan: Plan) -> bool:
    if bound is None or bound[0] != plan[0]:
        return False
    # The very same LoRA: comparing arrays would be slow, and a new one of equal numbers has other addresses.
    return bound[1] is plan[1] if plan[0] == "one" else bound[1] == plan[1]
