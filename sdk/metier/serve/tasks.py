"""The tasks' own endpoints: typed inputs in, outputs with findings out; and what users did with the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier.contracts import Answer, Caller, Check, ContractError, TaskContract
from metier.contracts.answer import new_id
from metier.contracts.check import run_checks
from metier.contracts.errors import MetierError
from metier.decoding.sampling import Sampling
from metier.prompting.reply import decode_reply
from metier.runtime.engine import Engine
from metier.serve.api_errors import ApiError, api_error, parsed
from metier.serve.event_stream import EventStream, until_disconnected
from metier.serve.state import State, state_of


class TaskRequest(BaseModel):
    """The body of a request: one `input`, or many `inputs`."""

    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any] | None = None
    inputs: list[dict[str, Any]] | None = None
    adapter: str | None = None
    language: str | None = None
    check: bool = True
    """Whether the installed trade's checks run."""
    retries: int = Field(default=0, ge=0, le=8)
    candidates: int = Field(default=1, ge=1)
    deadline: float | None = Field(default=None, gt=0)
    stream: bool = False
    user: str | None = None
    consent: bool = False
    keep_until: AwareDatetime | None = None
    record: bool = True
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = Field(default=None, ge=1)

    def sampling(self) -> dict[str, Any]:
        """The sampling fields that are given."""
        given = {name: getattr(self, name, None) for name in Sampling.model_fields}
        return {name: value for name, value in given.items() if value is not None}

    def caller(self, answer_id: str | None = None) -> Caller:
        """Who the answer is for."""
        return Caller(user=self.user, consent=self.consent, keep_until=self.keep_until, answer_id=answer_id)

    def checks(self, task: str, state: State) -> tuple[Check, ...]:
        """The checks that run on its answers."""
        return state.checks.get(task, ()) if self.check else ()

    def options(self, task: str, state: State) -> dict[str, Any]:
        """The options of `Engine.answer`."""
        return {
            "checks": self.checks(task, state), "adapter": self.adapter, "caller": self.caller(),
            "language": self.language, "retries": self.retries, "candidates": self.candidates,
            "deadline": self.deadline, "record": self.record and state.store is not None, **self.sampling(),
        }  # fmt: skip


async def list_tasks(request: Request) -> Response:
    """Every task of every bundle, with the JSON Schema of its input and output."""
    state = state_of(request)
    found = [
        described(task, name)
        for name, engine in state.models.engines.items()
        for task in engine.bundle.manifest.every_task
    ]
    return JSONResponse({"object": "list", "data": found})


def described(task: TaskContract, bundle: str) -> dict[str, Any]:
    """A task as JSON."""
    return {
        "name": task.name,
        "title": task.title,
        "description": task.description,
        "kind": task.kind.value,
        "languages": list(task.prompts),
        "bundle": bundle,
        "input": task.input,
        "output": task.output,
    }


async def run_task(request: Request) -> Response:
    """Answer one input or many."""
    state, name = state_of(request), request.path_params["task"]
    engine = state.models.engine_for(name)
    body = await parsed(request, TaskRequest)
    if (body.input is None) == (body.inputs is None):
        raise ApiError(400, "give either input or inputs", code="invalid", param="input")
    if body.candidates > state.settings.max_n:
        raise ApiError(400, f"at most {state.settings.max_n} candidates", code="invalid", param="candidates")
    state.log_prompt(request, body.input or body.inputs)
    if body.inputs is not None:
        return await _batch(request, state, engine, name, body)
    if body.stream:
        return EventStream(_stream(state, engine, name, body), heartbeat=state.settings.heartbeat)
    answer = await until_disconnected(request.receive, answered(state, engine, name, body.input or {}, body))
    return JSONResponse(as_json(answer))


async def answered(state: State, engine: Engine, task: str, input: dict[str, Any], body: TaskRequest) -> Answer:
    """The answer to one input, by the registry's versions where the server follows one for this task.

    Raises:
        ApiError: 400 for an input that misses the contract, 502 where every reply does.
    """
    contract = engine.bundle.task(task)
    try:
        contract.check_language(body.language)
        contract.check_input(input)
    except ContractError as error:
        raise ApiError(400, error.what, code="input", param="input") from error
    options = body.options(task, state)
    live = state.live
    try:
        if live is not None and live.registry.task.name == task and body.adapter is None:
            for name in ("checks", "adapter", "caller", "record"):
                options.pop(name)
            answer = await live.aanswer(input, user=body.user, consent=body.consent, **options)
        else:
            answer = await engine.aanswer(task, input, options.pop("checks"), **options)
    except ContractError as error:
        raise ApiError(502, f"the reply misses the contract: {error.what}", code="reply") from error
    state.metrics.answers.labels(task).inc()
    if not answer.passed:
        state.metrics.findings.labels(task).inc()
    return answer


async def _batch(request: Request, state: State, engine: Engine, task: str, body: TaskRequest) -> Response:
    """Answers in order; a row that fails carries its own error."""
    inputs = body.inputs or []
    if len(inputs) > state.settings.max_batch:
        raise ApiError(400, f"at most {state.settings.max_batch} inputs", code="invalid", param="inputs")
    if body.stream:
        raise ApiError(400, "a batch is not streamed", code="unsupported", param="stream")

    async def one(number: int, input: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"index": number, **as_json(await answered(state, engine, task, input, body))}
        except (MetierError, ApiError) as error:
            return {"index": number, **api_error(error).body()}

    work = asyncio.gather(*(one(number, input) for number, input in enumerate(inputs)))
    return JSONResponse({"object": "list", "data": await until_disconnected(request.receive, work)})


async def _stream(state: State, engine: Engine, task: str, body: TaskRequest) -> AsyncIterator[dict[str, Any]]:
    """Pieces of the reply's text; the last event has the output, read back from the whole text, and the findings."""
    if body.candidates != 1 or body.retries:
        raise ApiError(400, "a stream takes no candidates or retries", code="unsupported", param="stream")
    input = body.input or {}
    contract = engine.bundle.task(task)
    recorded = body.record and state.store is not None
    id = new_id() if recorded else None
    text = ""
    async for piece in engine.astream(
        task, input, language=body.language, adapter=body.adapter, deadline=body.deadline, caller=body.caller(id),
        record=recorded, **body.sampling(),
    ):  # fmt: skip
        text += piece
        yield {"type": "delta", "delta": piece}
    output = contract.check_output(decode_reply(contract, text))
    found = run_checks(body.checks(task, state), input, output)
    state.metrics.answers.labels(task).inc()
    yield {"type": "answer", "id": id, "output": output, "findings": _findings(found)}


def as_json(answer: Answer) -> dict[str, Any]:
    """An answer as JSON."""
    return {
        "id": answer.id,
        "object": "answer",
        "task": answer.task,
        "output": answer.output,
        "findings": _findings(answer.findings),
        "adapter": answer.adapter,
        "bundle": answer.bundle,
        "attempts": answer.attempts,
        "finish_reason": answer.finish_reason,
        "probabilities": answer.probabilities,
    }


def _findings(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {name: [finding.model_dump() for finding in each] for name, each in found.items() if each}


class FeedbackRequest(BaseModel):
    """What a user did with an answer."""

    model_config = ConfigDict(extra="forbid")

    answer: str
    kind: str
    user: str | None = None
    edited_to: dict[str, Any] | None = None
    among: list[dict[str, Any]] = []
    rating: float | None = None
    comment: str | None = None


async def add_feedback(request: Request) -> Response:
    """Write one event into the feedback store."""
    state = state_of(request)
    if state.store is None:
        raise ApiError(409, "the server has no feedback store; start it with --store FILE", code="no_store")
    body = await parsed(request, FeedbackRequest)
    fields = body.model_dump(exclude={"answer", "kind"}, exclude_defaults=True)
    event = await asyncio.to_thread(state.store.add_event, body.answer, body.kind, **fields)
    return JSONResponse({"id": event.id, "object": "feedback", "answer": event.answer, "kind": event.kind.value}, 201)
