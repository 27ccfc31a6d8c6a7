"""What one plugin offers, read in a temporary plugin manager: either all of it is valid, or none of it is registered.

It sees one plugin at a time; the registry finds names that clash between plugins.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

import pluggy
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import ValidationError

from metier import __version__
from metier.contracts.bridge import Bridge
from metier.contracts.errors import MetierError, PluginError
from metier.contracts.nearest import did_you_mean
from metier.contracts.vertical import Vertical
from metier.plugins import hookspecs
from metier.plugins._pydantic_errors import describe_validation_error
from metier.plugins.base_source import BaseSource
from metier.plugins.command import CORE_COMMANDS, Command
from metier.plugins.metric import Metric

KINDS: dict[str, Any] = {
    "metier_verticals": Vertical,
    "metier_base_sources": BaseSource,
    "metier_bridges": Bridge,
    "metier_metrics": Metric,
    "metier_commands": Command,
}
"""Hook → what its list must hold."""

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


@dataclass(frozen=True)
class Offer:
    """The validated results of a plugin's hooks."""

    items: dict[str, list[Any]]


def offer_of(plugin: object) -> Offer:
    """What a plugin offers.

    Raises:
        PluginError: it is not a plugin, a hook raised or returned a wrong type, or a vertical needs another SDK
            version. The remedy is for the plugin's author.
    """
    if inspect.isclass(plugin):
        raise PluginError(
            f"the entry point is the class {plugin.__name__}", remedy="point it at a module, or at an instance"
        )
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(_pending(plugin, str(error)), remedy=f"the hooks are {', '.join(KINDS)}") from error
    if not manager.get_hookcallers(plugin):
        raise PluginError(
            "it implements no hook", remedy=f"mark one of {', '.join(KINDS)} with @metier.hookimpl at module level"
        )
    items = {hook: _answer(manager, hook) for hook in KINDS}
    for vertical in items["metier_verticals"]:
        _wants_this_sdk(vertical)
    for hook, found in items.items():
        _names(hook, found)
    return Offer(items)


def reason_of(error: BaseException) -> str:
    """One line on why a plugin failed, without a traceback."""
    if isinstance(error, MetierError):
        return str(error).replace("\n", " ")
    if isinstance(error, ValidationError):
        return describe_validation_error(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the module {error.name} is not installed ({_where(error)})"
    message = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' + message if message else ''} ({_where(error)})"[:500]


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "no place known"


def _pending(plugin: object, message: str) -> str:
    for name in dir(plugin):
        if name.startswith("metier_") and name not in KINDS and repr(name) in message:
            return f"there is no hook {name}{did_you_mean(name, KINDS)}"
    return " ".join(message.split())


def _answer(manager: pluggy.PluginManager, hook: str) -> list[Any]:
    try:
        answers = getattr(manager.hook, hook)()
    except (Exception, SystemExit) as error:
        raise PluginError(f"{hook} failed: {reason_of(error)}", remedy="fix the hook") from error
    kind = KINDS[hook]
    found: list[Any] = []
    for answer in answers:
        # A generator may never end: only lists and tuples are accepted.
        if not isinstance(answer, list | tuple):
            raise PluginError(f"{hook} returned {_say(answer)}", remedy=f"return a list of {kind.__name__}")
        for item in answer:
            if inspect.isclass(item) or not isinstance(item, kind):
                raise PluginError(f"{hook} returned a list with {_say(item)}", remedy=f"list {kind.__name__} only")
            found.append(item)
    return found


def _say(value: object) -> str:
    return f"the class {value.__name__}" if inspect.isclass(value) else f"a value of type {type(value).__name__}"


def _wants_this_sdk(vertical: Vertical) -> None:
    try:
        wanted = SpecifierSet(vertical.sdk)
    except InvalidSpecifier as error:
        raise PluginError(
            f"vertical {vertical.name} has sdk={vertical.sdk!r}, which is not a version specifier",
            remedy="write sdk as in PEP 440, such as '>=0.1,<1'",
        ) from error
    if not wanted.contains(__version__, prereleases=True):
        raise PluginError(
            f"vertical {vertical.name} needs Metier {vertical.sdk}, this is {__version__}",
            remedy=f"install Metier {vertical.sdk}, or a version of the plugin made for {__version__}",
        )


def _names(hook: str, found: list[Any]) -> None:
    kind = KINDS[hook].__name__
    seen: set[str] = set()
    for item in found:
        name = item.name
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PluginError(f"{kind} has the name {name!r}", remedy="start with a letter; a-z, 0-9, _ . - only")
        if name in seen:
            raise PluginError(f"it returns two of {kind} named {name}", remedy="rename one")
        if hook == "metier_commands" and name in CORE_COMMANDS:
            raise PluginError(f"its command {name} is one of Metier's own", remedy="rename the command")
        seen.add(name)
