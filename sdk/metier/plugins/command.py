"""A command that a plugin adds to `metier`. It knows nothing of the command line but its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CORE_COMMANDS = frozenset(
    {"plugins", "bases", "data", "fit", "adapt", "evaluate", "export", "run", "doctor", "new", "compare"}
) | frozenset({"quickstart", "bundle", "serve", "scale", "iterate"})
"""Names that Metier keeps for itself, now or soon."""


@dataclass(frozen=True)
class Command:
    """`metier <name>`: the entry point's own function, mounted beside the core commands."""

    name: str
    """Lower case, words joined by hyphens."""
    load: Callable[[], Any]
    """Returns a `typer.Typer` app or a typer-annotated function; called only when the command is, so that
    `metier --help` stays light."""
    help: str = ""
    """One line for `metier --help`."""
