"""What stands before every request: Host header, key, size of the body, draining, and the log line afterwards."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metier.serve.api_errors import ApiError
from metier.serve.event_stream import ClientDisconnectedError
from metier.serve.state import State, log_line

OPEN_PATHS = frozenset({"/health", "/ready"})
"""Answered without a key: load balancers have none."""
GUARDED = ("/v1/", "/tokenize", "/detokenize", "/metrics", "/openapi")
"""Beginnings of the paths that need a key; the others are the page's own files."""
ADMIN_PATHS = frozenset({"/v1/load_lora_adapter", "/v1/unload_lora_adapter"})


class Access:
    """ASGI middleware; the app behind it sees requests that may be answered only."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state, path, begun = self._state, scope["path"], time.monotonic()
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")[:64] or uuid4().hex
        status = 499

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                printable = request_id.encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"")
                message = {**message, "headers": [*message["headers"], (b"x-request-id", printable)]}
            await send(message)

        counted = path not in OPEN_PATHS and path != "/metrics"
        state.active += counted
        try:
            if (error := self._refusal(scope, headers)) is not None:
                await error.response()(scope, receive, sending)
                return
            await self._app(scope, _bounded(receive, state.settings.max_body), sending)
        except (ClientDisconnectedError, ClientDisconnect):
            status = 499
        finally:
            state.active -= counted
            route = scope.get("route")
            label = getattr(route, "path", "other")
            state.metrics.responses.labels(label, str(status)).inc()
            if counted:
                extra: dict[str, Any] = scope.get("metier.log", {})
                ms = round(1000 * (time.monotonic() - begun), 1)
                log_line(id=request_id, method=scope["method"], path=path, status=status, ms=ms, **extra)

    def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        """Why this request is not answered; None where it is."""
        settings, path = self._state.settings, scope["path"]
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if "*" not in settings.hosts and name not in settings.hosts:
            return ApiError(421, f"this server does not answer for the host {name!r}; allow it with --allow-host")
        if path in OPEN_PATHS or scope["method"] == "OPTIONS" or not path.startswith(GUARDED):
            return None
        if self._state.draining:
            return ApiError(503, "the server is stopping; send the request to another", code="draining")
        key = _key(headers)
        if path in ADMIN_PATHS:
            if not settings.admin_keys:
                return ApiError(
                    403, "adapters cannot be changed; start the server with --admin-key-file", code="no_admin"
                )
            if not settings.may_administer(key):
                status = 403 if settings.may_call(key) and key else 401
                return ApiError(status, "this needs an admin key", code="invalid_api_key")
        elif not settings.may_call(key):
            return ApiError(
                401, "the API key is missing or unknown; send Authorization: Bearer KEY", code="invalid_api_key"
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > settings.max_body:
            return too_large(settings.max_body)
        return None


def too_large(limit: int) -> ApiError:
    """The error of a body above the limit."""
    return ApiError(413, f"the body is larger than {limit} bytes", code="too_large")


def _key(headers: Headers) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("api-key") or headers.get("x-api-key")


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive`, which refuses a body that grows beyond the limit, whatever its header says."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise too_large(limit)
        return message

    return bounded
