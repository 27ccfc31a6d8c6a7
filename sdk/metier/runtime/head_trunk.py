"""A trunk in memory: rows of tokens in, hidden states out. It knows neither heads nor tasks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from metier.contracts import BundleError
from metier.contracts.heads import TrunkEntry
from metier.decoding.device import DeviceSession
from metier.runtime.head_tokens import Row

HiddenStates = np.ndarray[Any, np.dtype[np.float32]]

AT_ONCE = 32
"""Texts in one pass, at most."""
PASS_BYTES = 64 << 20
"""Bytes of hidden states that one pass returns, at most: all layers of a decoder over long texts are large."""
CACHE_BYTES = 32 << 20
"""Bytes of hidden states in the cache: several heads over one text, or one query over many texts, cost one pass."""


class Trunk:
    """One trunk's session, and a cache of the hidden states of recent texts. Safe to use from any thread."""

    def __init__(self, opened: DeviceSession, entry: TrunkEntry, where: str, cache_bytes: int = CACHE_BYTES) -> None:
        """
        Raises:
            BundleError: the graph's outputs are not those of the manifest.
        """
        self._session, self._entry, self._cache_bytes = opened.session, entry, cache_bytes
        given = {node.name: node.shape for node in self._session.get_outputs()}
        for layer in entry.layers:
            if given.get(f"layer.{layer}", [None])[-1] != entry.width:
                raise BundleError(
                    f"the trunk {entry.name} has no output layer.{layer} of width {entry.width}",
                    where=where,
                    remedy="export or fetch the bundle again",
                )
        # A static embedding alone attends to nothing, and its graph takes no mask.
        self._input_names = {node.name for node in self._session.get_inputs()}
        self._cache: OrderedDict[tuple[int, ...], dict[int, HiddenStates]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.passes = 0
        """Texts that went through the graph."""

    @property
    def width(self) -> int:
        """Of a hidden state."""
        return self._entry.width

    def pooled(self, rows: Sequence[Row], layers: Sequence[int]) -> list[HiddenStates]:
        """For each row, the means of its groups' hidden states, [layers, groups, width].

        A text that several rows share, or that is in the cache, is not computed again.
        """
        waiting: dict[tuple[int, ...], list[int]] = {}
        for i, row in enumerate(rows):
            waiting.setdefault(row.ids, []).append(i)
        found: dict[int, HiddenStates] = {}

        def take(ids: tuple[int, ...], by_layer: dict[int, HiddenStates]) -> None:
            states = np.stack([by_layer[layer] for layer in layers])  # [layers, tokens, width]
            found.update({i: _means(states, rows[i]) for i in waiting[ids]})

        missing = []
        for ids in waiting:
            if (cached := self._cached(ids, layers)) is not None:
                take(ids, cached)
            else:
                missing.append(ids)
        for part in self._passes(missing, layers):
            for ids, by_layer in self._run(part, layers).items():
                take(ids, by_layer)
                self._store(ids, by_layer)
        return [found[i] for i in range(len(rows))]

    def clear_cache(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._cache.clear()
            self._bytes = 0

    def _passes(self, texts: Sequence[tuple[int, ...]], layers: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
        """Texts of similar length together, as many as fit a pass."""
        part: list[tuple[int, ...]] = []
        for ids in sorted(texts, key=len):
            size = 4 * (len(part) + 1) * len(ids) * self._entry.width * len(layers)
            if part and (len(part) == AT_ONCE or size > PASS_BYTES):
                yield part
                part = []
            part.append(ids)
        if part:
            yield part

    def _run(
        self, texts: Sequence[tuple[int, ...]], layers: Sequence[int]
    ) -> dict[tuple[int, ...], dict[int, HiddenStates]]:
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        fed = {
            name: value for name, value in (("input_ids", ids), ("attention_mask", mask)) if name in self._input_names
        }
        given = self._session.run([f"layer.{n}" for n in layers], fed)
        with self._lock:
            self.passes += len(texts)
        return {
            text: {layer: out[row, : len(text)].copy() for layer, out in zip(layers, given, strict=True)}
            for row, text in enumerate(texts)
        }

    def _cached(self, ids: tuple[int, ...], layers: Sequence[int]) -> dict[int, HiddenStates] | None:
        with self._lock:
            cached = self._cache.get(ids)
            if cached is None or not all(layer in cached for layer in layers):
                return None
            self._cache.move_to_end(ids)
            return cached

    def _store(self, ids: tuple[int, ...], by_layer: dict[int, HiddenStates]) -> None:
        with self._lock:
            before = self._cache.pop(ids, {})
            self._cache[ids] = {**before, **by_layer}
            self._bytes += _size(self._cache[ids]) - _size(before)
            while self._bytes > self._cache_bytes:
                self._bytes -= _size(self._cache.popitem(last=False)[1])


def _size(by_layer: dict[int, HiddenStates]) -> int:
    return sum(states.nbytes for states in by_layer.values())


def _means(states: HiddenStates, row: Row) -> HiddenStates:
    weights = np.zeros((len(row.groups), len(row.ids)), np.float32)
    for group, members in enumerate(row.groups):
        weights[group, list(members)] = 1 / len(members)
    return np.asarray(weights @ states)
