"""Records which tokens each row's KV holds, of active and released rows, so that a prompt with a known beginning is not
prefilled again. The LoRA counts: the same tokens under another LoRA have other KV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MIN_PREFIX = 16
"""Tokens: below that a copy costs about as much as reading them in the same prefill run."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PrefixMatch:
    """A row whose KV begins like a prompt."""

    row: int
    length: int
    """Tokens in common."""


class PrefixCache:
    """What every row's KV holds. Not thread-safe: the engine thread owns it."""

    def __init__(self, rows: int) -> None:
        self._entries: list[tuple[object, Ids] | None] = [None] * rows
        self.reused_tokens = 0
        """Prompt tokens that were copied or kept instead of prefilled."""

    def store(self, row: int, lora: object, ids: Ids) -> None:
        """The row's KV now holds these tokens, computed under this LoRA."""
        self._entries[row] = (lora, ids)

    def length(self, row: int) -> int:
        """Tokens that the row's KV holds."""
        entry = self._entries[row]
        return 0 if entry is None else len(entry[1])

    def invalidate(self, row: int) -> None:
        """The row's KV is not known any more."""
        self._entries[row] = None

    def move(self, source: int, target: int) -> None:
        """The target's KV is now a copy of the source's."""
        self._entries[target] = self._entries[source]

    def longest_match(self, lora: object, prompt: Ids, rows: list[int]) -> PrefixMatch | None:
        """The one of `rows` that shares the longest beginning with the prompt, `MIN_PREFIX` tokens or more.

        The prompt's last token never counts: a step must read it to compute logits.
        """
        best: PrefixMatch | None = None
        for row in rows:
            entry = self._entries[row]
            if entry is None or entry[0] is not lora:
                continue
            length = common_prefix(entry[1], prompt[:-1])
            if length >= MIN_PREFIX and (best is None or length > best.length):
                best = PrefixMatch(row, length)
        return best


def common_prefix(one: Ids, other: Ids) -> int:
    """Tokens that both begin with."""
    size = min(len(one), len(other))
    differs = np.flatnonzero(one[:size] != other[:size])
    return int(differs[0]) if len(differs) else size
