"""Settings of the server: who may call it, how much, and what it may load."""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import Field

from metier.contracts.schema import Data


class ServeSettings(Data):
    """How a server runs. The defaults are for one machine and its own user."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes a free port."""
    api_keys: tuple[str, ...] = ()
    """Keys that may use the models. Empty refuses every request, unless `open_access`."""
    admin_keys: tuple[str, ...] = ()
    """Keys that may also load and unload adapters. Empty refuses those requests."""
    open_access: bool = False
    """Answer without a key. For a server that only its own machine can reach."""
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]", "testserver")
    """Names that a request's Host header may have; `*` allows all. It stops web pages that point their own name at
    this machine (DNS rebinding)."""
    origins: tuple[str, ...] = ()
    """Web origins that browsers may call from (CORS); empty allows none but the server's own pages."""
    adapter_folders: tuple[Path, ...] = ()
    """Folders from which adapters may be loaded at run time; empty allows none."""
    max_body: int = Field(default=4 << 20, ge=1)
    """Bytes of a request body."""
    max_n: int = Field(default=16, ge=1)
    """Answers that one request may draw."""
    max_batch: int = Field(default=256, ge=1)
    """Inputs of one batch request."""
    default_tokens: int = Field(default=1024, ge=1)
    """Reply tokens where the request gives no bound, as far as the row has room."""
    heartbeat: float = Field(default=15.0, gt=0)
    """Seconds without a token after which a stream gets a comment, so that proxies keep it open."""
    stall_after: float = Field(default=60.0, gt=0)
    """Seconds without a step, while there is work, after which `/ready` answers 503."""
    drain: float = Field(default=30.0, ge=0)
    """Seconds that running requests have after SIGTERM."""
    log_prompts: bool = False
    """Write prompts and answers into the log."""

    def may_call(self, key: str | None) -> bool:
        """Whether a key, or none, may use the models. Keys are compared in constant time."""
        return self.open_access or _known(key, (*self.api_keys, *self.admin_keys))

    def may_administer(self, key: str | None) -> bool:
        """Whether a key may load and unload adapters."""
        return _known(key, self.admin_keys)


def _known(key: str | None, keys: tuple[str, ...]) -> bool:
    given = (key or "").encode()
    found = False
    for each in keys:  # all of them, so that the time tells nothing about which one matched
        found |= secrets.compare_digest(given, each.encode())
    return found and bool(given)
