"""Names of adapters and heads in a bundle, derived from the fine-tune's card or folder."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from metier.contracts import FineTune, UsageError
from metier.contracts.finetune import CARD
from metier.decoding.adapter_store import check_name


def names_of(finetunes: Sequence[FineTune]) -> list[str]:
    """A name for each fine-tune's entry, derived from its card.

    Raises:
        UsageError: two are the same.
    """
    names = [_slug(finetune.card.name) for finetune in finetunes]
    if duplicates := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"several fine-tunes are called {duplicates[0]}", remedy="rename their folders, or give names")
    return names


def name_of(source: Path) -> str:
    """The name in the card of a fine-tune's folder, or the name of a folder without a card, as an entry's name.

    Raises:
        UsageError: no name can be derived from it.
    """
    name = _slug(_card_name(source) or source.expanduser().resolve().name)
    try:
        check_name(name)
    except UsageError as error:
        raise UsageError(
            "no name can be derived from the card or the folder", where=str(source), remedy="give one with --name"
        ) from error
    return name


def _card_name(source: Path) -> str | None:
    """The card is validated where it is used; here its name is all that counts."""
    try:
        card = json.loads((source / CARD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    name = card.get("name") if isinstance(card, dict) else None
    return name if isinstance(name, str) else None


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-._")
