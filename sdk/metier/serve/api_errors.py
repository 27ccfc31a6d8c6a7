"""Errors as OpenAI's clients read them: `{"error": {message, type, param, code}}` and a status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from metier.contracts.errors import (
    BundleError,
    ContractError,
    DataError,
    MetierError,
    RequestError,
    RequestErrorKind,
    ResourceError,
    UsageError,
)

RETRY_AFTER = 1
"""Seconds after which a client whose request found the queue full tries again."""


class ApiError(Exception):
    """An error with its status.

    Args:
        status: of HTTP.
        message: what happened and what to do next.
        code: a fixed word that programs compare.
        param: the request's field at fault.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    def body(self) -> dict[str, Any]:
        """As JSON."""
        kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """As a response."""
        headers = {"Retry-After": str(RETRY_AFTER)} if self.status in (429, 503) else None
        return JSONResponse(self.body(), self.status, headers=headers)


_STATUS: tuple[tuple[type[MetierError], int, str | None], ...] = (
    (RequestError, 400, "request_too_long"),
    (UsageError, 400, None),
    (DataError, 400, None),
    (ContractError, 400, "contract"),
    (BundleError, 400, "adapter"),
    (ResourceError, 503, "resources"),
)
_STATUS_OF_KIND: dict[RequestErrorKind, int] = {"queue_full": 429, "deadline": 504, "closed": 503, "incomplete": 400}


def api_error(error: Exception) -> ApiError:
    """Any error as one that can be sent. What is not an error of Metier is shown by its class only."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, MetierError):
        status, code = next(((s, c) for kind, s, c in _STATUS if isinstance(error, kind)), (500, None))
        if isinstance(error, RequestError) and error.kind is not None:
            status, code = _STATUS_OF_KIND[error.kind], error.kind
        return ApiError(status, f"{error.what}. {error.remedy}" if error.remedy else error.what, code=code)
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail))
    return ApiError(500, f"the server failed with {type(error).__name__}; its log has the details", code="internal")


async def on_error(_request: Request, error: Exception) -> Response:
    """The exception handler of the app."""
    return api_error(error).response()


Body = TypeVar("Body", bound=BaseModel)


async def parsed(request: Request, model: type[Body]) -> Body:
    """A request's body as a model.

    Raises:
        ApiError: it is no JSON object, or does not satisfy the model; names the first field at fault.
    """
    try:
        return model.model_validate(await _json_object(request))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"{place}: {first['msg']}" if place else first["msg"]
        raise ApiError(400, message, code="invalid", param=place or None) from error


async def _json_object(request: Request) -> dict[str, Any]:
    raw = await request.body()
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {str(error)[:200]}", code="invalid_json") from error
    if not isinstance(value, Mapping):
        raise ApiError(400, "the body is not a JSON object", code="invalid_json")
    return dict(value)
