"""Adaptation of a base by a recipe, one object per method that trains, loads, exports and predicts.

torch loads when it is used."""

import metier.bases.threads  # noqa: F401  before torch
from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.adapt.bundle": "export_bundle",
        "metier.adapt.fine_tuning": "adapt",
        "metier.adapt.method": "ExportOptions Method",
        "metier.adapt.methods": "method_of",
        "metier.training.progress": "Progress",
        "metier.training.progress_display": "progress_bar",
        "metier.training.recipe_file": "override read_recipe recipe_for write_recipe",
    },
)
