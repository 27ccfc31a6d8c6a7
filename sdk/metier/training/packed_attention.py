"""Causal attention over rows packed end to end behind one shared prefix, for models that take an attention function.

A batch's rows usually open with the same tokens (the system turn, the task's instruction). Those are computed once;
every row attends to them and to itself. At the short lengths of trade samples, plain batched products beat the fused
CPU kernel, whose backward is several times slower; long rows are recomputed in the backward, so that memory grows
linearly.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAME = "metier_packed"
_KEEP_BYTES = 8 << 20
"""Attention probabilities of a layer up to this size are kept for the backward; larger ones are computed again there.
8 MiB is 8 rows of 240 tokens with 9 heads in bf16."""


@dataclass(frozen=True)
class Layout:
    """Where each packed token lies. T = prefix + Σ row lengths; B rows, L the longest of them."""

    prefix: int
    into: Tensor
    """[B*L] packed index of each padded place; padding points at the first row token."""
    back: Tensor
    """[T - prefix] padded place of each packed row token."""
    rows: int
    length: int
    mask: Tensor
    """[L, prefix + L] added to the scores: 0 or a large negative number. Right padding needs no mask of its own."""
    prefix_mask: Tensor
    """[prefix, prefix]."""


def layout(prefix: int, lengths: list[int], device: torch.device, dtype: torch.dtype) -> Layout:
    """The layout of rows with `lengths` tokens each, after `prefix` shared ones."""
    rows, longest = len(lengths), max(lengths)
    ends = torch.tensor(lengths)
    places = torch.arange(longest).expand(rows, longest)
    real = places < ends[:, None]
    starts = prefix + ends.cumsum(0) - ends
    into = torch.where(real, places + starts[:, None], prefix).reshape(-1)
    closed = torch.full((longest, longest), torch.finfo(dtype).min / 2, dtype=dtype).triu(1)
    mask = torch.cat([torch.zeros(longest, prefix, dtype=dtype), closed], 1)
    closed_prefix = torch.full((prefix, prefix), torch.finfo(dtype).min / 2, dtype=dtype).triu(1)
    return Layout(
        prefix=prefix,
        into=into.to(device),
        back=real.reshape(-1).nonzero().squeeze(1).to(device),
        rows=rows,
        length=longest,
        mask=mask.to(device),
        prefix_mask=closed_prefix.to(device),
    )


class _Attend(torch.autograd.Function):
    """softmax(q kᵀ · scale + mask) v over [batch, queries, dim] and [batch, keys, dim]."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
        with torch.autocast(q.device.type, enabled=False):  # the backward has none either
            return _Attend._forward(ctx, q, k, v, mask, scale)

    @staticmethod
    def _forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
        probs = _probabilities(q, k, mask, scale)
        saved = probs if probs.numel() * probs.element_size() <= _KEEP_BYTES else None
        ctx.save_for_backward(q, k, v, mask, saved)
        ctx.scale = scale
        return torch.bmm(probs, v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask, probs = ctx.saved_tensors
        if probs is None:
            probs = _probabilities(q, k, mask, ctx.scale)
        grad = grads[0]
        grad_v = torch.bmm(probs.transpose(1, 2), grad)
        grad_probs = torch.bmm(grad, v.transpose(1, 2))
        grad_scores = torch._softmax_backward_data(grad_probs, probs, -1, probs.dtype).mul_(ctx.scale)
        return torch.bmm(grad_scores, k), torch.bmm(grad_scores.transpose(1, 2), q), grad_v, None, None


def _probabilities(q: Tensor, k: Tensor, mask: Tensor, scale: float) -> Tensor:
    scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scale)  # [batch, queries, keys]
    return torch.softmax(scores, -1)


class _Pad(torch.autograd.Function):
    """Packed rows to padded ones; a gather in both directions, so that no sum depends on the order of threads."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, place: Layout) -> Tensor:
        ctx.place = place
        return packed.index_select(0, place.into)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        place = ctx.place
        grad = grads[0].index_select(0, place.back)
        shared = grad.new_zeros(place.prefix, *grad.shape[1:])
        return torch.cat([shared, grad]), None


class _Unpad(torch.autograd.Function):
    """Padded rows to packed ones, without the prefix."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, place: Layout) -> Tensor:
        ctx.place = place
        return padded.index_select(0, place.back)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        place = ctx.place
        padded = grads[0].new_zeros(place.rows * place.length, *grads[0].shape[1:])
        return padded.index_copy_(0, place.back, grads[0]), None


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    metier_layout: Layout,
    **unused: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [1, heads, T, dim], key and value [1, kv_heads, T, dim].

    Returns:
        [1, T, heads, dim], and no attention weights.
    """
    place, groups = metier_layout, key.shape[1]
    _, heads, total, dim = query.shape
    share, shared, rows, length = heads // groups, place.prefix, place.rows, place.length
    scale = dim**-0.5 if scaling is None else scaling
    # Of one dtype: rotary embeddings make fp32 of bf16 products over fp32 weights.
    q, k, v = (x[0].transpose(0, 1).to(place.mask.dtype) for x in (query, key, value))  # [T, heads, dim]

    def keys_of(x: Tensor) -> Tensor:  # [T, groups, dim] -> [rows * groups, prefix + length, dim]
        own = _Pad.apply(x, place).view(rows, length, groups, dim)  # type: ignore[no-untyped-call]
        full = torch.cat([x[:shared].expand(rows, shared, groups, dim), own], 1) if shared else own
        return full.transpose(1, 2).reshape(rows * groups, shared + length, dim)

    # The query heads that share one key head become more queries of that head: no key is ever repeated.
    queries = _Pad.apply(q, place).view(rows, length, groups, share, dim).permute(0, 2, 3, 1, 4)  # type: ignore[no-untyped-call]
    queries = queries.reshape(rows * groups, share * length, dim)
    out = _Attend.apply(queries, keys_of(k), keys_of(v), place.mask.repeat(share, 1), scale)  # type: ignore[no-untyped-call]
    out = out.view(rows, groups, share, length, dim).permute(0, 3, 1, 2, 4).reshape(rows * length, heads, dim)
    out = _Unpad.apply(out, place)  # type: ignore[no-untyped-call]
    if shared:
        first = q[:shared].view(shared, groups, share, dim).permute(1, 2, 0, 3).reshape(groups, share * shared, dim)
        own_keys, own_values = (x[:shared].transpose(0, 1).contiguous() for x in (k, v))
        head = _Attend.apply(first, own_keys, own_values, place.prefix_mask.repeat(share, 1), scale)  # type: ignore[no-untyped-call]
        head = head.view(groups, share, shared, dim).permute(2, 0, 1, 3).reshape(shared, heads, dim)
        out = torch.cat([head, out])
    return out.view(1, total, heads, dim), None


def register() -> None:
    """Make `NAME` known to transformers, with no mask of its own; doing it twice changes nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
