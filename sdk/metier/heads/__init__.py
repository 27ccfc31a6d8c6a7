"""Heads: classifiers, taggers, pair and bi-encoder scorers on a base that is frozen or is trained with
them. torch loads when it is used."""

import metier.bases.threads  # noqa: F401  before torch
from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.heads.head_model": "HeadModel load_head",
        "metier.heads.export_heads": "export_heads prove_head",
    },
)
