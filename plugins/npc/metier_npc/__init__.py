"""Game characters for Metier: the plugin that brings the vertical `npc`."""

from __future__ import annotations

from metier.contracts import Vertical
from metier.plugins import hookimpl

__version__ = "0.1.0"


@hookimpl
def metier_verticals() -> list[Vertical]:
    """The trade of writing characters for games."""
    from metier_npc.vertical import vertical

    return [vertical()]
