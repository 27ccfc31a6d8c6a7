"""Which LoRA each row of the decoder wears, bound to the graph's slots: one set for all rows, or one per row.

Rows that share a LoRA share its arrays, untouched. Rows that differ have theirs stacked, [rows, in, rank], in buffers
that stay bound; a row that changes is written in place. It knows arrays and bindings; it knows nothing about names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.contracts.bundle import Slot
from metier.runtime.lora import LoraArrays

Plan = tuple[str, object]
"""What a run binds: ("one", LoRA or None) or ("each", version of the stacked buffers)."""


class _Free:
    """A row that nobody reads: it goes along with what the others wear."""


FREE = _Free()
_STALE = _Free()

Worn = LoraArrays | None | _Free


class AdapterRows:
    """The LoRA of every row. Not thread-safe: the engine thread owns it."""

    def __init__(self, slots: Sequence[Slot], rows: int, *, copies: bool) -> None:
        """`copies`: whether ONNX Runtime copies inputs when they are bound (a device's memory), so that a row written
        later must be bound again."""
        self.slots = tuple(slots)
        self._worn: list[Worn] = [FREE] * rows
        self._held: list[Worn] = [_STALE] * rows  # what the stacked buffers hold
        self._ranks = dict.fromkeys((slot.a for slot in slots), 0)
        self._stack: dict[str, npt.NDArray[Any]] = {}
        self._version, self._copies = 0, copies
        self._settled: dict[tuple[int, int], Plan] = {}  # plans by (first, count), while nobody changes
        self._nothing = np.zeros(1, np.float32)  # an address for inputs without elements

    def wear(self, row: int, lora: Worn) -> None:
        """From now on this row wears `lora`; None is the base, FREE is a row without a reader."""
        self._worn[row] = lora
        self._settled.clear()

    def move(self, source: int, target: int) -> None:
        """`target` takes what `source` wears; `source` is free."""
        self._worn[target], self._worn[source] = self._worn[source], FREE
        self._settled.clear()

    def plan(self, first: int, count: int) -> Plan:
        """What a run over `count` rows from `first` on must bind; brings the stacked buffers up to date if it needs
        them."""
        if (first, count) not in self._settled:
            self._settled[first, count] = self._settle(first, count)
        return self._settled[first, count]

    def _settle(self, first: int, count: int) -> Plan:
        worn = [lora for lora in self._worn[first : first + count] if not isinstance(lora, _Free)]
        if all(lora is worn[0] for lora in worn):
            return "one", worn[0] if worn else None
        # For all rows, not only these: a run over a few must not shrink what the next one needs.
        self._size([lora for lora in self._worn if not isinstance(lora, _Free)])
        for row in range(first, first + count):
            lora = self._worn[row]
            if lora is not self._held[row] and not isinstance(lora, _Free):
                self._write(row, lora)
                self._held[row] = lora
                self._version += self._copies
        return "each", self._version

    def bind(self, binding: Any, plan: Plan, first: int, count: int) -> None:
        """Bind every slot of `binding`, a run over `count` rows from `first` on."""
        kind, lora = plan
        for slot in self.slots:
            if kind == "each":
                rank = len(slot.parts) * self._ranks[slot.a]
                a, b, rows = self._stack.get(slot.a), self._stack.get(slot.b), count
                a, b = (None, None) if a is None or b is None else (a[first:], b[first:])
            else:
                one = lora if isinstance(lora, LoraArrays) and slot.a in lora.ranks else None
                rank = 0 if one is None else len(slot.parts) * one.ranks[slot.a]
                a, b, rows = (None, None, 1) if one is None else (one.a[slot.a], one.b[slot.a], 1)
            for name, array, shape in (
                (slot.a, a, (rows, slot.in_features, rank)),
                (slot.b, b, (rows, rank, slot.out_features)),
            ):
                where = self._nothing if array is None else array
                binding.bind_input(name, "cpu", 0, np.dtype(slot.dtype).type, shape, where.ctypes.data)

    def _size(self, worn: Sequence[LoraArrays | None]) -> None:
        """Make the stacked buffers' ranks fit what is worn; others than before mean new buffers, all rows written."""
        needed = {
            slot.a: max((lora.ranks.get(slot.a, 0) for lora in worn if lora is not None), default=0)
            for slot in self.slots
        }
        # A little room is kept, so that one request of a higher rank does not mean new buffers twice.
        if all(rank <= self._ranks[a] <= 2 * rank for a, rank in needed.items()):
            return
        self._ranks, rows = needed, len(self._worn)
        shapes: dict[str, tuple[int, int, int]] = {}
        for slot in self.slots:
            width = len(slot.parts) * needed[slot.a]
            shapes[slot.a] = rows, slot.in_features, width
            shapes[slot.b] = rows, width, slot.out_features
        # One block, large enough for the system's huge pages: a step reads all of it, from end to end.
        block = np.zeros(sum(map(math.prod, shapes.values())), self.slots[0].dtype)
        start = 0
        for name, shape in shapes.items():
            end = start + math.prod(shape)
            self._stack[name], start = block[start:end].reshape(shape), end
        self._held = [_STALE] * rows
        self._version += 1

    def _write(self, row: int, lora: LoraArrays | None) -> None:
        for slot in self.slots:
            rank, parts = self._ranks[slot.a], len(slot.parts)
            if rank == 0:
                continue
            a, b = self._stack[slot.a][row], self._stack[slot.b][row]  # [in, parts · rank], [parts · rank, out]
            own = 0 if lora is None else lora.ranks.get(slot.a, 0)
            if lora is not None and own == rank:
                a[...], b[...] = lora.a[slot.a], lora.b[slot.a]
                continue
            # Zeros in B are enough for what is not worn; A's old numbers are finite, and meet them.
            padded = b.reshape(parts, rank, -1)
            padded[:, own:] = 0
            if lora is not None and own:
                a.reshape(-1, parts, rank)[:, :, :own] = lora.a[slot.a].reshape(-1, parts, own)
                padded[:, :own] = lora.b[slot.a].reshape(parts, own, -1)
