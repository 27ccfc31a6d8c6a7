"""A bridge turns one modality into another, so that a text model can answer a photo and speak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from metier.contracts.modality import Modality
from metier.contracts.schema import SCHEMA_VERSION, Data


class Bridge(Data):
    """One modality in, one out. `run` is code and does not serialise; the rest is its card."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    name: str
    source: Modality
    target: Modality
    content: str | None = None
    """What of the source it preserves, such as `words` (written or spoken) or `description` (of what is visible)."""
    languages: tuple[str, ...] = ()
    """Languages it reads or speaks; empty means any."""
    licence: str | None = None
    package: str | None = None
    """Distribution that brings it, for `pip install`."""
    run: SkipJsonSchema[Callable[[Any], Any] | None] = Field(default=None, exclude=True, repr=False)
    """Payload of `source` → payload of `target`; None when only its card is known."""
