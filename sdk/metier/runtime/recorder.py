"""What an engine tells whoever keeps its answers. It knows no store: `metier.iterate` has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from metier.contracts import Finding, Value


@dataclass(frozen=True)
class Asker:
    """Who asks, as far as the product says, and what may be done with the answer."""

    user: str | None = None
    """Who, as the product names people."""
    consent: bool = False
    """Whether they agreed that the answer, and what they make of it, may be learnt from."""
    keep_until: datetime | None = None
    """When the answer is to be deleted; None keeps it."""
    id: str | None = None
    """Of the answer, where the product has one; else the recorder makes one."""


NOBODY = Asker()


@dataclass(frozen=True)
class Given:
    """An answer that is about to be handed out."""

    task: str
    input: Value
    """As the model got it, with what was read off it and found for it."""
    output: Value
    language: str | None
    prompt: str
    """The whole of it as text, with the base's control tokens."""
    bundle: str
    adapter: str | None
    """LoRA adapter that answered; None is the base, or what was merged into it."""
    findings: Mapping[str, tuple[Finding, ...]]
    """Each check that was run → what it found; empty where none was."""
    asker: Asker


class Recorder(Protocol):
    """Keeps answers."""

    def record(self, given: Given) -> str:
        """Write an answer down; the id that what the user does with it will name.

        Called by the thread that asked, never by the one that decodes, and from many threads at once. Only what this
        has returned from is handed out: an answer that a user has seen is an answer that is kept.
        """
        ...
