"""The loop from users back to weights: feedback kept, made into samples, learnt from, judged, and put to work.

Torch loads only when something is trained or measured in it.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "canary": "Trial compare",
    "cycle": "Turn turn",
    "erasure": "Forgotten forget",
    "gate": "Gate Verdict",
    "harvest": "Harvest",
    "lesson": "Settings",
    "live": "Live",
    "plan": "IterationPlan",
    "recorder": "StoreRecorder",
    "records": "Answer Event",
    "registry": "Registry",
    "store": "Erased FeedbackStore",
}
_WHERE = {name: f"metier.iterate.{module}" for module, names in _HOME.items() for name in names.split()}

__all__ = [*_WHERE]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'metier.iterate' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
