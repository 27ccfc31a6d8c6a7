"""Which LoRA is active in each row of the decoder, bound to the graph's slots: one set for all rows, or one per row.

In host memory, rows that share a LoRA share its arrays without a copy; rows that differ have theirs side by side in a
`LoraBatch` that stays bound, and a row that changes is written in place. On a device all weights lie in such batches,
at fixed addresses: nothing is copied while nothing changes. It knows nothing about names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metier.contracts.bundle import Slot
from metier.decoding.lora import LoraArrays
from metier.decoding.lora_batch import LoraBatch
from metier.decoding.memory import address_of, zeros

Plan = tuple[str, object]
"""What a run binds: ("one", LoRA or None), or the version of a batch: ("shared", n) of one row, ("each", n) of all."""


class _Idle:
    """State of a row without a request: a step over it may compute with any LoRA."""


_IDLE = _Idle()


class AdapterRows:
    """The LoRA of every row. Not thread-safe: the engine thread owns it."""

    def __init__(self, slots: Sequence[Slot], rows: int, device: str = "cpu", *, resident: bool = False) -> None:
        """`resident`: keep all weights in the device's own memory, at fixed addresses."""
        self.slots, self._device, self._resident = tuple(slots), device, resident
        self._active: list[LoraArrays | _Idle | None] = [_IDLE] * rows
        self._per_row = LoraBatch(slots, rows, device, resident=resident)
        self._shared = LoraBatch(slots, 1, device, resident=resident)
        self._plans: dict[tuple[int, int], Plan] = {}  # by (first, count), until a row changes
        self._empty = zeros((1,), np.float32, device)  # an address for inputs without elements

    def load(self, row: int, lora: LoraArrays | None) -> None:
        """Make `lora` active in this row; None is the base."""
        self._active[row] = lora
        self._plans.clear()

    def unload(self, row: int) -> None:
        """The row has no request any more."""
        self._active[row] = _IDLE
        self._plans.clear()

    def move(self, source: int, target: int) -> None:
        """`target` takes over the LoRA of `source`, which is then idle."""
        self._active[target], self._active[source] = self._active[source], _IDLE
        self._plans.clear()

    def plan(self, first: int, count: int) -> Plan:
        """What a run over `count` rows from `first` on must bind; writes weights into the batches where needed."""
        if (first, count) not in self._plans:
            self._plans[first, count] = self._prepare(first, count)
        return self._plans[first, count]

    def _prepare(self, first: int, count: int) -> Plan:
        rows = range(first, first + count)
        every = [lora for lora in self._active if not isinstance(lora, _Idle)]
        # On a device a row's weights are copied once, to the batch that the steps over all rows will use.
        needed = every if self._resident else [one for row in rows if not isinstance(one := self._active[row], _Idle)]
        if all(lora is needed[0] for lora in needed):
            lora = needed[0] if needed else None
            if lora is None or not self._resident:
                return "one", lora
            self._shared.reserve([lora])
            self._shared.write(0, lora)
            return "shared", self._shared.version
        # For all rows, not only these: a run over a few must not shrink what the next one needs.
        self._per_row.reserve(every)
        for row in rows:
            if not isinstance(active := self._active[row], _Idle):
                self._per_row.write(row, active)
        return "each", self._per_row.version

    def bind(self, binding: Any, plan: Plan, first: int, count: int) -> None:
        """Bind every slot of `binding`, a run over `count` rows from `first` on."""
        kind, lora = plan
        if kind == "each":
            self._per_row.bind(binding, first, count)
        elif kind == "shared":
            self._shared.bind(binding, 0, 1)
        else:
            self._bind_one(binding, lora if isinstance(lora, LoraArrays) else None)

    def _bind_one(self, binding: Any, lora: LoraArrays | None) -> None:
        """One LoRA's own arrays, in host memory, for all rows; rank 0 for slots that it does not touch."""
        for slot in self.slots:
            one = lora if lora is not None and slot.a in lora.ranks else None
            rank = 0 if one is None else len(slot.parts) * one.ranks[slot.a]
            for name, side, shape in (
                (slot.a, None if one is None else one.a[slot.a], (1, slot.in_features, rank)),
                (slot.b, None if one is None else one.b[slot.a], (1, rank, slot.out_features)),
            ):
                address = address_of(self._empty) if side is None else side.ctypes.data
                binding.bind_input(name, self._device, 0, np.dtype(slot.dtype).type, shape, address)
