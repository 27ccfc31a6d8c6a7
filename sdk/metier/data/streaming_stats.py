"""Statistics of a stream of rows in bounded memory: repeats, samples, lengths and scripts of columns."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from math import ceil
from typing import Any

from metier.contracts.schema import Data

DISTINCT_BOUND = 200_000
"""Hashes kept exactly (about 15 MB); beyond it half of them are dropped, repeatedly."""
RESERVOIR = 10_000


class Doubles:
    """How many items repeat an earlier one. Exact up to DISTINCT_BOUND distinct items, then an estimate from the
    share whose hash ends in zeros (adaptive sampling, Flajolet 1990): unbiased, since a repeat has the same hash."""

    def __init__(self, bound: int = DISTINCT_BOUND) -> None:
        self._bound, self._mask = bound, 0
        self._seen: dict[int, int] = {}

    def add(self, text: str) -> None:
        """Count one item."""
        key = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        if key & self._mask:
            return
        self._seen[key] = self._seen.get(key, 0) + 1
        while len(self._seen) > self._bound:
            self._mask = self._mask * 2 + 1
            self._seen = {k: n for k, n in self._seen.items() if not k & self._mask}

    @property
    def estimated(self) -> bool:
        """Whether the number is an estimate."""
        return self._mask > 0

    @property
    def count(self) -> int:
        """Items that repeat an earlier one."""
        return sum(n - 1 for n in self._seen.values()) * (self._mask + 1)


class Reservoir:
    """A uniform sample of a stream (Vitter 1985, algorithm R), seeded."""

    def __init__(self, size: int = RESERVOIR, seed: int = 0) -> None:
        self.items: list[Any] = []
        self._size, self._seen, self._random = size, 0, random.Random(seed)

    def add(self, item: Any) -> None:
        """Offer one item."""
        self._seen += 1
        if len(self.items) < self._size:
            self.items.append(item)
        elif (place := int(self._random.random() * self._seen)) < self._size:
            self.items[place] = item


class Lengths(Data):
    """Lengths in characters."""

    shortest: int
    median: int
    mean: float
    p95: int
    longest: int


def quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest value of a sorted, non-empty sample that at least `share` of the sample does not exceed.

    The nearest-rank definition for every share, so that a larger share never gives a smaller value.
    """
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


class ColumnReport(Data):
    """One column, or one field of a task."""

    name: str
    filled: int
    empty: int
    lengths: Lengths | None = None
    """None where every cell is empty. Median and p95 are of a random 10,000 beyond that many rows."""
    languages: dict[str, float] = {}
    """Guess by script → share of the filled cells: en-like Latin text is `latin`."""


class Column:
    """Counts of one column, as its cells go by."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filled = self.empty = self._total = self._longest = 0
        self._shortest = 1 << 62
        self._lengths = Reservoir()
        self._scripts: dict[str, int] = {}

    def add(self, text: str) -> None:
        """Count one cell."""
        if not text.strip():
            self.empty += 1
            return
        self.filled += 1
        size = len(text)
        self._total += size
        self._longest = max(self._longest, size)
        self._shortest = min(self._shortest, size)
        self._lengths.add(size)
        script = script_of(text)
        self._scripts[script] = self._scripts.get(script, 0) + 1

    def report(self) -> ColumnReport:
        """What was counted."""
        if not self.filled:
            return ColumnReport(name=self.name, filled=0, empty=self.empty)
        sample = sorted(self._lengths.items)
        lengths = Lengths(
            shortest=self._shortest,
            median=quantile(sample, 0.5),
            mean=round(self._total / self.filled, 1),
            p95=quantile(sample, 0.95),
            longest=self._longest,
        )
        ranked = sorted(self._scripts.items(), key=lambda item: -item[1])
        languages = {script: round(n / self.filled, 4) for script, n in ranked}
        return ColumnReport(name=self.name, filled=self.filled, empty=self.empty, lengths=lengths, languages=languages)


_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),  # only Japanese has kana
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u3400-\u9fff]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("devanagari", re.compile("[\u0900-\u097f]")),
    ("thai", re.compile("[\u0e00-\u0e7f]")),
)
_LETTER = re.compile("[A-Za-z\u00c0-\u024f]")


def script_of(text: str) -> str:
    """A language where the script identifies it (zh, ja, ko), else the script; `none` for text without letters."""
    if not text.isascii():
        for name, pattern in _SCRIPTS:
            if pattern.search(text):
                return name
    return "latin" if _LETTER.search(text) else "none"
