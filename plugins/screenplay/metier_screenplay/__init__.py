"""Screenwriting for Metier: the plugin that brings the vertical `screenplay`."""

from __future__ import annotations

from metier.contracts import Vertical
from metier.plugins import hookimpl

__version__ = "0.1.0"


@hookimpl
def metier_verticals() -> list[Vertical]:
    """The trade of writing for film."""
    from metier_screenplay.vertical import vertical

    return [vertical()]
