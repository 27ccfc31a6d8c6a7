"""The nearest known name to one that was mistyped, so that every error about a name ends in a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name closest to `name`, or to its last dotted part; None when nothing is as like it (0 to 1)."""
    names = list(known)
    if found := difflib.get_close_matches(name, names, n=1, cutoff=likeness):
        return found[0]
    last = name.rsplit(".", 1)[-1]
    for candidate in difflib.get_close_matches(last, [n.rsplit(".", 1)[-1] for n in names], n=1, cutoff=likeness):
        return next(n for n in names if n.rsplit(".", 1)[-1] == candidate)
    return None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`, did you mean X?` where something is near, else nothing: to be set after the wrong name."""
    near = nearest(name, known)
    return f", did you mean {near}?" if near else ""
