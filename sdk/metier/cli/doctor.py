"""`metier doctor`: what this machine has, what does not agree, and what to do about it."""

from __future__ import annotations

from metier.terminal.options import Json
from metier.terminal.screen import emit_json, table


def doctor(json: Json = False) -> None:
    """Say what of this machine agrees. torch, onnxruntime, CUDA, cuDNN and driver; exit 0 whatever is found."""
    from metier.runtime.doctor import diagnose

    found = diagnose()
    if json:
        return emit_json(found)
    return table(("what", "state", "detail", "remedy"), ((r.what, r.state, r.detail, r.remedy) for r in found.rows))
