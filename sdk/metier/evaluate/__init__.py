"""Measures the gain of an adaptation: metrics, intervals and a report.

torch is imported only when a torch model is measured.
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
