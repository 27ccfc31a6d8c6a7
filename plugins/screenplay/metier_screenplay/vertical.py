"""The vertical `screenplay` put together: tasks, data adapters, recipes, fine-tunes, checks, samples."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from metier.contracts import Vertical, fine_tunes_in, recipes_in, samples_in
from metier_screenplay.checks import CHECKS
from metier_screenplay.reading import ADAPTERS
from metier_screenplay.tasks import TASKS

_HERE = Path(__file__).parent


@cache
def vertical() -> Vertical:
    """The trade of writing for film."""
    return Vertical(
        name="screenplay",
        title="Screenwriting",
        description="Scenes in Fountain, lines rewritten to a note, and branching stories without dead ends.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes=recipes_in(_HERE / "recipes", "screenplay"),
        fine_tunes=fine_tunes_in(_HERE / "fine_tunes"),
        checks=CHECKS,
        samples=samples_in(_HERE / "samples", "screenplay", licence="CC0-1.0"),
    )
