"""Metrics over answers: overlap with references, agreement of labels and spans, the trades' checks, and bootstrap
intervals."""

from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.metrics.results": "Evaluation",
    },
)
