"""Where base models come from: the interface of a plugin that adds another place, such as a company's store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from metier.contracts.base import Base


@runtime_checkable
class BaseSource(Protocol):
    """A place that base models are fetched from; sources are tried in order of name."""

    @property
    def name(self) -> str:
        """Short name, such as `studio_store`."""
        ...

    def cards(self) -> Sequence[Base]:
        """Cards of the bases it has, for `metier bases list`. Must not need the network."""
        ...

    def fetch(self, base: str, folder: Path, *, revision: str | None = None) -> Base | None:
        """Write the base as a Hugging Face folder (config.json, *.safetensors, tokenizer files) into `folder`, which
        exists and is empty.

        Returns:
            Its card, or None when this source does not have the base (the next source is tried).

        Raises:
            BaseError: it has the base and cannot fetch it.
        """
        ...
