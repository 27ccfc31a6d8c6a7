"""The contract of a data adapter: a trade's own file in, samples out, lazily, each with its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from metier.contracts.sample import BadRow, Sample


@runtime_checkable
class DataAdapter(Protocol):
    """Reads one kind of file into samples of one task.

    `read` is a generator: it opens nothing before the first `next`, holds one row at a time, gives every sample a
    `Provenance` with the 1-based line, and turns a row it cannot read into a `BadRow` in place, in order. It raises
    `DataError` only where the file as a whole cannot be read.
    """

    @property
    def name(self) -> str:
        """Short name, such as `merchant_feed`."""
        ...

    @property
    def task(self) -> str:
        """Full name of the task whose samples it gives."""
        ...

    @property
    def example(self) -> Path:
        """A small file, packaged with the plugin, that it reads."""
        ...

    def accepts(self, path: Path) -> bool:
        """Whether this looks like its kind of file: by suffix, then by the first bytes. Never raises."""
        ...

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples and bad rows in the file's order."""
        ...
