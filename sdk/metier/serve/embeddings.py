"""`POST /v1/embeddings`: texts as vectors of length 1, by a bundle's encoder."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier.runtime.engine import Engine
from metier.serve.api_errors import ApiError, parsed
from metier.serve.state import State, state_of


class EmbeddingRequest(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    input: str | list[str] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


async def embeddings(request: Request) -> Response:
    """Vectors of one or many texts."""
    state = state_of(request)
    body = await parsed(request, EmbeddingRequest)
    texts = [body.input] if isinstance(body.input, str) else body.input
    if len(texts) > state.settings.max_batch:
        raise ApiError(400, f"at most {state.settings.max_batch} texts", code="invalid", param="input")
    engine, head = _encoder(state, body.model)
    vectors = await asyncio.to_thread(engine.embed, texts, head=head)
    if body.dimensions not in (None, vectors.shape[1]):
        raise ApiError(400, f"the vectors have {vectors.shape[1]} dimensions", code="unsupported", param="dimensions")
    data = [
        {"object": "embedding", "index": number, "embedding": _encoded(vector, body.encoding_format)}
        for number, vector in enumerate(vectors)
    ]
    tokens = sum(len(engine.bundle.tokenizer.encode(text)) for text in texts) if engine.bundle.chat else 0
    return JSONResponse(
        {
            "object": "list",
            "data": data,
            "model": body.model or "",
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _encoder(state: State, model: str | None) -> tuple[Engine, str | None]:
    """The engine and the head whose vectors a request names: a head, or a bundle with one head."""
    for name, engine in state.models.engines.items():
        heads = engine.heads.names()
        if model in heads:
            return engine, model
        if heads and (model in (None, "", name)):
            return engine, None
    known = [head for engine in state.models.engines.values() for head in engine.heads.names()]
    raise ApiError(
        404,
        f"there is no encoder {model!r}; " + (f"name one of {', '.join(known)}" if known else "no bundle here has one"),
        code="model_not_found",
        param="model",
    )


def _encoded(vector: np.ndarray[Any, Any], form: str) -> Any:
    values = np.ascontiguousarray(vector, "<f4")
    return base64.b64encode(values.tobytes()).decode() if form == "base64" else values.tolist()
