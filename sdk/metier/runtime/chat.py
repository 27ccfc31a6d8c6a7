"""Chat without a task contract: messages in, through the bundle's own chat template, text out. Nothing is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import FinishReason, UsageError
from metier.contracts.schema import Data
from metier.decoding.decoder_session import DecoderSession
from metier.decoding.generation import Generation, Request
from metier.decoding.sampling import Sampling
from metier.prompting.prompt import chat_ids
from metier.runtime.bundle import Bundle

ROLES = ("system", "user", "assistant")
MAX_TOKENS = 256
"""Tokens of a reply, unless the caller gives another bound or the row has fewer left."""


class ChatReply(Data):
    """The reply to a conversation."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    """Tokens of the whole conversation, the chat template's own included."""
    reply_tokens: int
    """Tokens of the reply, without the end token."""
    adapter: str | None = None


def chat_request(
    bundle: Bundle,
    session: DecoderSession,
    messages: Sequence[Mapping[str, Any]],
    adapter: str | None,
    deadline: float | None,
    sampling: Mapping[str, Any],
) -> Request:
    """The request for the reply to a conversation. Arguments as `Engine.chat`.

    Raises:
        UsageError: a message or a sampling field is not valid, or the bundle contains heads only.
        BaseError: the bundle has no chat template, or the template refuses the roles.
    """
    ids = chat_ids(bundle.tokenizer, checked_messages(messages))
    parsed = Sampling.parse(sampling)
    return Request(
        ids=tuple(ids),
        sampling=parsed,
        max_tokens=parsed.max_tokens or session.reply_bound(MAX_TOKENS, ids, None),
        adapter=adapter,
        deadline=deadline,
    )


def checked_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A conversation that a chat template can read.

    Raises:
        UsageError: it is empty or ends with the assistant, or a message has not exactly role and content.
    """
    checked = [_message(number, given) for number, given in enumerate(messages, 1)]
    if not checked or checked[-1]["role"] == "assistant":
        raise UsageError("a conversation ends with a message of the user", remedy="append the user's message")
    return checked


def chat_reply(generation: Generation, text: str) -> ChatReply:
    """A complete generation as a reply."""
    return ChatReply(
        text=text,
        finish_reason=generation.finish_reason or "stop",
        prompt_tokens=len(generation.request.ids),
        reply_tokens=len(generation.ids),
        adapter=generation.request.adapter,
    )


def _message(number: int, given: Any) -> dict[str, str]:
    where = f"message {number}"
    if not isinstance(given, Mapping) or set(given) != {"role", "content"}:
        raise UsageError("a message has exactly role and content", where=where, remedy="give {role, content}")
    if given["role"] not in ROLES:
        raise UsageError(f"there is no role {given['role']!r}", where=where, remedy=f"use one of {', '.join(ROLES)}")
    if not isinstance(given["content"], str):
        raise UsageError(
            f"the content is a {type(given['content']).__name__}, not text", where=where, remedy="give a string"
        )
    return {"role": given["role"], "content": given["content"]}
