"""Ratings as shops write them: on any scale, in stars, words of several languages or percent, as 0 to 5."""

from __future__ import annotations

import re
import unicodedata

FULL = 5.0
_NUMBER = r"(\d+(?:[.,]\d+)?)"
_OF_THE_SCALE = re.compile(
    rf"{_NUMBER}\s*(?:stars?|点|分|星)?\s*(?:/|out of|von|sur|de|su|av|van|z|из|/\s*満点|\bof\b)\s*{_NUMBER}",
    re.IGNORECASE,
)
_SCALE_FIRST = re.compile(
    rf"{_NUMBER}\s*(?:つ星のうち|点満点中|つ星中|分满分|分制|星满分|점 만점에|점 만점)\D{{0,6}}{_NUMBER}"
)
_PERCENT = re.compile(rf"{_NUMBER}\s*%")
_ALONE = re.compile(
    rf"{_NUMBER}\s*(?:stars?|sterne?|étoiles?|estrellas?|stelle?|つ星|星级?|颗星|分|点|점|★)?\.?$", re.IGNORECASE
)
_HAN_DIGITS = {"零": "0", "一": "1", "二": "2", "两": "2", "三": "3", "四": "4", "五": "5"}


def rating_of(cell: str) -> float | None:
    """A rating from 0 to 5; None where the cell is none, or is above 5 without its scale."""
    text = unicodedata.normalize("NFKC", cell).strip()
    full, empty = sum(text.count(star) for star in "★⭐🌟"), text.count("☆")
    if full + empty > 1 or (full + empty == 1 and not re.search(r"\d", text)):
        return _scaled(full, max(FULL, full + empty)) if full + empty <= 10 else None
    if re.fullmatch(r"[零一二两三四五]\s*(?:颗)?[星分]级?", text):
        return float(_HAN_DIGITS[text[0]])
    if found := _SCALE_FIRST.match(text):
        return _scaled(_float(found[2]), _float(found[1]))
    if found := _OF_THE_SCALE.match(text):
        return _scaled(_float(found[1]), _float(found[2]))
    if found := _PERCENT.fullmatch(text):
        return _scaled(_float(found[1]), 100)
    if found := _ALONE.match(text):
        value = _float(found[1])
        return value if value <= FULL else None
    return None


def _float(number: str) -> float:
    return float(number.replace(",", "."))


def _scaled(value: float, scale: float) -> float | None:
    return round(FULL * value / scale, 2) if scale > 0 and value <= scale else None
