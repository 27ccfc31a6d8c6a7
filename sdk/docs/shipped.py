"""The trades that the docs describe: the verticals of this repository's own plugins, and the fine-tunes they ship."""

from __future__ import annotations

from pathlib import Path

from metier.contracts import FineTune, TaskContract, Vertical
from metier.plugins import load_plugins

ROOT = Path(__file__).parent.parent.parent
ANSWERS = Path(__file__).parent / "answers"
"""One JSON file a trade, as record.py writes it."""


def trades() -> list[Vertical]:
    """The verticals of `plugins/`, in the order of the folders; those that are not installed are left out."""
    installed = load_plugins().verticals
    return [installed[path.name] for path in sorted((ROOT / "plugins").iterdir()) if path.name in installed]


def shipped(vertical: Vertical, task: TaskContract) -> FineTune | None:
    """The fine-tune that a trade ships for a task."""
    return next((f for f in vertical.fine_tunes if task.name in {known.name for known in f.card.tasks}), None)
