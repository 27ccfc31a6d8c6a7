"""What a trade's data consists of: samples, preferences, judged samples, and where each came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, JsonValue

from metier.contracts.schema import SCHEMA_VERSION, Data

Value = dict[str, JsonValue]
"""A task's input or output as plain JSON data."""


class Provenance(Data):
    """Where a sample came from, so that a complaint finds its row."""

    source: str
    """File name or URL."""
    line: int | None = Field(default=None, ge=1)
    """1-based line (or spreadsheet row, or record) in the source."""
    sheet: str | None = None
    licence: str | None = None
    """SPDX expression, or words where there is none."""

    def __str__(self) -> str:
        place = f"{self.source}[{self.sheet}]" if self.sheet else self.source
        return f"{place}:{self.line}" if self.line else place


class Sample(Data):
    """One (input, output) pair of a task. Several outputs for one input are several samples."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    task: str
    input: Value
    output: Value
    language: str | None = None
    """BCP 47; None lets the input's own `language` field, or the contract's first language, decide."""
    provenance: Provenance | None = None


class Preference(Data):
    """For one input, an output that was preferred over another."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    task: str
    input: Value
    chosen: Value
    rejected: Value
    language: str | None = None
    provenance: Provenance | None = None


class JudgedSample(Sample):
    """An output with a user's verdict: what KTO learns from. Unlike a preference it needs no second output."""

    good: bool
    """Whether the output is worth learning, or worth avoiding."""

    def sample(self) -> Sample:
        """The same without the verdict."""
        return Sample.model_validate(self.model_dump(exclude={"good"}))


class BadRow(Data):
    """A row that could not become a sample: reported, and skipped or fatal as the caller chooses."""

    provenance: Provenance
    field: str | None = None
    reason: str
    remedy: str | None = None

    def __str__(self) -> str:
        field = f" (field {self.field})" if self.field else ""
        return f"{self.provenance}{field}: {self.reason}"


def samples_sha256(samples: Iterable[Sample]) -> str:
    """Hash of what the samples say (task, input, output, language), in order; provenance does not count."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(sample.model_dump_json(include={"task", "input", "output", "language"}).encode())
        digest.update(b"\n")
    return digest.hexdigest()
