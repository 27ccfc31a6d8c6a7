"""After supervised fine-tuning: preferences, reward models, PPO and GRPO. torch and trl load when they are used."""

from importlib import import_module
from typing import Any

import metier.bases.threads  # noqa: F401  before torch

_HOME = {
    "judge": "preference",
    "prefer": "preference",
    "read_preferences": "pairs",
    "split_pairs": "pairs",
}

__all__ = ["judge", "prefer", "read_preferences", "split_pairs"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'metier.align' has no attribute {name!r}")
    return getattr(import_module(f"metier.align.{_HOME[name]}"), name)
