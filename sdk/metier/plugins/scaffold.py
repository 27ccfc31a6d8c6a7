"""A new plugin: a copy of the packaged template, itself a working plugin, in which `mytrade` becomes the trade's
name. It does not know any trade.
"""

from __future__ import annotations

import re
from pathlib import Path

from metier.contracts.errors import UsageError
from metier.contracts.schema import Data
from metier.disk import atomic_folder
from metier.plugins.registry import load_plugins

TEMPLATE = Path(__file__).parent / "template"
STAND_IN = "mytrade"
"""What the template calls its trade, in file names and in files."""
LONGEST = 30
"""Characters of a name: the template's lines stay within 120 with it."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class NewPlugin(Data):
    """The plugin that was written."""

    folder: Path
    files: tuple[str, ...]
    """Relative to the folder, sorted."""
    task: str
    """Full name of its one task."""


def new_plugin(name: str, folder: Path) -> NewPlugin:
    """Write a plugin for the trade `name`, atomically.

    Args:
        name: lower case letters, digits, single underscores: package `metier_<name>`, tasks `<name>.…`.
        folder: made where missing; may be there if it is empty.

    Raises:
        UsageError: the name is invalid or an installed plugin has it, or the folder is not empty.
    """
    _check_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "the folder is not empty, and nothing is overwritten",
            where=str(folder),
            remedy="choose another folder with --out, or remove this one",
        )
    with atomic_folder(folder, "an empty folder") as part:
        files = tuple(sorted(_copy(name, part)))
    return NewPlugin(folder=folder, files=files, task=f"{name}.title")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        near = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_0123456789")[:LONGEST].strip("_")
        raise UsageError(
            f"{name!r} cannot name a trade",
            remedy=f"use a-z, 0-9 and single underscores, begin with a letter, at most {LONGEST}"
            + (f": {near}" if _NAME.fullmatch(near) else ", such as press"),
        )
    registry = load_plugins()
    if name in registry.verticals or name in {row.name for row in registry.plugins}:
        raise UsageError(
            f"a plugin named {name} is installed already",
            remedy=f"choose another name, or pip uninstall metier-{name.replace('_', '-')}",
        )


def _copy(name: str, target: Path) -> list[str]:
    written = []
    for source in TEMPLATE.rglob("*"):
        place = source.relative_to(TEMPLATE).as_posix().replace(STAND_IN, name)
        if source.is_dir() or "__pycache__" in place:
            continue
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text("utf-8").replace(f"metier-{STAND_IN}", f"metier-{name.replace('_', '-')}")
        (target / place).write_text(text.replace(STAND_IN, name), "utf-8", newline="\n")
        written.append(place)
    return written
