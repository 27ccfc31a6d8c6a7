"""Every error Metier raises on purpose: what happened, where, and what to do next.

One child per thing the caller can do about it. A command prints `str(error)` and exits with `exit_code`.
"""

from __future__ import annotations

from typing import Literal


class MetierError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: what happened, one sentence.
        where: the user's own place, such as `catalogue.csv:17` or a bundle folder.
        remedy: what to do next, an imperative sentence.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(what, where, remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  → {self.remedy}" if self.remedy else text


class UsageError(MetierError):
    """Invalid call: an unknown name, an option that does not fit. Fix the call."""

    exit_code = 2


class DataError(MetierError):
    """A file of the user cannot be read, or a row does not satisfy the task. Correct the file."""

    exit_code = 3


class ContractError(MetierError):
    """A value does not satisfy a task contract, or the contract contradicts itself. Correct one of them."""

    exit_code = 4


class PluginError(MetierError):
    """A plugin is broken, clashes with another, or needs another SDK version. Fix or remove the plugin."""

    exit_code = 5


class BaseError(MetierError):
    """A base model cannot be found, fetched or read. Name another, or go online."""

    exit_code = 6


class RecipeError(MetierError):
    """A recipe is not valid. Correct the YAML."""

    exit_code = 7


class ResourceError(MetierError):
    """Memory, disk or time ran out. Free some, or lower the settings."""

    exit_code = 8


class ExportError(MetierError):
    """A bundle could not be exported, or parity was not reached. Nothing was written."""

    exit_code = 9


class BundleError(MetierError):
    """A bundle is damaged, incomplete or of another schema. Export or fetch it again."""

    exit_code = 10


class DeviceError(MetierError):
    """The requested device is not active. Install what is missing, or request another device."""

    exit_code = 11


RequestErrorKind = Literal["queue_full", "deadline", "closed", "incomplete"]
"""A full queue; a deadline without a complete answer; a closed engine; a reply cut at its token limit."""


class RequestError(MetierError):
    """The engine cannot serve this request: too long, cancelled, past its deadline, queue full.

    Args:
        what, where, remedy: as MetierError.
        kind: what a server or a retry must tell apart; None for the others.
    """

    exit_code = 12

    def __init__(
        self, what: str, *, where: str | None = None, remedy: str | None = None, kind: RequestErrorKind | None = None
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.kind = kind
