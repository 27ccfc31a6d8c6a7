"""Writes an explanation as one self-contained HTML file: no request leaves it, and every text in it is escaped."""

from __future__ import annotations

import base64
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from metier.disk import write_atomic
from metier.explain.explanation import Explanation

STEPS = 255
"""Attention is stored as the square root in 8 bits: within 0.004 of the figure at 1, within 0.0001 near 0."""


def write_page(explanation: Explanation, path: Path) -> Path:
    """The page as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render_page(explanation))
    return path


def render_page(explanation: Explanation) -> str:
    """The page's HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("metier.explain", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    layers, heads = explanation.attention.shape[:2]
    return environment.get_template("page.html.j2").render(
        e=explanation, layers=layers, heads=heads, data=page_data(explanation), whole=_whole(explanation)
    )


def page_data(explanation: Explanation) -> dict[str, Any]:
    """What the page's script reads, as plain JSON data."""
    own = np.array([word.role == "user" for word in explanation.words])
    return {
        "words": [[word.text, word.role] for word in explanation.words],
        "first": len(explanation.words) - len(explanation.reply),
        "shape": list(explanation.attention.shape),
        "attention": packed(explanation.attention),
        "rollout": [[float(f"{value:.4g}") for value in row] for row in explanation.rollout.tolist()],
        "attribution": _rounded(explanation.attribution, 4),
        "log_probability": _rounded(explanation.log_probability, 3),
        "own_share": _rounded(explanation.attention[..., own].sum(-1).mean(-1), 3),
    }


def packed(attention: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    """Attention as the script unpacks it: square roots in 8 bits, deflated, in base64."""
    steps = np.rint(STEPS * np.sqrt(np.clip(attention, 0, 1))).astype(np.uint8)
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()


def _rounded(values: Any, digits: int) -> Any:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def _whole(explanation: Explanation) -> list[dict[str, Any]]:
    """Every word of the prompt with its attribution to the whole reply, for readers without the script."""
    first = len(explanation.words) - len(explanation.reply)
    totals = explanation.attribution.sum(0)[:first]
    shown = [abs(t) for t, w in zip(totals, explanation.words, strict=False) if w.role == "user"]
    most = max(shown, default=0.0) or 1.0
    return [
        {
            "text": word.text,
            "role": word.role,
            "share": math.copysign(min(1.0, abs(float(total)) / most), total),
            "nats": float(total),
        }
        for word, total in zip(explanation.words[:first], totals, strict=True)
    ]
