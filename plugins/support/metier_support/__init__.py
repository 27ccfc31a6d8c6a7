"""E-commerce customer service for Metier: the plugin that brings the vertical `support`."""

from __future__ import annotations

from metier.contracts import Vertical
from metier.plugins import hookimpl

__version__ = "0.1.0"


@hookimpl
def metier_verticals() -> list[Vertical]:
    """The trade of e-commerce customer service."""
    from metier_support.vertical import vertical

    return [vertical()]
