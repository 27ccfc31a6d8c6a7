"""Plugins: the hooks a trade implements, and how they are found without one broken plugin breaking another."""

from metier.plugins.base_source import BaseSource
from metier.plugins.command import Command
from metier.plugins.hookspecs import hookimpl, hookspec
from metier.plugins.metric import Metric
from metier.plugins.registry import PluginRow, Registry, load_plugins

__all__ = ["BaseSource", "Command", "Metric", "PluginRow", "Registry", "hookimpl", "hookspec", "load_plugins"]
