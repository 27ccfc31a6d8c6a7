"""The slim engine that ships in a product: opens a bundle and decodes it on ONNX Runtime. Never loads torch."""

from importlib import import_module
from typing import Any

_WHERE = {
    "Answer": "guard",
    "Asker": "recorder",
    "Bundle": "bundle",
    "ChatTokenizer": "tokenizer",
    "Engine": "engine",
    "Generation": "generation",
    "Sampling": "sampling",
    "diagnose": "doctor",
    "open_bundle": "bundle",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'metier.runtime' has no attribute {name!r}")
    value = getattr(import_module(f"metier.runtime.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
