"""A case of `support.reply` filled with the passages that bear on it, so that facts newer than the base come from the
shop's documents."""

from __future__ import annotations

from pydantic import JsonValue

from metier.contracts import Value
from metier.data import PassageIndex
from metier_support.case import text_by

QUERY = 400
"""Characters of what the customer wrote last that are searched for: earlier topics would drown the present one."""


def ground(case: Value, index: PassageIndex, k: int = 3) -> Value:
    """The case with the best `k` passages for what the customer asks; passages that it has already stay in front.

    Args:
        case: an input of `support.reply`.
        index: the shop's passages.
        k: passages in all, at most.
    """
    has = case.get("passages")
    given: list[JsonValue] = list(has) if isinstance(has, list) else []
    taken = {str(passage["id"]) for passage in given if isinstance(passage, dict)}
    found = [passage.as_input() for passage in index.search(text_by(case, "customer")[-QUERY:], k)]
    new = [passage for passage in found if passage["id"] not in taken]
    passages: list[JsonValue] = list(given)
    for passage in new[: max(0, k - len(given))]:
        passages.append(dict(passage))
    return {**case, "passages": passages} if passages else case
