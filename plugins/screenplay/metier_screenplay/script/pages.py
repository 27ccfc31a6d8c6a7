"""How long a screenplay runs: lines as Courier 12 sets them on the page, 55 a page, a page a minute."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from metier_screenplay.script.element import UNSEEN, Element, plain

LINES_A_PAGE = 55
_COLUMNS = {"dialogue": 35, "lyrics": 35, "parenthetical": 25, "character": 38, "transition": 60}
"""Characters a line holds at ten to the inch, by the usual margins (Riley, The Hollywood Standard)."""
_FULL = 60


def width(text: str) -> int:
    """Places a text takes: East Asian Wide and Fullwidth characters (UAX #11) two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def lines_of(elements: Iterable[Element]) -> int:
    """Lines on the page, blank ones between elements among them; dual dialogue is set one below the other."""
    total = 0
    for element in elements:
        if element.kind in UNSEEN or element.kind in {"title", "page_break"}:
            continue
        columns = _COLUMNS.get(element.kind, _FULL)
        apart = element.kind not in {"dialogue", "parenthetical", "lyrics"}
        total += bool(total and apart) + sum(_rows(line, columns) for line in plain(element.text).split("\n"))
    return total


def pages(elements: Iterable[Element]) -> float:
    """Length in pages."""
    return lines_of(elements) / LINES_A_PAGE


def minutes(elements: Iterable[Element]) -> float:
    """Estimated running time: the trade's rule of a minute a page."""
    return pages(elements)


def _rows(text: str, columns: int) -> int:
    rows, taken = 1, 0
    for word in text.split():
        size = width(word)
        if taken and taken + 1 + size > columns:
            rows, taken = rows + 1, 0
        taken += size + bool(taken)
        if taken > columns:  # Chinese has no spaces to break at.
            rows, taken = rows + (taken - 1) // columns, (taken - 1) % columns + 1
    return rows
