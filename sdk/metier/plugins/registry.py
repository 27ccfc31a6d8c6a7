"""Installed plugins and what they offer. Each is loaded on its own: a broken one is listed with the reason, registers
nothing, and never breaks another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, TypeVar

from metier.contracts.bridge import Bridge
from metier.contracts.errors import PluginError, UsageError
from metier.contracts.nearest import did_you_mean
from metier.contracts.schema import Data
from metier.contracts.task import TaskContract
from metier.contracts.vertical import Vertical
from metier.plugins._validation import KINDS, Offer, offer_of, reason_of
from metier.plugins.base_source import BaseSource
from metier.plugins.command import Command
from metier.plugins.metric import Metric

GROUP = "metier"
"""Entry-point group that plugins are named in."""
ALLOW = "METIER_PLUGINS_ALLOW"
"""Environment variable: comma-separated names; where set, every other plugin is denied."""
DENY = "METIER_PLUGINS_DENY"
"""Environment variable: comma-separated names that are never imported."""

T = TypeVar("T")


class PluginRow(Data):
    """One plugin as `metier plugins` shows it."""

    name: str
    """The entry point's name."""
    distribution: str | None = None
    version: str | None = None
    status: Literal["ok", "broken", "denied"]
    reason: str = ""
    """Why it is not ok, and what to do; empty when it is."""
    verticals: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    """Full names, of all its verticals."""
    base_sources: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Registry:
    """What all valid plugins offer, by name. `load_plugins` fills a registry, `add` registers one plugin."""

    def __init__(self) -> None:
        self.plugins: list[PluginRow] = []
        self.verticals: dict[str, Vertical] = {}
        self.base_sources: dict[str, BaseSource] = {}
        self.bridges: dict[str, Bridge] = {}
        self.metrics: dict[str, Metric] = {}
        self.commands: dict[str, Command] = {}
        self._owners: dict[tuple[str, str], str] = {}

    def add(
        self,
        plugin: object,
        name: str | None = None,
        *,
        distribution: str | None = None,
        version: str | None = None,
        strict: bool = True,
    ) -> PluginRow:
        """Register a plugin that is already imported: a module or an object with hook implementations.

        Args:
            plugin: the module or object; a `Vertical` is registered as a plugin that offers it alone.
            name: what to call it; its own name where None.
            strict: raise where it is broken; else record a row.

        Raises:
            PluginError: it is broken, or clashes with one that is there; nothing of it was taken.
        """
        if isinstance(plugin, Vertical):
            name, plugin = name or plugin.name, _SingleVertical(plugin)
        name = name or str(getattr(plugin, "__name__", type(plugin).__name__))
        if any(row.name == name and row.status == "ok" for row in self.plugins):
            return self._broken(
                name, distribution, version, _clash("plugin name", name, "another distribution"), strict
            )
        try:
            offer = offer_of(plugin)
            self._unclaimed(offer)
        except (Exception, SystemExit) as error:
            known = error if isinstance(error, PluginError) else _unexpected(error)
            return self._broken(name, distribution, version, known, strict)
        row = PluginRow(
            name=name,
            distribution=distribution,
            version=version,
            status="ok",
            tasks=tuple(task.name for vertical in offer.items["metier_verticals"] for task in vertical.tasks),
            **{_attribute_of(hook): tuple(item.name for item in items) for hook, items in offer.items.items()},
        )
        for hook, items in offer.items.items():
            for item in items:
                getattr(self, _attribute_of(hook))[item.name] = item
                self._owners[_attribute_of(hook), item.name] = name
        self.plugins.append(row)
        return row

    def vertical(self, name: str) -> Vertical:
        """The vertical of that name.

        Raises:
            UsageError: there is none; names the nearest, and the plugins that could not be loaded.
        """
        return self._pick("vertical", self.verticals, name)

    def task(self, name: str) -> tuple[Vertical, TaskContract]:
        """The task of that full name (`vertical.task`), and its vertical.

        Raises:
            UsageError: there is none; names the nearest.
        """
        tasks = {task.name: (vertical, task) for vertical in self.verticals.values() for task in vertical.tasks}
        return self._pick("task", tasks, name)

    def tasks(self, name: str) -> tuple[Vertical, tuple[TaskContract, ...]]:
        """The task of that full name, or every task that a vertical of that name packages samples of.

        Raises:
            UsageError: there is none; names the nearest.
        """
        vertical = self.task(name)[0] if "." in name else self.vertical(name)
        return vertical, vertical.tasks_of(name)

    def bridge(self, name: str) -> Bridge:
        """The bridge of that name.

        Raises:
            UsageError: there is none.
        """
        return self._pick("bridge", self.bridges, name)

    def metric(self, name: str) -> Metric:
        """The metric of that name that a plugin brings.

        Raises:
            UsageError: there is none.
        """
        return self._pick("metric", self.metrics, name)

    def _pick(self, kind: str, known: Mapping[str, T], name: str) -> T:
        if name in known:
            return known[name]
        have = f"there are: {', '.join(known)}" if known else f"no installed plugin brings a {kind}"
        not_loaded = [f"{row.name} ({row.status})" for row in self.plugins if row.status != "ok"]
        more = f"; not loaded: {', '.join(not_loaded)}, see `metier plugins`" if not_loaded else ""
        raise UsageError(f"there is no {kind} {name}{did_you_mean(name, known)}", remedy=have + more)

    def _unclaimed(self, offer: Offer) -> None:
        for hook, items in offer.items.items():
            for item in items:
                if owner := self._owners.get((_attribute_of(hook), item.name)):
                    raise _clash(KINDS[hook].__name__, item.name, f"plugin {owner}")

    def _broken(
        self, name: str, distribution: str | None, version: str | None, error: PluginError, strict: bool
    ) -> PluginRow:
        known = PluginError(error.what, where=_label(name, distribution, version), remedy=error.remedy)
        known.__cause__ = error.__cause__
        if strict:
            raise known
        reason = f"{error.what}; {error.remedy}" if error.remedy else error.what
        row = PluginRow(name=name, distribution=distribution, version=version, status="broken", reason=reason)
        self.plugins.append(row)
        return row


class _SingleVertical:
    """A plugin that offers one vertical."""

    def __init__(self, vertical: Vertical) -> None:
        from metier.plugins.hookspecs import hookimpl

        self.metier_verticals = hookimpl(lambda: [vertical])


def load_plugins(*, strict: bool = False, found: Iterable[EntryPoint] | None = None) -> Registry:
    """Every installed plugin, loaded on its own, in the order of names.

    `METIER_PLUGINS_ALLOW` and `METIER_PLUGINS_DENY` (comma-separated names) decide which are imported at all.

    Args:
        strict: raise at the first broken plugin instead of recording it.
        found: entry points to load instead of those installed.

    Raises:
        PluginError: a plugin is broken, in strict mode only.
    """
    registry = Registry()
    allow, deny = _names(ALLOW), _names(DENY)
    points = entry_points(group=GROUP) if found is None else found
    for point in sorted(points, key=lambda p: (p.name, p.dist.name if p.dist else "")):
        name = point.name
        distribution = point.dist.name if point.dist else None
        version = point.dist.version if point.dist else None
        if name in deny or (ALLOW in os.environ and name not in allow):
            reason = f"named in {DENY}" if name in deny else f"not named in {ALLOW}"
            registry.plugins.append(
                PluginRow(name=name, distribution=distribution, version=version, status="denied", reason=reason)
            )
            continue
        try:
            plugin = point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a plugin raises at import is its own fault, and no one else's
            wrong = PluginError(
                f"importing {point.value} failed: {reason_of(error)}",
                remedy=f"fix or uninstall it, or set {DENY}={name}",
            )
            wrong.__cause__ = error
            registry._broken(name, distribution, version, wrong, strict)
            continue
        registry.add(plugin, name, distribution=distribution, version=version, strict=strict)
    return registry


def _names(variable: str) -> set[str]:
    return {name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()}


def _attribute_of(hook: str) -> str:
    return hook.removeprefix("metier_")


def _label(name: str, distribution: str | None, version: str | None) -> str:
    return f"plugin {name} ({distribution} {version})" if distribution else f"plugin {name}"


def _unexpected(error: BaseException) -> PluginError:
    unexpected = PluginError(
        f"reading what it offers failed: {reason_of(error)}", remedy="fix the object that the hook returns"
    )
    unexpected.__cause__ = error
    return unexpected


def _clash(kind: str, name: str, holder: str) -> PluginError:
    return PluginError(
        f"its {kind.lower()} {name} clashes with one that {holder} already brings",
        remedy=f"uninstall one of the two, or deny one with {DENY}",
    )
