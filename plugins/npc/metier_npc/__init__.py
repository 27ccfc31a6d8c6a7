"""Game characters for Metier: the plugin that brings the vertical `npc`."""

from __future__ import annotations

from metier.contracts import Vertical
from metier.plugins import hookimpl
from metier.plugins.command import Command

__version__ = "0.1.0"


@hookimpl
def metier_verticals() -> list[Vertical]:
    """The trade of writing characters for games."""
    from metier_npc.vertical import vertical

    return [vertical()]


@hookimpl
def metier_commands() -> list[Command]:
    """`metier npc-script`."""

    def load() -> object:
        from metier_npc.command import script

        return script

    return [Command("npc-script", load, "Write npc answers as Ink, Yarn or a sheet.")]
