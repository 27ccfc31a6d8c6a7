"""LoRA weights of several rows side by side, [rows, in, rank] and [rows, rank, out], at addresses that stay
fixed while the ranks do. It knows arrays and memory; it does not know which LoRA is active in which row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.contracts.bundle import Slot
from metier.decoding.lora import LoraArrays
from metier.decoding.memory import address_of, rows_of, zeros

Array = npt.NDArray[Any]


class LoraBatch:
    """Memory for one LoRA per row, of any rank up to the reserved one; a lower rank is padded with zeros."""

    def __init__(self, slots: Sequence[Slot], rows: int, device: str, *, resident: bool) -> None:
        """`resident`: hold the weights in the device's own memory, where a row is written by a copy to the device."""
        self._slots, self._rows, self._device, self._resident = tuple(slots), rows, device, resident
        self._ranks = dict.fromkeys((slot.a for slot in slots), 0)
        self._written: list[object] = [_STALE] * rows
        self._arrays: dict[str, Array] = {}
        self._values: dict[str, Any] = {}
        self.version = 0
        """Grows when addresses or ranks change, so that what was bound must be bound again."""

    def reserve(self, loras: Sequence[LoraArrays | None]) -> None:
        """Allocate memory for all of `loras` at once, unless it is there; after an allocation every row is empty."""
        needed = {
            slot.a: max((lora.ranks.get(slot.a, 0) for lora in loras if lora is not None), default=0)
            for slot in self._slots
        }
        # Some room is kept, so that one request of a higher rank does not mean new buffers twice.
        if self.version and all(rank <= self._ranks[a] <= 2 * rank for a, rank in needed.items()):
            return
        self._ranks = needed
        shapes: dict[str, tuple[int, int, int]] = {}
        for slot in self._slots:
            width = len(slot.parts) * needed[slot.a]
            shapes[slot.a] = self._rows, slot.in_features, width
            shapes[slot.b] = self._rows, width, slot.out_features
        dtype = np.dtype(self._slots[0].dtype)
        if self._resident:
            # An input without elements must still have an address.
            padded = {name: shape if math.prod(shape) else (1,) for name, shape in shapes.items()}
            self._values = {name: zeros(shape, dtype, self._device) for name, shape in padded.items()}
        else:
            # One block, large enough for the system's huge pages: a step reads all of it, from end to end.
            block, start = np.zeros(sum(map(math.prod, shapes.values())), dtype), 0
            for name, shape in shapes.items():
                end = start + math.prod(shape)
                self._arrays[name], start = block[start:end].reshape(shape), end
        self._written = [_STALE] * self._rows
        self.version += 1

    def write(self, row: int, lora: LoraArrays | None) -> None:
        """The row's weights are now `lora`'s; None adds nothing."""
        if self._written[row] is lora:
            return
        for slot in self._slots:
            if self._ranks[slot.a]:
                self._write_slot(row, slot, lora)
        self._written[row] = lora

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Bind every slot of a run over `count` rows from `first` on."""
        for slot in self._slots:
            rank = len(slot.parts) * self._ranks[slot.a]
            for name, shape in (
                (slot.a, (count, slot.in_features, rank)),
                (slot.b, (count, rank, slot.out_features)),
            ):
                address = (
                    address_of(self._values[name], first) if self._resident else self._arrays[name][first:].ctypes.data
                )
                binding.bind_input(name, self._device, 0, np.dtype(slot.dtype).type, shape, address)

    def _write_slot(self, row: int, slot: Slot, lora: LoraArrays | None) -> None:
        rank, own = self._ranks[slot.a], 0 if lora is None else lora.ranks.get(slot.a, 0)
        if not self._resident:
            pad(slot, lora, rank, self._arrays[slot.a][row], self._arrays[slot.b][row])
            return
        if lora is not None and own == rank:
            a, b = lora.a[slot.a], lora.b[slot.a]
        else:
            width = len(slot.parts) * rank
            a, b = (np.zeros(shape, slot.dtype) for shape in ((slot.in_features, width), (width, slot.out_features)))
            pad(slot, lora, rank, a, b)
        rows_of(self._values[slot.a], row).update_inplace(a)
        rows_of(self._values[slot.b], row).update_inplace(b)


def pad(slot: Slot, lora: LoraArrays | None, rank: int, a: Array, b: Array) -> None:
    """Write a LoRA's weights into `a`, [in, parts · rank], and `b`, [parts · rank, out], of its own rank or higher."""
    parts, own = len(slot.parts), 0 if lora is None else lora.ranks.get(slot.a, 0)
    if lora is not None and own == rank:
        a[...], b[...] = lora.a[slot.a], lora.b[slot.a]
        return
    # Zeros in B are enough for the ranks that are not used: what A still holds there is finite.
    padded = b.reshape(parts, rank, -1)
    padded[:, own:] = 0
    if lora is not None and own:
        a.reshape(-1, parts, rank)[:, :, :own] = lora.a[slot.a].reshape(-1, parts, own)
        padded[:, :own] = lora.b[slot.a].reshape(parts, own, -1)


_STALE = object()
