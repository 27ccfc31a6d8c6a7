"""How a decode step reaches the graph: with the shapes that the rows have, or with fixed ones that a device can replay.

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
from metier.decoding.io_binding import Wiring, run_options
from metier.decoding.memory import zeros

Ids = npt.NDArray[np.int64]

MASK_STEP = 256
"""The mask's width grows in steps of so many tokens, so that bindings hold for many steps."""


class RaggedSteps:
    """Steps over exactly the rows that are asked for, inputs in host memory; bound until the mask is widened."""

    def __init__(self, wiring: Wiring, rows: int, max_len: int) -> None:
        self._wiring, self._max_len = wiring, max_len
        self._ids = np.zeros((rows, 1), np.int64)
        self._at = np.arange(0)
        self._mask = np.zeros((rows, 0), np.int64)
        self._bindings: dict[int, Any] = {}
        self._bound: dict[int, Plan] = {}  # what the steps of so many rows have bound

    def span(self, count: int) -> int:
        """Rows that a step over `count` takes."""
        return count

    def run(self, tokens: Ids, lengths: Ids) -> None:
        """Append tokens, [count], to the first rows, of which row r holds `lengths[r]`."""
        count, wiring = len(tokens), self._wiring
        self._ids[:count, 0] = tokens
        needed = int(lengths[:count].max()) + 1
        if needed > self._mask.shape[1]:
            self._widen(needed)
        mask = self._mask[:count]
        np.less_equal(self._at, lengths[:count, None], out=mask)
        binding = self._bindings.get(count)
        if binding is None:
            binding = self._bindings[count] = wiring.binding(0, count)
            wiring.bind_host(binding, self._ids[:count], mask)
        plan = wiring.adapters.plan(0, count)
        if not _same(self._bound.get(count), plan):
            wiring.adapters.bind(binding, plan, 0, count)
            self._bound[count] = plan
        wiring.run(binding)

    def _widen(self, needed: int) -> None:
        """A wider mask has another address, so steps are bound anew."""
        width = min(-(-needed // MASK_STEP) * MASK_STEP, self._max_len)
        self._at, self._mask = np.arange(width), np.zeros((len(self._mask), width), np.int64)
        self._bindings.clear()
        self._bound.clear()


@dataclass(frozen=True)
class Shape:
    """Everything that a step of one shape reads and writes, each at one address, and how it runs."""

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

    Row counts and mask widths are rounded up; the rows that fill up a step are read by nobody, and write behind what
    they hold. The first run of a shape is ordinary, then it is captured, then replayed; weights of LoRA adapters are
    updated where they lie. Where adapters need other ranks, the shapes that wore the old ones are given up.
    """

    def __init__(self, wiring: Wiring, rows: int, max_len: int, *, capture: bool) -> None:
        self._wiring, self._capture = wiring, capture
        self._counts = sorted({*_doubling(1, rows), rows})
        self._widths = sorted({*_doubling(MASK_STEP, max_len), max_len})
        self._shapes: dict[tuple[int, int, Plan], Shape] = {}

    def span(self, count: int) -> int:
        """Rows that a step over `count` takes: the next of 1, 2, 4, … and all."""
        return next(size for size in self._counts if size >= count)

    def run(self, tokens: Ids, lengths: Ids) -> None:
        """Append tokens, [span], to the first rows, of which row r holds `lengths[r]`."""
        count = len(tokens)
        width = next(size for size in self._widths if size > lengths[:count].max())
        plan = self._wiring.adapters.plan(0, count)
        shape = self._shapes.get((count, width, plan)) or self._make(count, width, plan)
        shape.ids.update_inplace(tokens[:, None])
        shape.mask.update_inplace((np.arange(width) <= lengths[:count, None]).astype(np.int64))
        self._wiring.run(shape.binding, shape.options)

    def forget(self, kind: str | None = None) -> None:
        """Give up every shape, or those of one kind of plan; addresses that they hold may be gone."""
        for key in [key for key in self._shapes if kind in (None, key[2][0])]:
            graph_id = self._shapes.pop(key).graph_id
            release = getattr(self._wiring.session, "release_captured_graph", None)  # ONNX Runtime 1.31 and later
            if graph_id >= 0 and release is not None:
                release(graph_id)

    def _make(self, count: int, width: int, plan: Plan) -> Shape:
        if any(known[0] == plan[0] and known != plan for _, _, known in self._shapes):
            self.forget(plan[0])
        wiring, device = self._wiring, self._wiring.device
        ids, mask = zeros((count, 1), np.int64, device), zeros((count, width), np.int64, device)
        binding = wiring.binding(0, count)
        wiring.bind_values(binding, ids, mask)
        wiring.adapters.bind(binding, plan, 0, count)
        graph_id = next(_numbers) if self._capture else -1
        shape = self._shapes[count, width, plan] = Shape(binding, ids, mask, run_options(graph_id), graph_id)
        return shape


_numbers = itertools.count()  # of captured graphs: never one twice, whichever decoders share a session


def _doubling(first: int, bound: int) -> Iterator[int]:
    while first < bound:
        yield first
        first *= 2


def _same(bound: Plan | None, plan: Plan) -> bool:
    if bound is None or bound[0] != plan[0]:
        return False
    # The very same LoRA: comparing arrays would be slow, and a new one of equal numbers has other addresses.
    return bound[1] is plan[1] if plan[0] == "one" else bound[1] == plan[1]
