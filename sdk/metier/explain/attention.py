"""What a model attended to when it wrote each word: the attention of every layer and head, and attention rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metier.contracts.errors import BaseError
from metier.explain.words import Word

Floats = np.ndarray[Any, np.dtype[np.float32]]


def token_attention(model: Any, ids: Sequence[int]) -> Floats:
    """Attention probabilities of every layer and head, [layers, heads, tokens, tokens]; each row sums to 1.

    Args:
        model: a transformers causal language model. It is switched to eager attention: the fused kernels never write
            the probabilities down.
        ids: the whole text.

    Raises:
        BaseError: the model has layers without attention, or does not return it.
    """
    import torch

    model.set_attn_implementation("eager")
    with torch.inference_mode():
        out = model(input_ids=torch.tensor([list(ids)], device=model.device), output_attentions=True, use_cache=False)
    found = out.attentions
    if not found or any(layer is None for layer in found):
        raise BaseError(
            "the model does not return its attention in every layer", remedy="explain a base with plain attention"
        )
    return np.stack([layer[0].float().cpu().numpy() for layer in found])


def rollout(attention: Floats) -> Floats:
    """Attention rollout, [tokens, tokens]: how much of each input token reaches each position through all layers.

    Heads are averaged, half of each layer's output is its residual connection, and the layers are multiplied
    (Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers). Rows sum to 1.

    Args:
        attention: [layers, heads, tokens, tokens], from `token_attention`.
    """
    count = attention.shape[-1]
    flow = np.eye(count, dtype=np.float64)
    for layer in attention:
        mixed = (layer.mean(0, dtype=np.float64) + np.eye(count)) / 2
        flow = mixed / mixed.sum(-1, keepdims=True) @ flow
    return flow.astype(np.float32)


def reply_attention(attention: Floats, words: Sequence[Word], reply: Sequence[Word]) -> Floats:
    """Attention between words, [..., reply words, words]; each row sums to 1.

    A token is written at the position before it, so the row of a reply word is the mean over the positions before each
    of its tokens. A column is the sum over a word's tokens.

    Args:
        attention: [..., tokens, tokens], of heads or of a rollout.
        words: all words of prompt and reply.
        reply: those of the reply.
    """
    rows = np.stack([attention[..., word.first - 1 : word.last - 1, :].mean(-2) for word in reply], axis=-2)
    edges = [word.first for word in words]
    return np.add.reduceat(rows, edges, axis=-1).astype(np.float32)
