"""Where base models come from: what a plugin that knows another place (a company's store, say) must answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from metier.contracts.base import Base


@runtime_checkable
class BaseSource(Protocol):
    """A place that base models are fetched from, asked in order by name."""

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
            Its card, or None when this source does not know the base (the next source is asked).

        Raises:
            BaseError: it knows the base and cannot give it.
        """
        ...
