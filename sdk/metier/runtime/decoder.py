"""The decoder graph with its memory: one KV buffer per layer for all rows, bound once as both past and present.

It runs prompt chunks and decode steps over rows; it knows nothing about requests, sampling or text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from metier.contracts import BundleError, ResourceError
from metier.contracts.bundle import Graph, Slot
from metier.runtime.adapter_rows import AdapterRows, Plan
from metier.runtime.device import Opened

Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]

MASK_STEP = 256
"""The mask's width grows in steps of so many tokens, so that bindings hold for many steps."""


class Decoder:
    """Rows of one decoder. Not thread-safe: the engine thread owns it.

    Row r holds one sequence of `lengths[r]` tokens. A step appends one token to each of the first n rows; a row whose
    answer nobody reads is harmless, because what it writes lies behind its own length.
    """

    def __init__(self, opened: Opened, graph: Graph, *, rows: int, max_len: int, slots: Sequence[Slot] = ()) -> None:
        self.rows, self.max_len, self.vocab_size = rows, max_len, graph.vocab_size
        self._session, self._graph, self._cuda = opened.session, graph, opened.device == "cuda"
        if graph.io_dtype == "bfloat16":
            raise BundleError("a graph with bfloat16 inputs cannot be bound from numpy", remedy="export as fp16")
        self._dtype: Any = np.float16 if graph.io_dtype == "float16" else np.float32
        self.lengths = np.zeros(rows, np.int64)
        self._kv = self._allocate()
        self._ids = np.zeros((rows, 1), np.int64)
        self._mask = np.zeros((rows, 0), np.int64)
        self._logits = np.zeros((rows, 1, graph.vocab_size), self._dtype)
        self._steps: dict[int, Any] = {}
        self.adapters = AdapterRows(slots, rows, copies=self._cuda)
        """Which LoRA each row wears; set before the row is prefilled."""
        self._bound: dict[int, Plan] = {}  # what the steps of so many rows have bound

    @property
    def can_move(self) -> bool:
        """Whether rows can be moved cheaply: in host memory they can."""
        return not self._cuda

    @property
    def bytes_per_token(self) -> int:
        """KV memory of one token of one row."""
        graph = self._graph
        return 2 * graph.layers * graph.kv_heads * graph.head_dim * int(np.dtype(self._dtype).itemsize)

    def prefill(self, first: int, *chunks: Ids) -> None:
        """Append chunks of prompts, [tokens] each, to the rows from `first` on, one to each, in one run.

        Several at once only where all those rows are empty: GroupQueryAttention adds more than one token to a past
        only in a batch of one. `logits(row)` is then that of the last token of a chunk that is the longest.
        """
        count, past, longest = len(chunks), int(self.lengths[first]), max(len(chunk) for chunk in chunks)
        ids = np.zeros((count, longest), np.int64)
        mask = np.zeros((count, past + longest), np.int64)  # right-padded; behind a row's own length nobody reads
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk)] = chunk
            mask[row, : past + len(chunk)] = 1
        binding = self._session.io_binding()
        self._bind_kv(binding, first, count)
        self._bind_logits(binding, first, count)
        self.adapters.bind(binding, self.adapters.plan(first, count), first, count)
        self._bind_host(binding, self._graph.input_ids, ids)
        self._bind_host(binding, self._graph.attention_mask, mask)
        self._run(binding)
        for row, chunk in enumerate(chunks, first):
            self.lengths[row] = past + len(chunk)
            self._mask[row, : past + len(chunk)] = 1

    def step(self, tokens: npt.NDArray[np.int64]) -> None:
        """Append one token to each of the first `len(tokens)` rows. All their `lengths` grow by one."""
        count = len(tokens)
        self._ids[:count, 0] = tokens
        needed = int(self.lengths[:count].max()) + 1
        if needed > self._mask.shape[1]:
            self._widen(needed)
        self._mask[np.arange(count), self.lengths[:count]] = 1
        binding = self._steps.get(count)
        if binding is None:
            binding = self._steps[count] = self._session.io_binding()
            self._bind_kv(binding, 0, count)
            self._bind_logits(binding, 0, count)
            self._bind_step(binding, count)
        elif self._cuda:  # host inputs are copied to the device when they are bound, not when the session runs
            self._bind_step(binding, count)
        plan = self.adapters.plan(0, count)
        if not _same(self._bound.get(count), plan):
            self.adapters.bind(binding, plan, 0, count)
            self._bound[count] = plan
        self._run(binding)
        self.lengths[:count] += 1

    def logits(self, row: int) -> Logits:
        """Logits of the row's last token, [vocab_size], valid until the next call of `prefill` or `step`."""
        found: Logits = self._logits[row, 0]
        return found if self._dtype is np.float32 else found.astype(np.float32)

    def truncate(self, row: int, length: int) -> None:
        """Cut the row back to its first `length` tokens; 0 frees it."""
        self.lengths[row] = length
        self._mask[row, length:] = 0

    def move(self, source: int, target: int) -> None:
        """Move a row's sequence, logits included, to another row; `source` is then empty."""
        length = int(self.lengths[source])
        for buffer in self._kv:
            buffer[target, :, :length] = buffer[source, :, :length]
        self._logits[target] = self._logits[source]
        self.lengths[target] = length
        self._mask[target] = self._mask[source]
        self.truncate(source, 0)
        self.adapters.move(source, target)

    def resume(self, row: int, length: int, source: int | None = None) -> None:
        """Begin a row with `length` tokens whose KV is there already: in the row itself, or in another that `can_move`.

        The caller knows that those tokens and their LoRA are the same.
        """
        if source is not None and source != row:
            for buffer in self._kv:
                buffer[row, :, :length] = buffer[source, :, :length]
        self.truncate(row, length)
        self._mask[row, :length] = 1

    def _run(self, binding: Any) -> None:
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime raises its own, unrelated classes
            text = str(error).splitlines()[0]
            raise ResourceError(
                f"a decode step failed: {text}", remedy="give the engine fewer rows or a smaller max_len"
            ) from error

    def _allocate(self) -> list[Any]:
        """Two buffers per layer, key and value: [rows, kv_heads, max_len, head_dim]."""
        graph = self._graph
        shape = (self.rows, graph.kv_heads, self.max_len, graph.head_dim)
        try:
            if self._cuda:
                make = ort.OrtValue.ortvalue_from_shape_and_type
                return [make(shape, self._dtype, "cuda", 0) for _ in range(2 * graph.layers)]
            # Zeroed pages are committed when first written: a row costs only the tokens that it has held.
            return [np.zeros(shape, self._dtype) for _ in range(2 * graph.layers)]
        except Exception as error:
            size = 2 * graph.layers * int(np.prod(shape)) * np.dtype(self._dtype).itemsize / 2**20
            raise ResourceError(
                f"no memory for a KV buffer of {size:.0f} MiB", remedy="give the engine fewer rows or a smaller max_len"
            ) from error

    def _bind_kv(self, binding: Any, first: int, count: int) -> None:
        graph, device = self._graph, "cuda" if self._cuda else "cpu"
        shape = (count, graph.kv_heads, self.max_len, graph.head_dim)
        row_bytes = int(np.prod(shape[1:])) * np.dtype(self._dtype).itemsize
        for index, buffer in enumerate(self._kv):
            layer, is_value = divmod(index, 2)
            past = (graph.past_value if is_value else graph.past_key) % layer
            present = (graph.present_value if is_value else graph.present_key) % layer
            start = (buffer.data_ptr() if self._cuda else buffer.ctypes.data) + first * row_bytes
            binding.bind_input(past, device, 0, self._dtype, shape, start)
            binding.bind_output(present, device, 0, self._dtype, shape, start)

    def _bind_logits(self, binding: Any, first: int, count: int) -> None:
        where = self._logits[first : first + count]
        binding.bind_output(self._graph.logits, "cpu", 0, self._dtype, where.shape, where.ctypes.data)

    def _bind_step(self, binding: Any, count: int) -> None:
        self._bind_host(binding, self._graph.input_ids, self._ids[:count])
        self._bind_host(binding, self._graph.attention_mask, self._mask[:count])

    def _bind_host(self, binding: Any, name: str, array: npt.NDArray[np.int64]) -> None:
        binding.bind_input(name, "cpu", 0, np.int64, array.shape, array.ctypes.data)

    def _widen(self, needed: int) -> None:
        """A wider mask: right-padded, row r has `lengths[r]` ones. Its address changes, so steps are bound anew."""
        width = _width(needed, self.max_len)
        self._mask = (np.arange(width) < self.lengths[:, None]).astype(np.int64)
        self._steps.clear()
        self._bound.clear()


def _width(needed: int, bound: int) -> int:
    return min(-(-needed // MASK_STEP) * MASK_STEP, bound)


def _same(bound: Plan | None, plan: Plan) -> bool:
    if bound is None or bound[0] != plan[0]:
        return False
    # The very same LoRA: comparing arrays would be slow, and a new one of equal numbers has other addresses.
    return bound[1] is plan[1] if plan[0] == "one" else bound[1] == plan[1]
