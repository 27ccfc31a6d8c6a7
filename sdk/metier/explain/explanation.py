"""One reply explained: its words, attention per layer and head, rollout and attribution, together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from metier.contracts import TaskContract, UsageError, Value
from metier.decoding.tokenizer import ChatTokenizer
from metier.explain.attention import reply_attention, rollout, token_attention
from metier.explain.attribution import input_attribution
from metier.explain.words import Role, Word, token_roles, words_of
from metier.prompting.prompt import messages as messages_of
from metier.prompting.prompt import prompt_ids

Floats = np.ndarray[Any, np.dtype[np.float32]]

MOST_TOKENS = 768
"""Of prompt and reply: attention of 336 heads is then 800 MB in fp32."""


@dataclass(frozen=True)
class Explanation:
    """What a model looked at when it wrote a reply."""

    title: str
    """Which model: a fine-tune's name, or a base's."""
    task: str
    words: tuple[Word, ...]
    """Of prompt and reply, in order."""
    reply: tuple[Word, ...]
    """The words of the reply alone."""
    attention: Floats
    """[layers, heads, reply words, words]; rows sum to 1."""
    rollout: Floats
    """[reply words, words]; rows sum to 1."""
    attribution: Floats
    """[reply words, words], in nats; below zero speaks against the reply word."""
    log_probability: Floats
    """Of each reply word, in nats."""


def explain(
    model: Any,
    tokenizer: ChatTokenizer,
    task: TaskContract,
    input: Value,
    *,
    reply: str,
    title: str = "",
    language: str | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Explain one reply to an input of a task.

    Args:
        model: a transformers causal language model in eval mode; it is switched to eager attention.
        tokenizer: the base's.
        task: whose prompt is used.
        input: a value of its input type.
        reply: the text that is explained: what the model wrote, or any other.
        title: which model it is, for the page.
        language: of the prompt; None takes the input's own.
        on_done: called with (reply words finished, all).

    Raises:
        UsageError: the reply is empty, or prompt and reply are too long.
        ContractError: the input does not satisfy the task.
        BaseError: the model does not return its attention.
    """
    prompt = prompt_ids(tokenizer, task, input, language=language)
    written = tokenizer.encode(tokenizer.escape_control_tokens(reply))
    if not written:
        raise UsageError("the reply is empty, so there is nothing to explain", remedy="give another input, or a reply")
    ids = [*prompt, *written]
    if len(ids) > MOST_TOKENS:
        raise UsageError(
            f"prompt and reply have {len(ids)} tokens; at most {MOST_TOKENS} are explained",
            remedy="give a shorter input or reply",
        )
    pieces = [tokenizer.token_bytes(token) for token in ids]
    contents = [
        (cast("Role", message["role"]), tokenizer.escape_control_tokens(message["content"]))
        for message in messages_of(task, input, language=language)
    ]
    roles = token_roles(pieces[: len(prompt)], contents)
    roles.extend("reply" for _ in written)
    words = words_of(pieces, roles)
    own = [word for word in words if word.role == "reply"]
    attention = token_attention(model, ids)
    flow = reply_attention(rollout(attention), words, own)
    by_head = np.stack([reply_attention(layer, words, own) for layer in attention])
    del attention
    tick = (lambda done: on_done(done, len(own))) if on_done else None
    scores, likely = input_attribution(model, ids, words, own, on_done=tick)
    return Explanation(title, task.name, tuple(words), tuple(own), by_head, flow, scores, likely)
