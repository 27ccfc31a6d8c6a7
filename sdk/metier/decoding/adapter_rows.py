"""Which LoRA each row of the decoder wears, bound to the graph's slots: one set for all rows, or one per row.

In host memory, rows that share a LoRA share its own arrays, untouched; rows that differ have theirs side by side on a
shelf that stays bound, and a row that changes is written in place. On a device all weights lie on shelves, at addresses
that hold: nothing is copied while nothing changes. It knows nothing about names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metier.contracts.bundle import Slot
from metier.decoding.lora import LoraArrays
from metier.decoding.lora_batch import Shelf
from metier.decoding.memory import address_of, zeros

Plan = tuple[str, object]
"""What a run binds: ("one", LoRA or None), or the version of a shelf: ("shared", n) of one row, ("each", n) of all."""


class _Free:
    """A row that nobody reads: it goes along with what the others wear."""


FREE = _Free()

Worn = LoraArrays | None | _Free


class AdapterRows:
    """The LoRA of every row. Not thread-safe: the engine thread owns it."""

    def __init__(self, slots: Sequence[Slot], rows: int, device: str = "cpu", *, resident: bool = False) -> None:
        """`resident`: all weights are to lie in the device's own memory, at addresses that hold."""
        self.slots, self._device, self._resident = tuple(slots), device, resident
        self._worn: list[Worn] = [FREE] * rows
        self._each = Shelf(slots, rows, device, resident=resident)
        self._shared = Shelf(slots, 1, device, resident=resident)
        self._settled: dict[tuple[int, int], Plan] = {}  # plans by (first, count), while nobody changes
        self._nothing = zeros((1,), np.float32, device)  # an address for inputs without elements

    def wear(self, row: int, lora: Worn) -> None:
        """From now on this row wears `lora`; None is the base, FREE is a row without a reader."""
        self._worn[row] = lora
        self._settled.clear()

    def move(self, source: int, target: int) -> None:
        """`target` takes what `source` wears; `source` is free."""
        self._worn[target], self._worn[source] = self._worn[source], FREE
        self._settled.clear()

    def plan(self, first: int, count: int) -> Plan:
        """What a run over `count` rows from `first` on must bind; brings the shelves up to date if it needs them."""
        if (first, count) not in self._settled:
            self._settled[first, count] = self._settle(first, count)
        return self._settled[first, count]

    def _settle(self, first: int, count: int) -> Plan:
        rows = range(first, first + count)
        everyone = [lora for lora in self._worn if not isinstance(lora, _Free)]
        # On a device a row's weights are copied once, to the shelf that the steps over all rows will use.
        concerned = everyone if self._resident else [w for row in rows if not isinstance(w := self._worn[row], _Free)]
        if all(lora is concerned[0] for lora in concerned):
            lora = concerned[0] if concerned else None
            if lora is None or not self._resident:
                return "one", lora
            self._shared.fit([lora])
            self._shared.put(0, lora)
            return "shared", self._shared.version
        # For all rows, not only these: a run over a few must not shrink what the next one needs.
        self._each.fit(everyone)
        for row in rows:
            if not isinstance(worn := self._worn[row], _Free):
                self._each.put(row, worn)
        return "each", self._each.version

    def bind(self, binding: Any, plan: Plan, first: int, count: int) -> None:
        """Bind every slot of `binding`, a run over `count` rows from `first` on."""
        kind, lora = plan
        if kind == "each":
            self._each.bind(binding, first, count)
        elif kind == "shared":
            self._shared.bind(binding, 0, 1)
        else:
            self._bind_own(binding, lora if isinstance(lora, LoraArrays) else None)

    def _bind_own(self, binding: Any, lora: LoraArrays | None) -> None:
        """One LoRA's own arrays, in host memory, for all rows; rank 0 where it has none for a slot."""
        for slot in self.slots:
            one = lora if lora is not None and slot.a in lora.ranks else None
            rank = 0 if one is None else len(slot.parts) * one.ranks[slot.a]
            for name, side, shape in (
                (slot.a, None if one is None else one.a[slot.a], (1, slot.in_features, rank)),
                (slot.b, None if one is None else one.b[slot.a], (1, rank, slot.out_features)),
            ):
                where = address_of(self._nothing) if side is None else side.ctypes.data
                binding.bind_input(name, self._device, 0, np.dtype(slot.dtype).type, shape, where)
