"""The vertical `npc` put together: tasks, data adapters, recipes, fine-tunes, checks and samples as one object."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from metier.contracts import Vertical, fine_tunes_in, recipes_in, samples_in
from metier_npc.checks import CHECKS
from metier_npc.reading import ADAPTERS
from metier_npc.tasks import TASKS

_HERE = Path(__file__).parent


@cache
def vertical() -> Vertical:
    """The trade of writing characters for games."""
    return Vertical(
        name="npc",
        title="Game characters",
        description="Lines, barks and conversations in character, within the world, the bubble and what may be told.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes=recipes_in(_HERE / "recipes", "npc"),
        fine_tunes=fine_tunes_in(_HERE / "fine_tunes"),
        checks=CHECKS,
        samples=samples_in(_HERE / "samples", "npc", licence="CC0-1.0"),
    )
