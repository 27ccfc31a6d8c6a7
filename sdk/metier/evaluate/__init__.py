"""Says what an adaptation gained, with figures, intervals and a report. Torch loads only when models are asked."""

from importlib import import_module
from typing import Any

import metier.bases.threads  # noqa: F401  before torch

_WHERE = {
    "Evaluation": "results",
    "evaluate": "compare",
    "record_metrics": "card",
    "write_html": "report",
    "write_json": "report",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'metier.evaluate' has no attribute {name!r}")
    value = getattr(import_module(f"metier.evaluate.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
