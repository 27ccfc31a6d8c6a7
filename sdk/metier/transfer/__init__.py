"""Transfer beside text to text: a head on a base, encoder or decoder, that stays frozen or learns, whole or by LoRA, in
the layers that the recipe chooses. torch loads when it is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import metier.bases.threads  # noqa: F401  before torch

if TYPE_CHECKING:
    from metier.transfer.comparison import Comparison, compare
    from metier.transfer.headed import Headed, load_head
    from metier.transfer.learn import adapt_head
    from metier.transfer.ship import export_heads, prove_head
    from metier.transfer.together import export_together
    from metier.transfer.ways import way_of

_HOME = {
    "Comparison": "comparison",
    "Headed": "headed",
    "adapt_head": "learn",
    "compare": "comparison",
    "export_heads": "ship",
    "export_together": "together",
    "load_head": "headed",
    "prove_head": "ship",
    "way_of": "ways",
}

__all__ = [
    "Comparison",
    "Headed",
    "adapt_head",
    "compare",
    "export_heads",
    "export_together",
    "load_head",
    "prove_head",
    "way_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'metier.transfer' has no attribute {name!r}")
    return getattr(import_module(f"metier.transfer.{_HOME[name]}"), name)
