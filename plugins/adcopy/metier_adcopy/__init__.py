"""Advertising copy for Metier: the plugin that brings the vertical `adcopy`."""

from __future__ import annotations

from metier.contracts import Vertical
from metier.plugins import hookimpl

__version__ = "0.1.0"


@hookimpl
def metier_verticals() -> list[Vertical]:
    """The trade of advertising copy."""
    from metier_adcopy.vertical import vertical

    return [vertical()]
