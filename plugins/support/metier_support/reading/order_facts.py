"""Order facts among a row's columns: those named `order_…`, or an `order` object. Personal ones are left out here
already, so that a training file never holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metier_support.reading.cells import text
from metier_support.tasks import PRIVATE_KEYS


def order_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Order facts of a row or ticket; nothing where it has none."""
    found: dict[str, str] = {}
    for name, value in values.items():
        key = str(name).strip()
        low = key.casefold()
        if low in {"order", "order_facts", "订单"} and isinstance(value, Mapping):
            found |= {str(k): text(v) for k, v in value.items()}
        elif low.startswith(("order_", "order ", "order.", "订单")):
            bare = key[len("order") + 1 :] if low.startswith("order") else key.removeprefix("订单")
            found[bare.replace("_", " ").strip() or key] = text(value)
    return {
        k: v[:120]
        for k, v in found.items()
        if k.strip() and v and not any(word in k.casefold() for word in PRIVATE_KEYS)
    }
