"""The vertical `support` put together: tasks, data adapters, recipes, fine-tunes, checks and samples as one object."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from metier.contracts import Vertical, fine_tunes_in, recipes_in, samples_in
from metier_support.checks import CHECKS
from metier_support.reading import ADAPTERS
from metier_support.tasks import TASKS

_HERE = Path(__file__).parent


@cache
def vertical() -> Vertical:
    """The trade of e-commerce customer service."""
    return Vertical(
        name="support",
        title="E-commerce customer service",
        description="Answers that stand on the shop's policy and the order; intents, entities, listings and reviews.",
        version="0.1.0",
        sdk=">=0.1,<0.2",
        tasks=TASKS,
        data_adapters=ADAPTERS,
        recipes=recipes_in(_HERE / "recipes", "support"),
        fine_tunes=fine_tunes_in(_HERE / "fine_tunes"),
        checks=CHECKS,
        samples=samples_in(_HERE / "samples", "support", licence="CC0-1.0"),
    )
