"""Endpoints for operators: models, adapters at run time, health, readiness and metrics."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier.serve.api_errors import ApiError, parsed
from metier.serve.state import state_of


async def list_models(request: Request) -> Response:
    """Every model: bundles and their adapters."""
    models = state_of(request).models
    return JSONResponse({"object": "list", "data": [model.as_json(models.created) for model in models.all()]})


async def show_model(request: Request) -> Response:
    """One model."""
    models = state_of(request).models
    return JSONResponse(models.get(request.path_params["model"]).as_json(models.created))


class LoadRequest(BaseModel):
    """An adapter to load."""

    model_config = ConfigDict(extra="forbid")

    lora_name: str
    lora_path: str
    load_inplace: bool = False
    """Replace an adapter of that name that was loaded before."""
    bundle: str | None = None
    """Which bundle gets it, where several take adapters."""


async def load_adapter(request: Request) -> Response:
    """Load an adapter from one of the folders that the operator allows."""
    state = state_of(request)
    body = await parsed(request, LoadRequest)
    bundle = await state.models.load_adapter(
        state.settings, body.lora_name, body.lora_path, body.bundle, body.load_inplace
    )
    return JSONResponse({"object": "adapter", "id": body.lora_name, "bundle": bundle, "loaded": True})


class UnloadRequest(BaseModel):
    """An adapter to unload."""

    model_config = ConfigDict(extra="forbid")

    lora_name: str


async def unload_adapter(request: Request) -> Response:
    """Remove an adapter that was loaded at run time."""
    state = state_of(request)
    body = await parsed(request, UnloadRequest)
    await state.models.unload_adapter(body.lora_name)
    return JSONResponse({"object": "adapter", "id": body.lora_name, "loaded": False})


async def health(_request: Request) -> Response:
    """Whether the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Whether the engines make progress: 503 while draining, closed, or without a step although there is work."""
    state = state_of(request)
    if state.draining:
        raise ApiError(503, "the server is draining", code="draining")
    for name, engine in state.models.engines.items():
        load = engine.load()
        if load.closed:
            raise ApiError(503, f"the engine of {name} is closed", code="closed")
        if load.stalled_for > state.settings.stall_after:
            raise ApiError(503, f"the engine of {name} has made no step for {load.stalled_for:.0f} s", code="stalled")
    return JSONResponse({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(state_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
