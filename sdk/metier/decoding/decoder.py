"""The decoder graph with its memory: rows that are read, stepped together, cut back and moved.

In host memory steps have the shapes that the rows have; on a device everything stays where it is, and steps have few
fixed shapes. It knows nothing about requests, sampling or text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metier.contracts import BundleError
from metier.contracts.bundle import Graph, Slot
from metier.decoding.adapter_rows import AdapterRows
from metier.decoding.device import Opened
from metier.decoding.io_binding import Wiring
from metier.decoding.kv import KV
from metier.decoding.logits import DTYPES, DeviceLogits, HostLogits
from metier.decoding.steps import FixedSteps, RaggedSteps
from metier.decoding.top_tokens import Logits, Scores

Ids = npt.NDArray[np.int64]


class Decoder:
    """Rows of one decoder. Not thread-safe: the engine thread owns it.

    Row r holds one sequence of `lengths[r]` tokens. A step appends one token to each of the first n rows; a row whose
    answer nobody reads is harmless, because what it writes lies behind its own length.
    """

    def __init__(
        self,
        opened: Opened,
        graph: Graph,
        *,
        rows: int,
        max_len: int,
        slots: Sequence[Slot] = (),
        candidates: Opened | None = None,
    ) -> None:
        """`candidates`: a session of the graph that finds each row's best tokens, on the same device.

        Raises:
            BundleError: the graph computes in a type that numpy does not have.
            ResourceError: there is no memory for the KV.
        """
        if graph.io_dtype not in DTYPES:
            raise BundleError(f"a graph with {graph.io_dtype} inputs cannot be bound", remedy="export as fp16")
        self.rows, self.max_len, self.vocab_size = rows, max_len, graph.vocab_size
        self.lengths = np.zeros(rows, np.int64)
        self.opened = opened
        """Its session, and where that runs."""
        device, resident = opened.device, opened.resident
        self._kv = KV(graph, rows, max_len, device)
        self._logits: HostLogits | DeviceLogits = HostLogits(graph, rows)
        if resident:
            self._logits = DeviceLogits(graph, rows, device, candidates and candidates.session)
        self.adapters = AdapterRows(slots, rows, device, resident=resident)
        """Which LoRA each row wears; set before the row is prefilled."""
        self._wiring = Wiring(opened.session, graph, device, self._kv, self._logits, self.adapters)
        self._steps: RaggedSteps | FixedSteps = RaggedSteps(self._wiring, rows, max_len)
        if resident:
            self._steps = FixedSteps(self._wiring, rows, max_len, capture=opened.captures)

    @property
    def can_move(self) -> bool:
        """Whether rows can be moved cheaply: in host memory they can."""
        return isinstance(self._logits, HostLogits)

    @property
    def bytes_per_token(self) -> int:
        """KV memory of one token of one row."""
        return self._kv.bytes_per_token

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
        binding = self._wiring.binding(first, count)
        self.adapters.bind(binding, self.adapters.plan(first, count), first, count)
        self._wiring.bind_host(binding, ids, mask)
        self._wiring.run(binding)
        for row, chunk in enumerate(chunks, first):
            self.lengths[row] = past + len(chunk)

    def span(self, count: int) -> int:
        """Rows that a step over the first `count` takes: as many, or more where shapes are fixed."""
        return self._steps.span(count)

    def step(self, tokens: Ids) -> None:
        """Append one token to each of the first `len(tokens)` rows, a `span`. All their `lengths` grow by one."""
        self._steps.run(tokens, self.lengths)
        self._logits.refresh(len(tokens))
        self.lengths[: len(tokens)] += 1

    def rehearse(self) -> None:
        """Where steps are captured, capture and replay one, before there is anything in a row.

        Raises:
            ResourceError: it failed; the session is of no more use.
        """
        if isinstance(self._steps, FixedSteps) and self.opened.captures:
            for _ in range(2):
                self._steps.run(np.zeros(self.span(1), np.int64), self.lengths)
            self._steps.forget()  # a graph belongs to the thread that captured it

    def logits(self, row: int) -> Logits:
        """Logits of the row's last token, [vocab_size], valid until the next call of `prefill` or `step`."""
        return self._logits.full(row)

    def scores(self, row: int) -> Scores:
        """What the last step says of a row, for a sampler."""
        return self._logits.scores(row)

    def temper(self, row: int, temperature: float) -> None:
        """At what temperature the row's tokens will be drawn."""
        self._logits.temper(row, temperature)

    def truncate(self, row: int, length: int) -> None:
        """Cut the row back to its first `length` tokens; 0 frees it."""
        self.lengths[row] = length

    def move(self, source: int, target: int) -> None:
        """Move a row's sequence, logits included, to another row; `source` is then empty. For rows that `can_move`."""
        assert isinstance(self._logits, HostLogits)
        self._kv.copy(source, target, int(self.lengths[source]))
        self._logits.move(source, target)
        self.lengths[target], self.lengths[source] = self.lengths[source], 0
        self.adapters.move(source, target)

    def resume(self, row: int, length: int, source: int | None = None) -> None:
        """Begin a row with `length` tokens whose KV is there already: in the row itself, or in another that `can_move`.

        The caller knows that those tokens and their LoRA are the same.
        """
        if source is not None and source != row:
            self._kv.copy(source, row, length)
        self.lengths[row] = length
