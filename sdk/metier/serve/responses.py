"""`POST /v1/responses`: the subset of OpenAI's Responses API that text models answer, with its full event sequence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier.decoding.generation import Generation
from metier.serve.api_errors import ApiError, api_error, parsed
from metier.serve.chat_completions import Message, encoded
from metier.serve.event_stream import EventStream, until_disconnected
from metier.serve.generating import (
    JsonSchemaFormat,
    ReplyOptions,
    ResponseFormat,
    SamplingFields,
    complete,
    pieces,
    reason,
    submit,
    usage,
)
from metier.serve.models import ServedModel
from metier.serve.state import State, state_of


class TextFormat(BaseModel):
    """What the text looks like."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "schema"
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")

    def response_format(self) -> ResponseFormat:
        """As chat completions have it."""
        schema = None
        if self.schema_ is not None:
            schema = JsonSchemaFormat.model_validate({"name": self.name, "schema": self.schema_})
        return ResponseFormat(type=self.type, json_schema=schema)


class TextSettings(BaseModel):
    """The `text` field."""

    model_config = ConfigDict(extra="ignore")

    format: TextFormat = TextFormat()


class ResponsesRequest(SamplingFields):
    """The body of a request."""

    input: str | list[Message] = Field(min_length=1)
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    text: TextSettings = TextSettings()
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    tools: list[Any] | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None

    def messages(self) -> list[dict[str, str]]:
        """The conversation.

        Raises:
            ApiError: a field that is not supported.
        """
        for name in ("previous_response_id", "conversation", "background", "tools"):
            if getattr(self, name):
                remedy = "send the whole conversation in input" if name != "tools" else "leave it out"
                raise ApiError(400, f"{name} is not supported; {remedy}", code="unsupported", param=name)
        first = [{"role": "system", "content": self.instructions}] if self.instructions else []
        if isinstance(self.input, str):
            return [*first, {"role": "user", "content": self.input}]
        return [*first, *(message.as_turn(number) for number, message in enumerate(self.input))]


async def responses(request: Request) -> Response:
    """Answer an input."""
    state = state_of(request)
    body = await parsed(request, ResponsesRequest)
    messages = body.messages()
    model = state.models.get(body.model)
    state.log_prompt(request, messages)
    (sampling,) = body.model_copy(update={"n": 1}).sampling(state.settings, body.max_output_tokens)
    grammar = body.text.format.response_format().grammar()
    ids = await asyncio.to_thread(encoded, model, messages, grammar)
    (generation,) = submit(model, [ids], ReplyOptions([sampling], grammar), state.settings)
    view = _View(body, model, generation, int(time.time()))
    if body.stream:
        return EventStream(_events(state, view), heartbeat=state.settings.heartbeat, done=False)
    await until_disconnected(request.receive, complete([generation], model, state.metrics))
    return JSONResponse(view.response(ended=True))


class _View:
    """One response as JSON, at any time of its life."""

    def __init__(self, body: ResponsesRequest, model: ServedModel, generation: Generation, created: int) -> None:
        self.body, self.model, self.generation, self.created = body, model, generation, created
        self.id, self.item = f"resp_{uuid4().hex}", f"msg_{uuid4().hex}"

    def part(self, text: str) -> dict[str, Any]:
        """The content part with a text."""
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        """The output item."""
        return {"id": self.item, "type": "message", "role": "assistant", "status": status, "content": content}

    def response(self, *, ended: bool, error: Exception | None = None) -> dict[str, Any]:
        """The response object."""
        generation, body = self.generation, self.body
        cut = ended and reason(generation) == "length"
        status = "failed" if error else "in_progress" if not ended else "incomplete" if cut else "completed"
        counts = usage(len(generation.request.ids), [generation])
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": {"code": "server_error", "message": api_error(error).message} if error else None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": body.model or self.model.id,
            "output": [self.message(status, [self.part(generation.text)])] if ended and not error else [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "temperature": generation.request.sampling.temperature,
            "text": {"format": body.text.format.model_dump(by_alias=True, exclude_none=True)},
            "tool_choice": "none",
            "tools": [],
            "top_p": generation.request.sampling.top_p,
            "truncation": "disabled",
            "usage": {
                "input_tokens": counts["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": counts["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": counts["total_tokens"],
            }
            if ended
            else None,
            "metadata": body.metadata or {},
        }


async def _events(state: State, view: _View) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Every event of a streamed response, in the order of the API reference, numbered from 0."""
    numbers = count()

    def event(kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        return kind, {"type": kind, "sequence_number": next(numbers), **fields}

    place = {"item_id": view.item, "output_index": 0, "content_index": 0}
    yield event("response.created", response=view.response(ended=False))
    yield event("response.in_progress", response=view.response(ended=False))
    yield event("response.output_item.added", output_index=0, item=view.message("in_progress", []))
    yield event("response.content_part.added", **place, part=view.part(""))
    try:
        async for piece in pieces(view.generation, view.model, state.metrics):
            yield event("response.output_text.delta", **place, delta=piece.text, logprobs=[])
    except Exception as error:
        yield event("response.failed", response=view.response(ended=True, error=error))
        return
    text, response = view.generation.text, view.response(ended=True)
    yield event("response.output_text.done", **place, text=text, logprobs=[])
    yield event("response.content_part.done", **place, part=view.part(text))
    yield event("response.output_item.done", output_index=0, item=response["output"][0])
    yield event(f"response.{response['status']}", response=response)
