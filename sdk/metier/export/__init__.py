"""From a fine-tune to a bundle: ONNX graph, quantisation, proof of parity. Loads torch when it is called."""

from importlib import import_module
from typing import Any

import metier.bases.threads  # noqa: F401  before torch

__all__ = ["export", "export_slots"]


def __getattr__(name: str) -> Any:
    if name == "export":
        # `metier.export.export` is also a module: the function takes its name on the package for good.
        value = import_module("metier.export.bundling").export
        globals()[name] = value
        return value
    if name == "export_slots":
        return import_module("metier.export.slotted").export_slots
    raise AttributeError(f"module 'metier.export' has no attribute {name!r}")
