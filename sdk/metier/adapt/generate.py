"""Greedy decoding of many prompts at once in torch. It knows token ids only: neither contracts nor text.

It is fast on a CPU because the prefix that all prompts share (instructions, few-shot turns) is computed once, batches
are grouped by length, so that little is padding, and finished rows leave the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from metier.adapt.kv_cache import is_plain, new_cache, take_rows
from metier.decoding.ngram_block import NgramBlock, without

BATCH_TOKENS = 32_768
"""Tokens that the KV cache of one batch may hold, which limits how many long prompts are decoded together."""
MAX_ROWS = 64


class Guide(Protocol):
    """Constrains one reply to a format; `metier.decoding.constraint.Constraint` is one."""

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens may come next, `[vocab_size]`."""
        ...

    def accept(self, token: int) -> int:
        """Take a token, or the one that must replace it."""
        ...

    @property
    def done(self) -> bool:
        """Whether the reply is complete."""
        ...


class Generated(NamedTuple):
    """The reply to one prompt."""

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
    no_repeat_ngram_size: int = 0,
    guide: Callable[[int], Guide] | None = None,
    on_done: Callable[[int], None] | None = None,
) -> list[Generated]:
    """Greedy replies to prompts of token ids, in order.

    Args:
        model: a transformers causal language model in eval mode.
        prompts: token ids, each at least one.
        eos_ids: any of these ends a reply.
        max_tokens: longest reply, in tokens.
        no_repeat_ngram_size: no run of this many tokens occurs twice in a reply; 0 allows it.
        guide: creates the guide of a prompt's reply; None decodes without constraint.
        on_done: called with the number of prompts finished so far.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    results: dict[int, Generated] = {}
    with torch.inference_mode():
        while len(results) < len(order):
            batch = _next_batch(order[len(results) :], prompts, max_tokens)
            guides = [guide(i) if guide else None for i in batch]
            repeats = [NgramBlock(no_repeat_ngram_size) if no_repeat_ngram_size else None for _ in batch]
            done = _batch(model, [list(prompts[i]) for i in batch], frozenset(eos_ids), max_tokens, guides, repeats)
            results.update(zip(batch, done, strict=True))
            if on_done:
                on_done(len(results))
    return [results[i] for i in range(len(prompts))]


def _next_batch(order: list[int], prompts: Sequence[Sequence[int]], max_tokens: int) -> list[int]:
    """As many of the next prompts as fit; they are sorted by length, so that the last one is the longest."""
    rows = 1
    while rows < min(MAX_ROWS, len(order)) and (rows + 1) * (len(prompts[order[rows]]) + max_tokens) <= BATCH_TOKENS:
        rows += 1
    return order[:rows]


def _batch(
    model: Any,
    prompts: list[list[int]],
    eos: frozenset[int],
    max_tokens: int,
    guides: list[Guide | None],
    repeats: list[NgramBlock | None],
) -> list[Generated]:
    device = next(model.parameters()).device
    cache, mask, logits = _prefill(model, prompts, device)
    positions = torch.tensor([len(p) for p in prompts], device=device)
    replies: list[list[int]] = [[] for _ in prompts]
    finished = [False] * len(prompts)
    active = list(range(len(prompts)))
    while True:
        tokens = _choose(
            logits, [None if finished[row] else guides[row] for row in active], [repeats[row] for row in active]
        )
        for row, token in zip(active, tokens, strict=True):
            finished[row] |= token in eos
            if not finished[row] and len(replies[row]) < max_tokens:
                replies[row].append(token)
                guided = guides[row]
                finished[row] = guided is not None and guided.done
        keep = [k for k, row in enumerate(active) if not finished[row] and len(replies[row]) < max_tokens]
        if not keep:
            return [Generated(ids, end) for ids, end in zip(replies, finished, strict=True)]
        # Copying the cache pays only when a good part of the batch is finished.
        if len(keep) <= 0.75 * len(active):
            chosen = torch.tensor(keep, device=device)
            take_rows(cache, chosen)
            mask, positions = mask[chosen], positions[chosen]
            active, tokens = [active[k] for k in keep], [tokens[k] for k in keep]
        mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
        out = model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=mask,
            position_ids=positions[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        positions = positions + 1
        logits = out.logits[:, -1]


def _choose(logits: torch.Tensor, guides: list[Guide | None], repeats: list[NgramBlock | None]) -> list[int]:
    """The likeliest token of each row, `[rows, vocab]`, within its guide where it has one, and no repeat."""
    if any(guides) or any(repeats):
        free = np.ones(logits.shape[1], dtype=np.bool_)
        rows = [g.allowed() if g else None for g in guides]
        rows = [without(r.blocked(), row, len(free)) if r else row for r, row in zip(repeats, rows, strict=True)]
        allowed = torch.from_numpy(np.stack([free if row is None else row for row in rows])).to(logits.device)
        logits = logits.masked_fill(~allowed, float("-inf"))
    tokens = [g.accept(t) if g else t for g, t in zip(guides, logits.argmax(-1).tolist(), strict=True)]
    for seen, token in zip(repeats, tokens, strict=True):
        if seen is not None:
            seen.accept(token)
    return tokens


def _shared(prompts: list[list[int]]) -> int:
    """Length of the prefix that all prompts share, at most the shortest prompt without its last token."""
    if len(prompts) == 1:
        return 0
    common = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False)))
    return min(common, min(map(len, prompts)) - 1)


def _prefill(model: Any, prompts: list[list[int]], device: torch.device) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Process the prompts: the cache, the mask `[rows, length]` and the next token's logits `[rows, vocab]`.

    The shared prefix is computed as one row and repeated; the rest is padded on the left, after the prefix, where the
    mask hides it. At least one token stays in each row, since its logits are needed.
    """
    cache = new_cache(model)
    shared = _shared(prompts) if is_plain(cache) else 0
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
