"""A KV cache that grows without copying itself at every token. It knows nothing about prompts."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

_SPARE = 64


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A `DynamicLayer` whose buffers have spare length: transformers' own concatenates everything for each token.

    `keys` and `values` stay views of the filled part, `[rows, kv_heads, length, head_dim]`, so that everything else
    in transformers (masks, lengths) works unchanged.
    """

    keys: Any
    values: Any
    _key_buffer: torch.Tensor
    _value_buffer: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Empty buffers of the first states' shape."""
        super().lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self._key_buffer, self._value_buffer = self.keys, self.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append states `[rows, kv_heads, new, head_dim]`; returns everything filled so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[2]
        end = start + key_states.shape[2]
        if end > self._key_buffer.shape[2]:
            self._key_buffer = _with_spare(self.keys, end)
            self._value_buffer = _with_spare(self.values, end)
        self._key_buffer[:, :, start:end] = key_states
        self._value_buffer[:, :, start:end] = value_states
        self.keys, self.values = self._key_buffer[:, :, :end], self._value_buffer[:, :, :end]
        return self.keys, self.values

    def take_rows(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may be taken many times (a prefix shared by a batch)."""
        self.keys = self._key_buffer = self.keys.index_select(0, rows)
        self.values = self._value_buffer = self.values.index_select(0, rows)


def _with_spare(filled: torch.Tensor, length: int) -> torch.Tensor:
    rows, heads, start, dim = filled.shape
    buffer = filled.new_empty(rows, heads, length + max(_SPARE, length // 4), dim)
    buffer[:, :, :start] = filled
    return buffer


def new_cache(model: Any) -> DynamicCache:
    """An empty cache for a model; sliding-window and linear layers stay transformers' own."""
    cache = DynamicCache(config=model.config)
    growing: Any = GrowingLayer
    cache.layers = [growing() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def is_plain(cache: DynamicCache) -> bool:
    """Whether all layers attend to all tokens, so that padding may be anywhere behind a mask."""
    return all(isinstance(layer, GrowingLayer) for layer in cache.layers)


def take_rows(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Keep these rows of every layer, in this order, repeated where they occur twice."""
    layers: list[Any] = cache.layers
    for layer in layers:
        if isinstance(layer, GrowingLayer):
            layer.take_rows(rows)
        else:
            layer.reorder_cache(rows)
