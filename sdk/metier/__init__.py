"""Metier teaches one general model many media trades, and ships the result into products as ONNX.

Names are loaded when they are used, so that `import metier` stays light and never loads torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "contracts": (
        "BadRow Base Bridge Check DataAdapter Feedback FineTune Finding MetierError Modality Preference Prompt"
        " Provenance Recipe ReplyFormat Sample SampleSet TaskContract TaskKind Turn Vertical modalities_of prompt"
    ),
    "contracts.fit": "FitReport fit",
    "contracts.payloads": "Image Mesh Speech Video",
    "plugins": "hookimpl",
    "runtime": "Engine",
}
_WHERE = {name: f"metier.{module}" for module, names in _HOME.items() for name in names.split()}

__all__ = ["__version__", *_WHERE]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'metier' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
