"""The result of `fit`: findings by aspect, each with a verdict, a reason and a remedy, and the overall verdict."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from metier.contracts.licence import Use
from metier.contracts.modality import Modality
from metier.contracts.schema import SCHEMA_VERSION, Data


class Verdict(StrEnum):
    """How well one aspect fits, or all together."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


Aspect = Literal["input", "output", "language", "context", "licence", "knowledge", "chat template"]


class FitFinding(Data):
    """One aspect judged."""

    aspect: Aspect
    verdict: Verdict
    reason: str
    remedy: str | None = None
    """What to do; None where nothing needs doing."""


class Lengths(Data):
    """Token lengths of samples, prompt and reply together; percentiles by nearest rank."""

    samples: int
    p50: int
    p95: int
    p99: int
    max: int


class FitReport(Data):
    """Whether a base fits a task, aspect by aspect."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    task: str
    base: str
    use: Use
    verdict: Verdict
    """The worst of the findings' verdicts."""
    findings: tuple[FitFinding, ...]
    bridges_in: dict[Modality, tuple[str, ...]] = {}
    """Input modality → names of the bridges that bring it to the base, in order."""
    bridges_out: dict[Modality, tuple[str, ...]] = {}
    """Output modality → names of the bridges that render it, in order."""
    lengths: Lengths | None = None
