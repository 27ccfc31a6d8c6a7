"""Replies in progress: how many, with which sampling, watched piece by piece until they end or the client leaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from metier.contracts.errors import MetierError, RequestError
from metier.decoding.generation import Generation, Request
from metier.decoding.sampling import Sampling
from metier.prompting.reply_json import json_grammar
from metier.runtime.generation_predictor import CANDIDATE_TEMPERATURE
from metier.serve.api_errors import ApiError
from metier.serve.event_stream import merged
from metier.serve.metrics import ServerMetrics
from metier.serve.models import ServedModel
from metier.serve.settings import ServeSettings

MOST_STOPS = 4
LARGEST_SCHEMA = 64 << 10
"""Characters of a JSON schema in a request."""

Stops = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(max_length=MOST_STOPS),
    BeforeValidator(lambda value: [] if value is None else [value] if isinstance(value, str) else value),
]


class JsonSchemaFormat(BaseModel):
    """A schema that the reply follows."""

    name: str = "schema"
    schema_: dict[str, Any] | bool = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What a reply looks like."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchemaFormat | None = None

    def grammar(self) -> str | None:
        """The grammar that the reply must follow; None where it is free text.

        Raises:
            ApiError: the schema is missing or cannot be read.
        """
        if self.type == "text":
            return None
        schema: Any = {"type": "object"}
        if self.type == "json_schema":
            if self.json_schema is None:
                raise ApiError(400, "json_schema is missing", code="invalid", param="response_format.json_schema")
            schema = self.json_schema.schema_
        if len(json.dumps(schema)) > LARGEST_SCHEMA:
            raise ApiError(400, f"the schema has more than {LARGEST_SCHEMA} characters", code="invalid_schema")
        try:
            return json_grammar(schema)
        except MetierError as error:
            raise ApiError(400, error.what, code="invalid_schema", param="response_format") from error


class SamplingFields(BaseModel):
    """The fields of sampling that OpenAI's endpoints share. Unknown fields are ignored, as clients send new ones."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    repetition_penalty: float | None = Field(default=None, gt=0)
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    n: int | None = Field(default=None, ge=1)
    stop: Stops = []
    stream: bool | None = None

    def sampling(self, settings: ServeSettings, max_tokens: int | None) -> list[Sampling]:
        """The sampling of each of the `n` answers.

        Raises:
            ApiError: 400, a field that the engine does not have, or `n` is above the server's limit.
        """
        for name in ("frequency_penalty", "presence_penalty", "logit_bias"):
            if getattr(self, name):
                raise ApiError(400, f"{name} is not supported; leave it out", code="unsupported", param=name)
        count = self.n or 1
        if count > settings.max_n:
            raise ApiError(400, f"n is {count}; at most {settings.max_n} are drawn", code="invalid", param="n")
        temperature = self.temperature
        if temperature is None:
            temperature = CANDIDATE_TEMPERATURE if count > 1 else 0.0  # greedy replies would be equal
        fields: dict[str, Any] = {
            "temperature": temperature, "top_p": self.top_p, "repetition_penalty": self.repetition_penalty,
            "top_k": max(self.top_k, 0) if self.top_k is not None else None, "stop": tuple(self.stop) or None,
            "max_tokens": max_tokens,
        }  # fmt: skip
        given = {name: value for name, value in fields.items() if value is not None}
        seeds = [None if self.seed is None else self.seed + number for number in range(count)]
        return [Sampling(**given, seed=seed) for seed in seeds]


class StreamOptions(BaseModel):
    """What a stream carries besides the text."""

    include_usage: bool = False


@dataclass(frozen=True)
class ReplyOptions:
    """What all replies of one HTTP request have in common."""

    samplings: Sequence[Sampling]
    """One a reply to each prompt."""
    grammar: str | None = None
    logprobs: bool = False
    top_logprobs: int = 0


def submit(
    model: ServedModel, prompts: Sequence[Sequence[int]], options: ReplyOptions, settings: ServeSettings
) -> list[Generation]:
    """Start the replies to each prompt (token ids), prompt by prompt; all or none.

    Raises:
        MetierError: the queue is full, or prompt and reply do not fit.
    """
    started: list[Generation] = []
    try:
        for ids in prompts:
            room = model.engine.max_len - len(ids)
            for sampling in options.samplings:
                request = Request(
                    ids=tuple(ids),
                    sampling=sampling,
                    grammar=options.grammar,
                    max_tokens=sampling.max_tokens or max(1, min(settings.default_tokens, room)),
                    adapter=model.adapter,
                    logprobs=options.logprobs,
                    top_logprobs=options.top_logprobs,
                )
                started.append(model.engine.submit(request))
    except BaseException:
        for generation in started:
            generation.cancel()
        raise
    return started


@dataclass(frozen=True)
class Piece:
    """A step of a reply that a client sees."""

    text: str
    first: int
    """Token of the reply that is the first new one."""
    last: int
    """Token behind the last new one."""


async def pieces(generation: Generation, model: ServedModel, metrics: ServerMetrics) -> AsyncIterator[Piece]:
    """The pieces of a reply as they are decoded, timed; leaving the loop cancels the rest.

    Raises:
        MetierError: the reply failed. One that reached its token limit within a grammar is complete for the client.
    """
    begun, before, sent = time.monotonic(), None, 0
    timed = metrics.of(model)
    try:
        async for text in generation:
            now = time.monotonic()
            if before is None:
                timed.first_token(now - begun)
            elif len(generation.ids) > sent:
                timed.later_tokens(now - before, len(generation.ids) - sent)
            before, first, sent = now, sent, len(generation.ids)
            yield Piece(text, first, sent)
    except RequestError as error:
        if error.kind != "incomplete":
            raise
    finally:
        generation.cancel()
        timed.ended(time.monotonic() - begun, len(generation.request.ids), len(generation.ids), reason(generation))


async def complete(generations: Sequence[Generation], model: ServedModel, metrics: ServerMetrics) -> None:
    """Wait until all replies have ended; cancelling the awaiting task cancels them.

    Raises:
        MetierError: one failed.
    """

    async def ended(generation: Generation) -> None:
        async for _ in pieces(generation, model, metrics):
            pass

    tasks = [asyncio.ensure_future(ended(generation)) for generation in generations]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task, generation in zip(tasks, generations, strict=True):
            task.cancel()
            generation.cancel()


async def chunk_events(
    generations: Sequence[Generation],
    chunks: Callable[[int, Generation], AsyncGenerator[dict[str, Any], None]],
    last: Callable[[], dict[str, Any] | None],
) -> AsyncGenerator[dict[str, Any], None]:
    """The chunks of several replies as they come, then the last one; closing it cancels the replies.

    Args:
        generations: of one request.
        chunks: number and reply → its chunks.
        last: the chunk behind all others, such as the usage; None where there is none.
    """
    streams = [chunks(number, generation) for number, generation in enumerate(generations)]
    # One reply needs no merging, which costs a task and a wait for each token.
    stream = streams[0] if len(streams) == 1 else merged(*streams)
    try:
        async for chunk in stream:
            yield chunk
    finally:
        await stream.aclose()
        for generation in generations:
            generation.cancel()
    if (chunk := last()) is not None:
        yield chunk


def reason(generation: Generation) -> str:
    """Why a reply ended, as OpenAI names it."""
    if isinstance(generation.error, RequestError) and generation.error.kind == "incomplete":
        return "length"
    if generation.error is not None:
        return "error"
    return generation.finish_reason or "cancelled"


def usage(prompt_tokens: int, generations: Sequence[Generation]) -> dict[str, Any]:
    """Tokens of a request. The end token is not counted."""
    completion = sum(len(generation.ids) for generation in generations)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": prompt_tokens + completion,
    }


def token_logprobs(model: ServedModel, generation: Generation, first: int, last: int) -> list[dict[str, Any]]:
    """Log-probabilities of tokens `first` to `last` of a reply, as chat completions give them."""
    found = []
    for at in range(first, min(last, len(generation.logprobs))):
        top = generation.top_logprobs[at] if at < len(generation.top_logprobs) else []
        found.append(
            {
                **_token(model, generation.ids[at], generation.logprobs[at]),
                "top_logprobs": [_token(model, token, value) for token, value in top],
            }
        )
    return found


def _token(model: ServedModel, token: int, logprob: float) -> dict[str, Any]:
    raw = model.engine.bundle.tokenizer.token_bytes(token)
    # JSON has no minus infinity; OpenAI sends -9999 for what is that unlikely.
    return {"token": raw.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(raw)}
