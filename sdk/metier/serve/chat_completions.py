"""`POST /v1/chat/completions`, as OpenAI's API reference describes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier.decoding.constraint import shortest_reply
from metier.decoding.generation import Generation
from metier.prompting.prompt import chat_ids
from metier.runtime.chat import checked_messages
from metier.serve.api_errors import ApiError, parsed
from metier.serve.event_stream import EventStream, until_disconnected
from metier.serve.generating import (
    ReplyOptions,
    ResponseFormat,
    SamplingFields,
    StreamOptions,
    chunk_events,
    complete,
    pieces,
    reason,
    submit,
    token_logprobs,
    usage,
)
from metier.serve.models import ServedModel
from metier.serve.state import State, state_of

MOST_TOP_LOGPROBS = 20


class TextPart(BaseModel):
    """A part of a message."""

    type: str
    text: str | None = None


class Message(BaseModel):
    """One message. `developer` is read as `system`, as the models know no other role."""

    model_config = ConfigDict(extra="ignore")

    role: str
    content: str | list[TextPart] | None = None

    def as_turn(self, number: int) -> dict[str, str]:
        """Role and text.

        Raises:
            ApiError: a role or a part that no model here reads.
        """
        place = f"messages.{number}"
        role = "system" if self.role == "developer" else self.role
        if role not in ("system", "user", "assistant"):
            raise ApiError(400, f"the role {self.role!r} is not supported", code="unsupported", param=f"{place}.role")
        if isinstance(self.content, list):
            other = next(
                (part.type for part in self.content if part.type not in ("text", "input_text", "output_text")), None
            )
            if other is not None:
                raise ApiError(
                    400,
                    f"a part of type {other!r} is not supported; send text",
                    code="unsupported",
                    param=f"{place}.content",
                )
            return {"role": role, "content": "".join(part.text or "" for part in self.content)}
        return {"role": role, "content": self.content or ""}


class ChatRequest(SamplingFields):
    """The body of a request."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    response_format: ResponseFormat = ResponseFormat()
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MOST_TOP_LOGPROBS)
    stream_options: StreamOptions | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None

    def check_supported(self) -> None:
        """Raise ApiError for what would change the answer and is not supported."""
        for name in ("tools", "functions", "audio"):
            if getattr(self, name):
                raise ApiError(
                    400, f"{name} is not supported by these models; leave it out", code="unsupported", param=name
                )
        if self.tool_choice not in (None, "none", "auto"):
            raise ApiError(400, "tool_choice is not supported", code="unsupported", param="tool_choice")
        if self.modalities and self.modalities != ["text"]:
            raise ApiError(400, "only the modality text is supported", code="unsupported", param="modalities")
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", code="invalid", param="top_logprobs")
        if self.stream_options is not None and not self.stream:
            raise ApiError(400, "stream_options needs stream: true", code="invalid", param="stream_options")


async def chat_completions(request: Request) -> Response:
    """Answer a conversation."""
    state = state_of(request)
    body = await parsed(request, ChatRequest)
    body.check_supported()
    model = state.models.get(body.model)
    messages = [message.as_turn(number) for number, message in enumerate(body.messages)]
    state.log_prompt(request, messages)
    samplings = body.sampling(state.settings, body.max_completion_tokens or body.max_tokens)
    grammar = body.response_format.grammar()
    ids = await asyncio.to_thread(encoded, model, messages, grammar)
    options = ReplyOptions(samplings, grammar, bool(body.logprobs), body.top_logprobs or 0)
    generations = submit(model, [ids], options, state.settings)
    head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": body.model or model.id}
    if body.stream:
        events = _events(state, model, generations, head, body, len(ids))
        return EventStream(events, heartbeat=state.settings.heartbeat)
    await until_disconnected(request.receive, complete(generations, model, state.metrics))
    return JSONResponse(
        {
            **head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": number,
                    "message": {"role": "assistant", "content": generation.text, "refusal": None},
                    "logprobs": _logprobs(model, generation, 0, len(generation.ids), bool(body.logprobs)),
                    "finish_reason": reason(generation),
                }
                for number, generation in enumerate(generations)
            ],
            "usage": usage(len(ids), generations),
        }
    )


def encoded(model: ServedModel, messages: Sequence[dict[str, str]], grammar: str | None) -> list[int]:
    """Token ids of a conversation; a grammar is compiled here, not on the engine's thread.

    Raises:
        MetierError: the template refuses the roles, the bundle has no decoder, or the grammar cannot be read.
    """
    bundle = model.engine.bundle
    ids = chat_ids(bundle.tokenizer, checked_messages(messages))
    if grammar is not None and bundle.manifest.graph is not None:
        shortest_reply(bundle.tokenizer, grammar, bundle.manifest.graph.vocab_size)
    return ids


def _events(
    state: State,
    model: ServedModel,
    generations: Sequence[Generation],
    head: dict[str, Any],
    body: ChatRequest,
    prompt_tokens: int,
) -> AsyncIterator[dict[str, Any]]:
    """The chunks of a stream: a first one with the role, the text, the reason of the end, and the usage last."""
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    base = {**head, "object": "chat.completion.chunk", **({"usage": None} if include_usage else {})}

    async def chunks(number: int, generation: Generation) -> AsyncGenerator[dict[str, Any], None]:
        def choice(delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> dict[str, Any]:
            found = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            return {**base, "choices": [found]}

        yield choice({"role": "assistant", "content": ""})
        shown = 0
        async for piece in pieces(generation, model, state.metrics):
            shown = piece.last
            logprobs = _logprobs(model, generation, piece.first, piece.last, bool(body.logprobs))
            yield choice({"content": piece.text}, logprobs=logprobs)
        if body.logprobs and shown < len(generation.ids):  # tokens without visible text, such as a stop string's
            logprobs = _logprobs(model, generation, shown, len(generation.ids), True)
            yield choice({"content": ""}, logprobs=logprobs)
        yield choice({}, reason(generation))

    def last() -> dict[str, Any] | None:
        return {**base, "choices": [], "usage": usage(prompt_tokens, generations)} if include_usage else None

    return chunk_events(generations, chunks, last)


def _logprobs(
    model: ServedModel, generation: Generation, first: int, last: int, wanted: bool
) -> dict[Literal["content", "refusal"], Any] | None:
    return {"content": token_logprobs(model, generation, first, last), "refusal": None} if wanted else None
