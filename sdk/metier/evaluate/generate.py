"""Greedy decoding of many prompts at once in torch. It knows token ids only: neither contracts nor text.

Three things make it quick on a CPU: the part that all prompts share (instructions, few-shot turns) is read once;
batches are grouped by length, so that little is padding; a finished row leaves the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os.path import commonprefix
from typing import Any, NamedTuple

import torch

from metier.evaluate.kv_cache import new_cache, take_rows

ROWS = 32


class Generated(NamedTuple):
    """What one prompt gave."""

    ids: list[int]
    """Reply tokens, without the end token."""
    finished: bool
    """False where it was cut at `max_tokens`."""


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    eos_ids: Sequence[int],
    max_tokens: int,
    rows: int = ROWS,
    on_done: Callable[[int], None] | None = None,
) -> list[Generated]:
    """Greedy replies to prompts of token ids, in order.

    Args:
        model: a transformers causal language model in eval mode.
        prompts: token ids, each at least one.
        eos_ids: any of these ends a reply.
        max_tokens: longest reply, in tokens.
        rows: prompts decoded together.
        on_done: called with the number of prompts finished so far.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    results: dict[int, Generated] = {}
    with torch.inference_mode():
        for start in range(0, len(order), rows):
            batch = order[start : start + rows]
            done = _batch(model, [list(prompts[i]) for i in batch], frozenset(eos_ids), max_tokens)
            results.update(zip(batch, done, strict=True))
            if on_done:
                on_done(len(results))
    return [results[i] for i in range(len(prompts))]


def _batch(model: Any, prompts: list[list[int]], eos: frozenset[int], max_tokens: int) -> list[Generated]:
    device = next(model.parameters()).device
    cache, mask, logits = _prefill(model, prompts, device)
    positions = torch.tensor([len(p) for p in prompts], device=device)
    replies: list[list[int]] = [[] for _ in prompts]
    finished = [False] * len(prompts)
    alive = list(range(len(prompts)))
    while True:
        tokens = logits.argmax(-1).tolist()
        for row, token in zip(alive, tokens, strict=True):
            finished[row] |= token in eos
            if not finished[row] and len(replies[row]) < max_tokens:
                replies[row].append(token)
        keep = [k for k, row in enumerate(alive) if not finished[row] and len(replies[row]) < max_tokens]
        if not keep:
            return [Generated(ids, end) for ids, end in zip(replies, finished, strict=True)]
        # A copy of the cache pays only when it takes a good part of the batch with it.
        if len(keep) <= 0.75 * len(alive):
            chosen = torch.tensor(keep, device=device)
            take_rows(cache, chosen)
            mask, positions = mask[chosen], positions[chosen]
            alive, tokens = [alive[k] for k in keep], [tokens[k] for k in keep]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        out = model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=mask,
            position_ids=positions[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        positions = positions + 1
        logits = out.logits[:, -1]


def _prefill(model: Any, prompts: list[list[int]], device: torch.device) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Read the prompts: the cache, the mask `[rows, length]` and the next token's logits `[rows, vocab]`.

    The shared prefix is read as one row and repeated; the rest is padded on the left, behind the prefix, where the
    mask hides it. At least one token stays with each row, since its logits are needed.
    """
    shared = min(len(commonprefix(prompts)), min(len(p) for p in prompts) - 1) if len(prompts) > 1 else 0
    cache = new_cache(model)
    if shared:
        prefix = torch.tensor([prompts[0][:shared]], device=device)
        model(input_ids=prefix, past_key_values=cache, use_cache=True, logits_to_keep=1)
        take_rows(cache, torch.zeros(len(prompts), dtype=torch.long, device=device))
    rests = [p[shared:] for p in prompts]
    width = max(len(r) for r in rests)
    pads = torch.tensor([width - len(r) for r in rests], device=device)
    ids = torch.tensor([[0] * (width - len(r)) + r for r in rests], device=device)
    column = torch.arange(width, device=device)[None, :] - pads[:, None]
    mask = torch.cat([torch.ones(len(prompts), shared, dtype=torch.long, device=device), (column >= 0).long()], dim=1)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=column.clamp_min(0) + shared,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return cache, mask, out.logits[:, -1]
