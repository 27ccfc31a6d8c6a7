"""Blocks tokens that would repeat an n-gram of the reply. It sees the reply only, not the prompt: words of the input
may be repeated, and often must be."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import numpy.typing as npt


class NgramBlock:
    """Blocks n-grams of `size` tokens that occur in the reply already (arXiv 1705.04304, section 2.5)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: list[int] = []
        self._followers: dict[tuple[int, ...], set[int]] = {}

    @property
    def _last(self) -> tuple[int, ...] | None:
        before = self._size - 1
        return tuple(self._ids[len(self._ids) - before :]) if len(self._ids) >= before else None

    def blocked(self) -> set[int]:
        """Tokens that would complete an n-gram for the second time."""
        return self._followers.get(self._last, set()) if self._last is not None else set()

    def accept(self, token: int) -> None:
        """Append the reply's next token."""
        if (last := self._last) is not None:
            self._followers.setdefault(last, set()).add(token)
        self._ids.append(token)


def without(blocked: Set[int], allowed: npt.NDArray[np.bool_] | None, vocab_size: int) -> npt.NDArray[np.bool_] | None:
    """What a grammar allows, `[vocab_size]`, less what is blocked; the grammar alone if nothing would be left."""
    if not blocked:
        return allowed
    free = np.ones(vocab_size, np.bool_) if allowed is None else allowed.copy()
    free[list(blocked)] = False
    return free if free.any() else allowed
