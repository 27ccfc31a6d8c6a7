"""The OpenAPI document of a server, generated from the tasks that its bundles have."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier import __version__
from metier.serve.chat_completions import ChatRequest
from metier.serve.completions import CompletionRequest, DetokenizeRequest, TokenizeRequest
from metier.serve.embeddings import EmbeddingRequest
from metier.serve.operations import LoadRequest, UnloadRequest
from metier.serve.responses import ResponsesRequest
from metier.serve.state import State, state_of
from metier.serve.tasks import FeedbackRequest, TaskRequest

_BODIES: dict[str, tuple[Any, str]] = {
    "/v1/chat/completions": (ChatRequest, "Answer a conversation"),
    "/v1/completions": (CompletionRequest, "Continue a text"),
    "/v1/responses": (ResponsesRequest, "Answer an input"),
    "/v1/embeddings": (EmbeddingRequest, "Texts as vectors"),
    "/tokenize": (TokenizeRequest, "Token ids of a text or conversation"),
    "/detokenize": (DetokenizeRequest, "The text of token ids"),
    "/v1/feedback": (FeedbackRequest, "What a user did with an answer"),
    "/v1/load_lora_adapter": (LoadRequest, "Load an adapter"),
    "/v1/unload_lora_adapter": (UnloadRequest, "Unload an adapter"),
}
_READS = {
    "/v1/models": "List models",
    "/v1/tasks": "List tasks",
    "/health": "Whether the process answers",
    "/ready": "Whether the engines make progress",
    "/metrics": "Prometheus metrics",
}


async def openapi(request: Request) -> Response:
    """The document."""
    return JSONResponse(document(state_of(request)))


def document(state: State) -> dict[str, Any]:
    """OpenAPI 3.1, whose schemas are JSON Schema 2020-12."""
    paths: dict[str, Any] = {
        path: {"post": _operation(title, _schema(model))} for path, (model, title) in _BODIES.items()
    }
    paths |= {path: {"get": {"summary": title, "responses": _OK}} for path, title in _READS.items()}
    for engine in state.models.engines.values():
        for task in engine.bundle.manifest.every_task:
            schema = _schema(TaskRequest)
            schema["properties"]["input"] = _local(task.input)
            schema["properties"]["inputs"] = {"type": "array", "items": _local(task.input)}
            answer = {
                "type": "object",
                "properties": {"id": {"type": "string"}, "output": _local(task.output), "findings": {"type": "object"}},
            }
            paths[f"/v1/tasks/{task.name}"] = {"post": _operation(task.title, schema, answer)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Metier", "version": __version__},
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


_OK = {"200": {"description": "OK"}}


def _operation(title: str, schema: dict[str, Any], answer: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": answer}}} if answer else {}
    return {
        "summary": title,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "OK", **content}},
    }


def _schema(model: Any) -> dict[str, Any]:
    return _local(model.model_json_schema())


def _local(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose references point into itself, wherever in the document it stands."""
    definitions = schema.get("$defs", {})

    def inlined(node: Any, depth: int = 0) -> Any:
        if isinstance(node, dict):
            name = str(node.get("$ref", ""))
            if name.startswith("#/$defs/") and depth < 8:
                rest = {key: value for key, value in node.items() if key != "$ref"}
                return inlined({**definitions.get(name.removeprefix("#/$defs/"), {}), **rest}, depth + 1)
            if name.startswith("#/$defs/"):
                return {}
            return {key: inlined(value, depth) for key, value in node.items() if key != "$defs"}
        return [inlined(value, depth) for value in node] if isinstance(node, list) else node

    found: dict[str, Any] = inlined(schema)
    return found
