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
"""Of the hidden states that one pass hands out, at most: all layers of a decoder over long texts are many."""
KEPT_BYTES = 32 << 20
"""Of hidden states kept: several heads over one text, and one query over many texts, cost one pass."""


class Trunk:
    """One trunk's session and the hidden states of the texts it read last. Safe to use from any thread."""

    def __init__(self, opened: DeviceSession, entry: TrunkEntry, where: str, kept_bytes: int = KEPT_BYTES) -> None:
        """
        Raises:
            BundleError: the graph does not give what the manifest says.
        """
        self._session, self._entry, self._kept_bytes = opened.session, entry, kept_bytes
        given = {node.name: node.shape for node in self._session.get_outputs()}
        for layer in entry.layers:
            if given.get(f"layer.{layer}", [None])[-1] != entry.width:
                raise BundleError(
                    f"the trunk {entry.name} gives no layer.{layer} of width {entry.width}",
                    where=where,
                    remedy="export or fetch the bundle again",
                )
        # A static embedding alone attends to nothing, and its graph takes no mask.
        self._takes = {node.name for node in self._session.get_inputs()}
        self._kept: OrderedDict[tuple[int, ...], dict[int, HiddenStates]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.passes = 0
        """Texts that went through the graph."""

    @property
    def width(self) -> int:
        """Of a hidden state."""
        return self._entry.width

    def pooled(self, rows: Sequence[Row], layers: Sequence[int]) -> list[HiddenStates]:
        """Of each row the means of its groups' hidden states, [layers, groups, width]. A text that stands in several
        rows, or was read a moment ago, is not read again."""
        waiting: dict[tuple[int, ...], list[int]] = {}
        for i, row in enumerate(rows):
            waiting.setdefault(row.ids, []).append(i)
        found: dict[int, HiddenStates] = {}

        def take(ids: tuple[int, ...], by_layer: dict[int, HiddenStates]) -> None:
            states = np.stack([by_layer[layer] for layer in layers])  # [layers, tokens, width]
            found.update({i: _means(states, rows[i]) for i in waiting[ids]})

        unread = []
        for ids in waiting:
            if (kept := self._look(ids, layers)) is not None:
                take(ids, kept)
            else:
                unread.append(ids)
        for part in self._passes(unread, layers):
            for ids, by_layer in self._read(part, layers).items():
                take(ids, by_layer)
                self._keep(ids, by_layer)
        return [found[i] for i in range(len(rows))]

    def clear_cache(self) -> None:
        """Let go of what is kept, so that the next text takes the time of a new one."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _passes(self, texts: Sequence[tuple[int, ...]], layers: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
        """Texts of like length together, as many as a pass takes."""
        part: list[tuple[int, ...]] = []
        for ids in sorted(texts, key=len):
            size = 4 * (len(part) + 1) * len(ids) * self._entry.width * len(layers)
            if part and (len(part) == AT_ONCE or size > PASS_BYTES):
                yield part
                part = []
            part.append(ids)
        if part:
            yield part

    def _read(
        self, texts: Sequence[tuple[int, ...]], layers: Sequence[int]
    ) -> dict[tuple[int, ...], dict[int, HiddenStates]]:
        ids = np.zeros((len(texts), max(map(len, texts))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        fed = {name: value for name, value in (("input_ids", ids), ("attention_mask", mask)) if name in self._takes}
        given = self._session.run([f"layer.{n}" for n in layers], fed)
        with self._lock:
            self.passes += len(texts)
        return {
            text: {layer: out[row, : len(text)].copy() for layer, out in zip(layers, given, strict=True)}
            for row, text in enumerate(texts)
        }

    def _look(self, ids: tuple[int, ...], layers: Sequence[int]) -> dict[int, HiddenStates] | None:
        with self._lock:
            kept = self._kept.get(ids)
            if kept is None or not all(layer in kept for layer in layers):
                return None
            self._kept.move_to_end(ids)
            return kept

    def _keep(self, ids: tuple[int, ...], by_layer: dict[int, HiddenStates]) -> None:
        with self._lock:
            before = self._kept.pop(ids, {})
            self._kept[ids] = {**before, **by_layer}
            self._bytes += _size(self._kept[ids]) - _size(before)
            while self._bytes > self._kept_bytes:
                self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(by_layer: dict[int, HiddenStates]) -> int:
    return sum(states.nbytes for states in by_layer.values())


def _means(states: HiddenStates, row: Row) -> HiddenStates:
    weights = np.zeros((len(row.groups), len(row.ids)), np.float32)
    for group, members in enumerate(row.groups):
        weights[group, list(members)] = 1 / len(members)
    return np.asarray(weights @ states)
