"""Which words of the input made each word of the reply more, or less, likely: gradient times input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metier.explain.words import Word


def input_attribution(
    model: Any,
    ids: Sequence[int],
    words: Sequence[Word],
    reply: Sequence[Word],
    *,
    on_done: Callable[[int], None] | None = None,
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.float32]]]:
    """Gradient × input (Shrikumar et al. 2016, Not Just a Black Box), in nats.

    An entry is the derivative of the reply word's log-probability in the size of a word's embeddings: the sum over its
    tokens of gradient · embedding. Above zero the word speaks for the reply word, below zero against it. It is a first
    order estimate: entries do not add up to the log-probability.

    Args:
        model: a transformers causal language model in eval mode.
        ids: the whole text.
        words: all words of prompt and reply.
        reply: those of the reply.
        on_done: called with the number of reply words finished so far.

    Returns:
        Attributions [reply words, words], and the log-probability of each reply word [reply words].
    """
    import torch

    for weight in model.parameters():
        weight.requires_grad_(False)
    tokens = torch.tensor([list(ids)], device=model.device)
    embedded = model.get_input_embeddings()(tokens).detach().requires_grad_()
    log_probabilities = model(inputs_embeds=embedded, use_cache=False).logits[0, :-1].float().log_softmax(-1)
    written = log_probabilities.gather(-1, tokens[0, 1:, None])[:, 0]  # [tokens - 1], of the token after each position
    edges = [word.first for word in words]
    rows, likely = [], []
    for done, word in enumerate(reply, 1):
        value = written[word.first - 1 : word.last - 1].sum()
        (gradient,) = torch.autograd.grad(value, embedded, retain_graph=done < len(reply))
        scores = (gradient * embedded).sum(-1)[0].detach().float().cpu().numpy()
        rows.append(np.add.reduceat(scores, edges))
        likely.append(value.item())
        if on_done:
            on_done(done)
    return np.stack(rows).astype(np.float32), np.array(likely, np.float32)
