"""`POST /v1/completions`: text in, text out, without a chat template; and `POST /tokenize` and `/detokenize`."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier.decoding.generation import Generation
from metier.prompting.prompt import chat_ids
from metier.runtime.chat import checked_messages
from metier.serve.api_errors import ApiError, parsed
from metier.serve.chat_completions import Message
from metier.serve.event_stream import EventStream, until_disconnected
from metier.serve.generating import (
    ReplyOptions,
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


class CompletionRequest(SamplingFields):
    """The body of a request."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: int = Field(default=16, ge=1)  # OpenAI's default
    logprobs: int | None = Field(default=None, ge=0, le=5)
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None
    stream_options: StreamOptions | None = None

    def check_supported(self) -> None:
        """Raise ApiError for what would change the answer and is not supported."""
        for name, neutral in (("echo", (None, False)), ("suffix", (None, "")), ("best_of", (None, 1, self.n))):
            if getattr(self, name) not in neutral:
                raise ApiError(400, f"{name} is not supported; leave it out", code="unsupported", param=name)

    def prompts(self, model: ServedModel, most: int) -> list[list[int]]:
        """Token ids of each prompt.

        Raises:
            ApiError: there is none, or there are more than `most`.
        """
        given: Any = self.prompt
        if isinstance(given, str) or (given and isinstance(given[0], int)):
            given = [given]
        if not given or len(given) > most:
            raise ApiError(400, f"give one prompt or a list of at most {most}", code="invalid", param="prompt")
        tokenizer = model.engine.bundle.tokenizer
        return [tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt) for prompt in given]


async def completions(request: Request) -> Response:
    """Continue one or several texts."""
    state = state_of(request)
    body = await parsed(request, CompletionRequest)
    body.check_supported()
    model = state.models.get(body.model)
    prompts = body.prompts(model, state.settings.max_batch)
    state.log_prompt(request, body.prompt)
    samplings = body.sampling(state.settings, body.max_tokens)
    wanted = body.logprobs is not None
    options = ReplyOptions(samplings, None, wanted, body.logprobs or 0)
    generations = submit(model, prompts, options, state.settings)
    prompt_tokens = sum(map(len, prompts))
    head = {"id": f"cmpl-{uuid4().hex}", "created": int(time.time()), "model": body.model or model.id}
    head["object"] = "text_completion"
    if body.stream:
        events = _events(state, model, generations, head, body, prompt_tokens)
        return EventStream(events, heartbeat=state.settings.heartbeat)
    await until_disconnected(request.receive, complete(generations, model, state.metrics))
    choices = [
        {
            "index": number,
            "text": generation.text,
            "logprobs": _logprobs(model, generation, 0, len(generation.ids)) if wanted else None,
            "finish_reason": reason(generation),
        }
        for number, generation in enumerate(generations)
    ]
    return JSONResponse({**head, "choices": choices, "usage": usage(prompt_tokens, generations)})


def _events(
    state: State,
    model: ServedModel,
    generations: Sequence[Generation],
    head: dict[str, Any],
    body: CompletionRequest,
    prompt_tokens: int,
) -> AsyncIterator[dict[str, Any]]:
    """The chunks of a stream: the text, the reason of the end, and the usage last."""
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    base = {**head, **({"usage": None} if include_usage else {})}

    async def chunks(number: int, generation: Generation) -> AsyncGenerator[dict[str, Any], None]:
        def choice(text: str, finish: str | None = None, logprobs: Any = None) -> dict[str, Any]:
            found = {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish}
            return {**base, "choices": [found]}

        async for piece in pieces(generation, model, state.metrics):
            logprobs = None
            if body.logprobs is not None:
                logprobs = _logprobs(model, generation, piece.first, piece.last)
            yield choice(piece.text, logprobs=logprobs)
        yield choice("", reason(generation))

    def last() -> dict[str, Any] | None:
        return {**base, "choices": [], "usage": usage(prompt_tokens, generations)} if include_usage else None

    return chunk_events(generations, chunks, last)


def _logprobs(model: ServedModel, generation: Generation, first: int, last: int) -> dict[str, Any]:
    """Log-probabilities in the older form of completions."""
    tokens = token_logprobs(model, generation, first, last)
    offsets, at = [], 0
    for token in token_logprobs(model, generation, 0, last):
        offsets.append(at)
        at += len(token["token"])
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{one["token"]: one["logprob"] for one in token["top_logprobs"]} for token in tokens],
        "text_offset": offsets[first:],
    }


class TokenizeRequest(BaseModel):
    """A text or a conversation."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None


async def tokenize(request: Request) -> Response:
    """Token ids of a text, or of a conversation through the chat template."""
    state = state_of(request)
    body = await parsed(request, TokenizeRequest)
    model = state.models.get(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give either prompt or messages", code="invalid", param="prompt")
    tokenizer = model.engine.bundle.tokenizer
    if body.messages is not None:
        turns = [message.as_turn(number) for number, message in enumerate(body.messages)]
        ids = chat_ids(tokenizer, checked_messages(turns))
    else:
        ids = tokenizer.encode(body.prompt or "")
    return JSONResponse({"tokens": ids, "count": len(ids), "max_model_len": model.engine.max_len})


class DetokenizeRequest(BaseModel):
    """Token ids."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    tokens: list[int]


async def detokenize(request: Request) -> Response:
    """The text of token ids."""
    state = state_of(request)
    body = await parsed(request, DetokenizeRequest)
    tokenizer = state.models.get(body.model).engine.bundle.tokenizer
    if any(not 0 <= token < tokenizer.vocab_size for token in body.tokens):
        raise ApiError(400, f"token ids are 0 to {tokenizer.vocab_size - 1}", code="invalid", param="tokens")
    return JSONResponse({"prompt": tokenizer.decode(body.tokens, skip_special=False)})
