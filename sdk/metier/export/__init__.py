"""Exports fine-tunes as bundles: ONNX graph, quantisation, parity with torch. torch is imported when it is used."""

import metier.bases.threads  # noqa: F401  before torch
from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.export.merged_bundle": "export",
        "metier.export.adapter_bundle": "export_slots",
    },
)
