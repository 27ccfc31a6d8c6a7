"""The vertical `adcopy` put together: tasks, data adapters, recipes, fine-tunes, checks and samples as one object."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from metier.contracts import Vertical, fine_tunes_in, recipes_in, samples_in
from metier_adcopy.checks import CHECKS
from metier_adcopy.reading import ADAPTERS
from metier_adcopy.tasks import TASKS

_HERE = Path(__file__).parent


@cache
def vertical() -> Vertical:
    """The trade of advertising copy."""
    return Vertical(
        name="adcopy",
        title="Advertising copy",
        description="Product facts in; copy, search ads and presenters' lines out that add nothing and keep the rules.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes=recipes_in(_HERE / "recipes", "adcopy"),
        fine_tunes=fine_tunes_in(_HERE / "fine_tunes"),
        checks=CHECKS,
        samples=samples_in(_HERE / "samples", "adcopy", licence="CC0-1.0"),
    )
