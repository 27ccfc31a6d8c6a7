"""A bundle's decoder on the device that was asked for, with CUDA graphs where they really work.

It knows what to try and what to fall back to; it knows nothing about requests.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metier.contracts import DeviceError, ResourceError
from metier.contracts.bundle import Graph, Slot
from metier.decoding.decoder import Decoder
from metier.decoding.device import Opened, open_session

_log = logging.getLogger(__name__)


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
    """The decoder in a bundle's folder, its session and its memory.

    Args:
        folder: of the bundle.
        graph: the bundle's.
        slots: the bundle's.
        rows: sequences that are decoded together.
        max_len: tokens that a row may hold.
        device: `cpu`, `cuda` or `auto`.
        prefer_cuda: whether the graph was made for CUDA.
        threads: CPU threads; None takes one per core.
        cuda_graphs: whether steps are captured once and then replayed, which spares a GPU the host's time between
            kernels; None does so where it works, and logs why where it does not.

    Raises:
        DeviceError: the device is not active, or CUDA graphs were asked for and do not work there; says why.
        BundleError, ResourceError: as `open_session` and `Decoder`.
    """

    def opened(capture: bool) -> Opened:
        return open_session(folder / graph.file, device, prefer_cuda=prefer_cuda, threads=threads, capture=capture)

    def decoder(on: Opened) -> Decoder:
        candidates = None
        if graph.candidates is not None and on.resident:
            candidates = open_session(folder / graph.candidates, on.device, threads=threads)
        return Decoder(told(on), graph, rows=rows, max_len=max_len, slots=slots, candidates=candidates)

    def told(on: Opened) -> Opened:
        how = "steps are CUDA graphs" if on.captures else f"no CUDA graphs: {missing or 'they were not asked for'}"
        return replace(on, reason=f"{on.reason}; {how}") if on.resident else on

    session = opened(cuda_graphs is not False)
    missing = session.refused
    made = decoder(session)
    failed = None
    try:
        made.rehearse()
    except ResourceError as error:
        failed = error.what
    if failed is not None:
        missing = failed
        del made, session  # with the error gone, too: a second KV may not find room beside the first
        made = decoder(opened(False))
    if cuda_graphs and not made.opened.captures:
        raise DeviceError(
            f"CUDA graphs were asked for but do not work: {missing or f'the device is {made.opened.device}'}",
            remedy="open with cuda_graphs=None, which does without where it must",
        )
    if missing is not None and cuda_graphs is None:
        _log.warning("decoding without CUDA graphs: %s", missing)
    return made
