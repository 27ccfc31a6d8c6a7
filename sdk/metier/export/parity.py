"""Proof that the exported graph computes what torch computes: logits compared, teacher-forced, over samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metier.contracts import ExportError
from metier.contracts.bundle import Graph, Parity, Slot
from metier.decoding.decoder import Decoder
from metier.decoding.device import open_session
from metier.decoding.lora import LoraArrays

SAME_WEIGHTS = {"mean_kl": 0.05, "top1_agreement": 0.8}
"""Bounds for an int4 graph against torch computing with the very same 4-bit weights: int8 activations are all that
differs. Measured on a random model, where every answer is a near tie: KL 0.007, agreement 0.93."""

Texts = Sequence[tuple[Sequence[int], Sequence[int]]]
"""(prompt ids, reply ids) per sample."""


def prove(
    model: Any,
    folder: Path,
    graph: Graph,
    texts: Texts,
    bounds: dict[str, float],
    *,
    slots: Sequence[Slot] = (),
    lora: LoraArrays | None = None,
) -> Parity:
    """Compare a torch model with the graph in `folder`.

    The graph runs on CPU whatever its target, with the same weights and operators, so that a cuda bundle can be proved
    where it is built.

    Args:
        model: transformers causal language model, fp32, merged.
        folder: holds model.onnx.
        graph: its description.
        texts: at least one sample. Compared are the positions that predict each reply token and the one after.
        bounds: a precision's `tolerance`, or `SAME_WEIGHTS`.
        slots: of the graph.
        lora: to bind to them; `model` must then have the same LoRA.

    Raises:
        ExportError: a bound is missed.
    """
    import torch

    longest = max(len(p) + len(r) for p, r in texts)
    decoder = Decoder(open_session(folder / graph.file, "cpu"), graph, rows=1, max_len=longest + 1, slots=slots)
    decoder.adapters.load(0, lora)
    largest, kl, agreed, tokens = 0.0, 0.0, 0, 0
    for prompt, reply in texts:
        ids = [*prompt, *reply]
        with torch.inference_mode():
            expected = model(torch.tensor([ids])).logits[0, len(prompt) - 1 :].float()  # [reply + 1, vocab]
        found = torch.from_numpy(_logits(decoder, prompt, reply))[:, : expected.shape[1]]
        expected = expected[:, : found.shape[1]]
        p, q = expected.log_softmax(-1), found.log_softmax(-1)
        largest = max(largest, float((expected - found).abs().max()))
        kl += float((p.exp() * (p - q)).sum())
        agreed += int((expected.argmax(-1) == found.argmax(-1)).sum())
        tokens += len(expected)
    parity = Parity(
        samples=len(texts),
        tokens=tokens,
        max_abs=largest,
        mean_kl=max(kl / tokens, 0.0),
        top1_agreement=agreed / tokens,
        tolerance=bounds,
    )
    if missed := misses(parity):
        raise ExportError(
            f"the graph differs too much from torch over {tokens} positions: {'; '.join(missed)}",
            remedy="export at a higher precision; if fp32 fails too, report the architecture",
        )
    return parity


def misses(parity: Parity) -> list[str]:
    """Each missed bound, in words."""
    missed = []
    for name, bound in parity.tolerance.items():
        value = getattr(parity, name)
        kept = value >= bound if name == "top1_agreement" else value <= bound
        if not kept or not np.isfinite(value):
            missed.append(f"{name} is {value:.4g}, the bound is {bound:g}")
    return missed


def _logits(decoder: Decoder, prompt: Sequence[int], reply: Sequence[int]) -> np.ndarray:
    """Logits at the prompt's last position and at each reply token, [reply + 1, vocab]."""
    decoder.truncate(0, 0)
    decoder.prefill(0, np.array(prompt, np.int64))
    rows = [decoder.logits(0).copy()]
    for token in reply:
        decoder.step(np.array([token], np.int64))
        rows.append(decoder.logits(0).copy())
    return np.stack(rows)
