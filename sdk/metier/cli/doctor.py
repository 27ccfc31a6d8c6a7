"""`metier doctor`: the state of this machine's libraries and drivers, and how to fix them."""

from __future__ import annotations

from metier.terminal.options import Json
from metier.terminal.screen import emit_json, table


def doctor(json: Json = False) -> None:
    """Show the state of torch, onnxruntime, CUDA and the driver.

    Exits with 0 whatever is found.
    """
    from metier.runtime.doctor import diagnose

    found = diagnose()
    if json:
        return emit_json(found)
    return table(("what", "state", "detail", "remedy"), ((r.what, r.state, r.detail, r.remedy) for r in found.rows))
