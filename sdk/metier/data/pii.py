"""Personal data in text, found by form and checksum, and replaced by its kind. A net, not a guarantee: names and
addresses have no form, and are not found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal, NamedTuple

from metier.contracts.sample import Sample

Kind = Literal["resident_id", "card", "email", "phone"]


class Replacement(NamedTuple):
    """One piece of personal data that was replaced. Never holds the data itself."""

    kind: Kind
    start: int
    end: int
    """Characters of the original text, end exclusive."""
    field: str = ""
    """Dotted path in a sample, such as input.facts; empty for plain text."""


_ID = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{5}(?:19|20)\d{9}[0-9Xx](?![0-9A-Za-z])")
_CARD = re.compile(r"(?<![\d.])[2-6](?:[ -]?\d){13,18}(?![\d]|\.\d)")
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_PHONE = re.compile(
    r"(?<![A-Za-z0-9_.+-])(?:"
    r"(?:(?:\+|00)86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}"  # mobile, China (MIIT numbering plan)
    r"|0\d{2,3}[ -]\d{7,8}"  # landline, China
    r"|(?:\+1[ .-]?)?\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:\+1[ .-]?)?[2-9]\d{2}[.-]\d{3}[.-]\d{4}"  # North America
    r"|\+[1-9]\d{0,2}(?:[ .()-]{0,2}\d){7,12}"  # international, ITU-T E.164
    r")(?![A-Za-z0-9_-]|\.\d)"
)
_MAYBE = re.compile(r"@|\d(?:[ .()-]{0,2}\d){6}")
"""What any of the above contains: a quick look that clears most text."""


def find_pii(text: str) -> list[Replacement]:
    """Personal data in a text, in order, none overlapping; a checksum that fails clears a number."""
    if not _MAYBE.search(text):
        return []
    found: list[Replacement] = []
    for kind, start, end in _candidates(text):
        if all(end <= other.start or start >= other.end for other in found):
            found.append(Replacement(kind, start, end))
    return sorted(found, key=lambda r: r.start)


def scrub(text: str) -> tuple[str, list[Replacement]]:
    """The text with each piece replaced by its kind in brackets, such as `[email]`, and what was replaced."""
    found = find_pii(text)
    clean = text
    for piece in reversed(found):
        clean = f"{clean[: piece.start]}[{piece.kind}]{clean[piece.end :]}"
    return clean, found


def scrub_sample(sample: Sample) -> tuple[Sample, list[Replacement]]:
    """A sample with every string of its input and output scrubbed, and what was replaced, by field."""
    found: list[Replacement] = []
    update = {side: _scrub_value(getattr(sample, side), side, found) for side in ("input", "output")}
    return (sample.model_copy(update=update) if found else sample), found


def _scrub_value(value: Any, path: str, found: list[Replacement]) -> Any:
    if isinstance(value, str):
        clean, pieces = scrub(value)
        found += [piece._replace(field=path) for piece in pieces]
        return clean
    if isinstance(value, list):
        return [_scrub_value(item, f"{path}.{i}", found) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _scrub_value(item, f"{path}.{key}", found) for key, item in value.items()}
    return value


def _candidates(text: str) -> Iterator[tuple[Kind, int, int]]:
    """The surer kinds first: an ID's digits could be part of a card's, a card's of a phone's."""
    for match in _ID.finditer(text):
        if is_resident_id(match[0]):
            yield "resident_id", *match.span()
    for match in _CARD.finditer(text):
        if is_card(re.sub(r"\D", "", match[0])):
            yield "card", *match.span()
    for match in _EMAIL.finditer(text):
        yield "email", *match.span()
    for match in _PHONE.finditer(text):
        yield "phone", *match.span()


def is_card(digits: str) -> bool:
    """Whether digits are a payment card's: 14 to 19 of them, and the Luhn sum (ISO/IEC 7812-1) holds."""
    if not 14 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(int(d) for d in digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_resident_id(text: str) -> bool:
    """Whether 18 characters are a Chinese resident ID: a real birth date, and the check character (GB 11643-1999)."""
    try:
        date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(d) * (2 ** (17 - i) % 11) for i, d in enumerate(text[:17]))
    return text[17].upper() == "10X98765432"[total % 11]
