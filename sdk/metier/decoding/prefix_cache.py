"""Remembers what tokens each row's KV holds, live or left behind, so that a prompt that begins alike need not be read
again. The LoRA counts: the same tokens under another LoRA have other KV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHORTEST = 16
"""Tokens: below that a copy costs about as much as reading them in the same prefill run."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """A row whose KV begins like a prompt."""

    row: int
    length: int
    """Tokens in common."""


class Prefixes:
    """What every row's KV holds. Not thread-safe: the engine thread owns it."""

    def __init__(self, rows: int) -> None:
        self._held: list[tuple[object, Ids] | None] = [None] * rows
        self.reused = 0
        """Prompt tokens that did not have to be read."""

    def hold(self, row: int, lora: object, ids: Ids) -> None:
        """The row's KV now holds these tokens, read under this LoRA."""
        self._held[row] = (lora, ids)

    def length(self, row: int) -> int:
        """Tokens that the row's KV holds."""
        held = self._held[row]
        return 0 if held is None else len(held[1])

    def spoil(self, row: int) -> None:
        """The row's KV holds nothing that can be relied on."""
        self._held[row] = None

    def move(self, source: int, target: int) -> None:
        """The target's KV is now a copy of the source's."""
        self._held[target] = self._held[source]

    def best(self, lora: object, prompt: Ids, rows: list[int]) -> Found | None:
        """The one of `rows` that begins most like the prompt, whose last token is left to be read: it gives logits."""
        best: Found | None = None
        for row in rows:
            held = self._held[row]
            if held is None or held[0] is not lora:
                continue
            size = min(len(held[1]), len(prompt) - 1)
            differs = np.flatnonzero(held[1][:size] != prompt[:size])
            length = int(differs[0]) if len(differs) else size
            if length >= SHORTEST and (best is None or length > best.length):
                best = Found(row, length)
        return best
