"""Measures what an adaptation gained: figures, intervals and a report.

torch loads only when a torch model is measured.
"""

import metier.bases.threads  # noqa: F401  before torch
from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.metrics.results": "Evaluation",
        "metier.evaluate.evaluation": "EvaluationOptions evaluate",
        "metier.evaluate.card": "record_metrics",
        "metier.evaluate.report": "write_html write_json",
        "metier.evaluate.recipe_comparison": "Comparison compare",
        "metier.evaluate.presets": "preset_recipe",
    },
)
