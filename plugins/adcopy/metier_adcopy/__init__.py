"""Advertising copy for Metier: the plugin that brings the vertical `adcopy`."""

from __future__ import annotations

from metier.contracts import Vertical
from metier.plugins import Command, Metric, hookimpl

__version__ = "0.1.0"


@hookimpl
def metier_verticals() -> list[Vertical]:
    """The trade of advertising copy."""
    from metier_adcopy.vertical import vertical

    return [vertical()]


@hookimpl
def metier_metrics() -> list[Metric]:
    """How well grades rank."""
    from metier_adcopy.metrics import METRICS

    return METRICS


@hookimpl
def metier_commands() -> list[Command]:
    """`metier presenter-ssml`."""

    def load() -> object:
        from metier_adcopy.command import presenter_ssml

        return presenter_ssml

    return [Command("presenter-ssml", load, "Write adcopy.presenter answers as SSML.")]
