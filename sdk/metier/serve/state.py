"""What every request of a server shares: settings, models, metrics, and what the operator allows to be logged."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from metier.contracts import Check
from metier.feedback.store import FeedbackStore
from metier.iterate.live_engine import LiveEngine
from metier.serve.metrics import ServerMetrics
from metier.serve.models import ServedModels
from metier.serve.settings import ServeSettings

_log = logging.getLogger("metier.serve")


@dataclass
class State:
    """One server's state, read by its request handlers."""

    settings: ServeSettings
    models: ServedModels
    metrics: ServerMetrics
    checks: dict[str, tuple[Check, ...]] = field(default_factory=dict)
    """Task → the installed trade's checks."""
    store: FeedbackStore | None = None
    live: LiveEngine | None = None
    """Follows a registry: its champion and challenger answer the registry's task."""
    draining: bool = False
    """Whether the server is about to stop; new requests get 503."""
    active: int = 0
    """Requests in progress, those for health and metrics not counted."""

    def log_prompt(self, request: Request, prompt: Any) -> None:
        """Keep what was asked for the log line of this request, where the operator allows it."""
        if self.settings.log_prompts:
            request.scope.setdefault("metier.log", {})["prompt"] = prompt


def state_of(request: Request) -> State:
    """The server's state."""
    state: State = request.app.state.metier
    return state


def log_line(**fields: Any) -> None:
    """One line of JSON in the server's log."""
    _log.info(json.dumps(fields, ensure_ascii=False, default=str))
