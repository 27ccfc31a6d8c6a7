"""The ASGI application: routes, errors and middleware put together."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from metier.contracts import Check
from metier.contracts.errors import MetierError
from metier.feedback.store import FeedbackStore
from metier.iterate.live_engine import LiveEngine
from metier.runtime.engine import Engine
from metier.serve.access import Access
from metier.serve.api_errors import ApiError, on_error
from metier.serve.chat_completions import chat_completions
from metier.serve.completions import completions, detokenize, tokenize
from metier.serve.embeddings import embeddings
from metier.serve.metrics import ServerMetrics
from metier.serve.models import ServedModels
from metier.serve.openapi import openapi
from metier.serve.operations import health, list_models, load_adapter, metrics, ready, show_model, unload_adapter
from metier.serve.responses import responses
from metier.serve.settings import ServeSettings
from metier.serve.state import State
from metier.serve.tasks import add_feedback, list_tasks, run_task

JS_CLIENT_HEADERS = (
    "authorization", "content-type", "idempotency-key", "openai-beta", "openai-organization", "openai-project",
    "x-request-id", "x-stainless-arch", "x-stainless-lang", "x-stainless-os", "x-stainless-package-version",
    "x-stainless-runtime", "x-stainless-runtime-version", "x-stainless-retry-count", "x-stainless-timeout",
    "x-stainless-helper-method", "x-stainless-poll-helper", "x-stainless-custom-poll-interval",
)  # fmt: skip
"""Headers that OpenAI's JavaScript client sends; a browser asks for each of them before it calls another origin."""
CLIENT_READS = ("x-request-id", "retry-after")
"""Headers that the client reads from an answer; a page of another origin sees none that is not named."""


def create_app(
    engines: Sequence[Engine],
    settings: ServeSettings | None = None,
    *,
    checks: dict[str, tuple[Check, ...]] | None = None,
    store: FeedbackStore | None = None,
    live: LiveEngine | None = None,
) -> Starlette:
    """An ASGI application over open engines.

    Args:
        engines: at least one; their bundles' names are the models' names.
        settings: who may call it, and how much.
        checks: task → the trade's checks, run on answers to typed tasks.
        store: where answers and feedback are kept; the engines' recorder writes into it.
        live: follows a registry; its versions answer the registry's task.
    """
    settings = settings or ServeSettings()
    models = ServedModels.of(engines)
    state = State(settings, models, ServerMetrics(models), checks or {}, store, live)
    post = ["POST"]
    app = Starlette(
        routes=[
            Route("/v1/models", list_models),
            Route("/v1/models/{model:path}", show_model),
            Route("/v1/chat/completions", chat_completions, methods=post),
            Route("/v1/completions", completions, methods=post),
            Route("/v1/responses", responses, methods=post),
            Route("/v1/embeddings", embeddings, methods=post),
            Route("/tokenize", tokenize, methods=post),
            Route("/detokenize", detokenize, methods=post),
            Route("/v1/tasks", list_tasks),
            Route("/v1/tasks/{task}", run_task, methods=post),
            Route("/v1/feedback", add_feedback, methods=post),
            Route("/v1/load_lora_adapter", load_adapter, methods=post),
            Route("/v1/unload_lora_adapter", unload_adapter, methods=post),
            Route("/openapi.json", openapi),
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", metrics),
        ],
        exception_handlers={
            ApiError: on_error,
            MetierError: on_error,
            HTTPException: on_error,
            Exception: on_error,
        },
        middleware=[
            Middleware(
                CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"],
                allow_headers=JS_CLIENT_HEADERS, expose_headers=CLIENT_READS,
            ),
            Middleware(Access, state=state),
        ],
    )  # fmt: skip
    app.state.metier = state
    return app
