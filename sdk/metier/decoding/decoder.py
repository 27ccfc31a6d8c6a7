"""The decoder graph with its memory: rows are prefilled, stepped together, truncated and moved; and how to open it.

In host memory steps have the shapes that the rows have; on a device all tensors keep their addresses, and steps have
few fixed shapes. It knows nothing about requests, sampling or text.

Whether a row's logits depend on the other rows (SmolLM2-135M, ONNX Runtime 1.31, x86-64, 40 prompt tokens): in fp32
they are equal bit by bit, for steps of 1 to 8 rows, whatever the other rows hold, and for prompts prefilled alone,
together or in chunks. In int4 they depend on one thing only, whether a step has one row or more (largest difference
of a logit 0.8): `MatMulNBits` has another kernel for a single row of activations.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.contracts import BundleError, DeviceError, ResourceError
from metier.contracts.bundle import Graph, Slot
from metier.decoding.adapter_rows import AdapterRows
from metier.decoding.device import DeviceSession, open_session
from metier.decoding.io_binding import IoBinding
from metier.decoding.kv import KV
from metier.decoding.logits import DTYPES, DeviceLogits, HostLogits
from metier.decoding.steps import FixedSteps, RaggedSteps
from metier.decoding.top_tokens import Logits, TokenScores

Ids = npt.NDArray[np.int64]

_log = logging.getLogger(__name__)


class Decoder:
    """Rows of one decoder. Not thread-safe: the engine thread owns it.

    Row r holds one sequence of `lengths[r]` tokens. A step appends one token to each of the first n rows; a row
    without a request is harmless, because what it writes lies behind its own length.
    """

    def __init__(
        self,
        opened: DeviceSession,
        graph: Graph,
        *,
        rows: int,
        max_len: int,
        slots: Sequence[Slot] = (),
        candidates: DeviceSession | None = None,
    ) -> None:
        """`candidates`: a session of the graph that finds each row's best tokens, on the same device.

        Raises:
            BundleError: the graph computes in a type that numpy does not have, or its inputs are not the slots'.
            ResourceError: there is no memory for the KV.
        """
        if graph.io_dtype not in DTYPES:
            raise BundleError(f"a graph with {graph.io_dtype} inputs cannot be bound", remedy="export as fp16")
        check_slots(opened.session, slots)
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
        """Which LoRA is active in each row; loaded before the row is prefilled."""
        self._binding = IoBinding(opened.session, graph, device, self._kv, self._logits, self.adapters)
        self._steps: RaggedSteps | FixedSteps = RaggedSteps(self._binding, rows, max_len)
        if resident:
            self._steps = FixedSteps(self._binding, rows, max_len, capture=opened.captures)

    @property
    def can_move(self) -> bool:
        """Whether rows can be moved cheaply: in host memory they can."""
        return isinstance(self._logits, HostLogits)

    @property
    def bytes_per_token(self) -> int:
        """KV memory of one token of one row."""
        return self._kv.bytes_per_token

    def prefill(self, first: int, *chunks: Ids) -> None:
        """Append chunks of prompts, [tokens] each, to the rows from `first` on, one chunk a row, in one run.

        Several at once only where all those rows are empty: GroupQueryAttention adds more than one token to a past
        only in a batch of one. `logits(row)` is then that of the last token of a chunk that is the longest.
        """
        count, past, longest = len(chunks), int(self.lengths[first]), max(len(chunk) for chunk in chunks)
        ids = np.zeros((count, longest), np.int64)
        mask = np.zeros((count, past + longest), np.int64)  # right-padded: a row never attends beyond its own length
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk)] = chunk
            mask[row, : past + len(chunk)] = 1
        binding = self._binding.binding(first, count)
        self.adapters.bind(binding, self.adapters.plan(first, count), first, count)
        self._binding.bind_host(binding, ids, mask)
        self._binding.run(binding)
        for row, chunk in enumerate(chunks, first):
            self.lengths[row] = past + len(chunk)

    def padded(self, count: int) -> int:
        """Rows that a step over the first `count` computes: as many, or more where shapes are fixed."""
        return self._steps.padded(count)

    def step(self, tokens: Ids) -> None:
        """Append one token to each of the first `len(tokens)` rows, a count that `padded` returns. All their
        `lengths` grow by one."""
        self._steps.run(tokens, self.lengths)
        self._logits.find_candidates(len(tokens))
        self.lengths[: len(tokens)] += 1

    def warm_up(self) -> None:
        """Where steps are captured, capture and replay one, before there is anything in a row.

        Raises:
            ResourceError: it failed; the session cannot be used any more.
        """
        if isinstance(self._steps, FixedSteps) and self.opened.captures:
            for _ in range(2):
                self._steps.run(np.zeros(self.padded(1), np.int64), self.lengths)
            self._steps.release()  # a graph belongs to the thread that captured it

    def logits(self, row: int) -> Logits:
        """Logits of the row's last token, [vocab_size], valid until the next call of `prefill` or `step`."""
        return self._logits.full(row)

    def scores(self, row: int) -> TokenScores:
        """The last step's logits or candidates of a row, for a sampler."""
        return self._logits.scores(row)

    def set_temperature(self, row: int, temperature: float) -> None:
        """The temperature at which the row's tokens are drawn."""
        self._logits.set_temperature(row, temperature)

    def truncate(self, row: int, length: int) -> None:
        """Truncate the row to its first `length` tokens; 0 empties it."""
        self.lengths[row] = length

    def move(self, source: int, target: int) -> None:
        """Move a row's sequence, logits included, to another row; `source` is then empty. For rows that `can_move`."""
        assert isinstance(self._logits, HostLogits)
        self._kv.copy(source, target, int(self.lengths[source]))
        self._logits.move(source, target)
        self.lengths[target], self.lengths[source] = self.lengths[source], 0
        self.adapters.move(source, target)

    def reuse(self, row: int, length: int, source: int | None = None) -> None:
        """Begin a row with `length` tokens whose KV exists already: in the row itself, or in `source` if rows
        `can_move`.

        The caller guarantees that those tokens and their LoRA are the same.
        """
        if source is not None and source != row:
            self._kv.copy(source, row, length)
        self.lengths[row] = length


def open_decoder(
    folder: Path,
    graph: Graph,
    slots: Sequence[Slot] = (),
    *,
    rows: int,
    max_len: int,
    device: str = "auto",
    prefer_cuda: bool = False,
    threads: int | None = None,
    cuda_graphs: bool | None = None,
) -> Decoder:
    """Open the decoder of a bundle's folder: its session and its memory.

    Args:
        folder: of the bundle.
        graph, slots: the manifest's.
        rows: sequences that are decoded together.
        max_len: tokens that a row can hold.
        device: `cpu`, `cuda` or `auto`.
        prefer_cuda: whether the graph was exported for CUDA.
        threads: CPU threads; None takes one per core.
        cuda_graphs: whether steps are captured once and then replayed, which spares a GPU the host's time between
            kernels; None does so where it works, and logs the reason where it does not.

    Raises:
        DeviceError: the device is not active, or `cuda_graphs=True` does not work there; states why.
        BundleError, ResourceError: as `open_session` and `Decoder`.
    """

    def session(capture: bool) -> DeviceSession:
        return open_session(folder / graph.file, device, prefer_cuda=prefer_cuda, threads=threads, capture=capture)

    def build(opened: DeviceSession, missing: str | None) -> Decoder:
        candidates = None
        if opened.resident:
            graphs = "CUDA graphs" if opened.captures else f"no CUDA graphs: {missing or 'not requested'}"
            opened = replace(opened, reason=f"{opened.reason}; {graphs}")
            if graph.candidates is not None:
                candidates = open_session(folder / graph.candidates, opened.device, threads=threads)
        return Decoder(opened, graph, rows=rows, max_len=max_len, slots=slots, candidates=candidates)

    first = session(cuda_graphs is not False)
    missing, failed = first.capture_error, None
    decoder = build(first, missing)
    try:
        decoder.warm_up()
    except ResourceError as error:
        failed = error.what
    if failed is not None:
        missing = failed
        del decoder, first  # and the error above, which holds frames: a second KV may not fit beside the first
        decoder = build(session(False), missing)
    if cuda_graphs and not decoder.opened.captures:
        raise DeviceError(
            f"cuda_graphs=True does not work: {missing or f'the device is {decoder.opened.device}'}",
            remedy="open with cuda_graphs=None, which decodes without them where it must",
        )
    if missing is not None and cuda_graphs is None:
        _log.warning("decoding without CUDA graphs: %s", missing)
    return decoder


def check_slots(session: Any, slots: Sequence[Slot]) -> None:
    """Compare the manifest's LoRA slots with the graph's inputs: a wrong one would fail every request.

    Raises:
        BundleError: an input is missing, or has another size.
    """
    inputs = [*session.get_inputs(), *session.get_overridable_initializers()] if slots else []
    shapes = {entry.name: entry.shape for entry in inputs}
    for slot in slots:
        for name, axis, size in ((slot.a, 1, slot.in_features), (slot.b, 2, slot.out_features)):
            shape = shapes.get(name)
            if shape is None or len(shape) != 3 or (isinstance(shape[axis], int) and shape[axis] != size):
                found = "has no such input" if shape is None else f"takes {shape}"
                raise BundleError(
                    f"the LoRA slot {name} has {size} features in bundle.json, but the graph {found}",
                    remedy="export the bundle again",
                )
