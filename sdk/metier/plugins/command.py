"""A command that a plugin adds to `metier`, and the names it cannot have. It does not import the command line."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

PLANNED_COMMANDS = frozenset({"serve", "scale"})
"""Names reserved for commands to come."""


def _core_commands() -> frozenset[str]:
    """Each module of `metier.cli` is one command of that name, except the tree itself."""
    package = find_spec("metier.cli")
    folders = package.submodule_search_locations if package else None
    return frozenset(module.name.replace("_", "-") for module in pkgutil.iter_modules(folders or [])) - {"app"}


CORE_COMMANDS = _core_commands() | PLANNED_COMMANDS
"""Names that Metier reserves for itself: a plugin with a command of such a name is broken."""


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
