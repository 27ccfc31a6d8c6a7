"""The five hooks of a plugin, each of which returns a list. New hooks are added at the end.

A plugin is a module (or an object) that implements any of them with `@metier.hookimpl` and is named by an entry point
of group `metier`.
"""

from __future__ import annotations

import pluggy

from metier.contracts.bridge import Bridge
from metier.contracts.vertical import Vertical
from metier.plugins.base_source import BaseSource
from metier.plugins.command import Command
from metier.plugins.metric import Metric

PROJECT = "metier"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def metier_verticals() -> list[Vertical]:  # type: ignore[empty-body]
    """Trades: tasks, data adapters, recipes, fine-tunes, checks, samples."""


@hookspec
def metier_base_sources() -> list[BaseSource]:  # type: ignore[empty-body]
    """Places that base models come from, beside the cache, the hub and the offline wheel."""


@hookspec
def metier_bridges() -> list[Bridge]:  # type: ignore[empty-body]
    """Bridges from one modality to another."""


@hookspec
def metier_metrics() -> list[Metric]:  # type: ignore[empty-body]
    """Metrics that task contracts may name."""


@hookspec
def metier_commands() -> list[Command]:  # type: ignore[empty-body]
    """Commands beside the core's."""
