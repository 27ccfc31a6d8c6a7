"""A listing must add no number and no claim to what the seller and the photo say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier.wording import quantities
from metier_support.figures import number
from metier_support.tasks import LISTING

RULE = "House rule: add nothing to the attributes; UK CPRs 2008 reg. 5, FTC Act § 5, 广告法第二十八条 (false claims)"
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_CLAIMS = re.compile(
    r"\b(?:waterproof|water[- ]resistant|unbreakable|organic|hypoallergenic"
    r"|non[- ]toxic|bpa[- ]free|eco[- ]friendly|recycled|recyclable"
    r"|biodegradable|vegan|handmade|hand[- ]made|certified|dishwasher[- ]safe"
    r"|microwave[- ]safe|oven[- ]safe|machine[- ]washable|fireproof"
    r"|award[- ]winning|best|guaranteed?|warranty|genuine|authentic"
    r"|medical|antibacterial|free (?:shipping|delivery|returns)"
    r"|stainless|leather|silk|wool|cotton|linen|solid wood|oak|new|sale|discount)\b"
    r"|防水|有机|纯棉|真皮|手工|环保|抗菌|进口|正品|最[好佳优]|第一|包邮|质保|食品级",
    re.IGNORECASE,
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per number or claim that the input does not hold."""
    attributes = input.get("attributes")
    pairs = attributes.items() if isinstance(attributes, Mapping) else ()
    known = " ".join([*(f"{k} {v}" for k, v in pairs), str(input.get("seen") or ""), str(input.get("draft") or "")])
    known = _plain(known)
    bullets = output.get("bullets")
    listing_text = _plain(
        " \n ".join(
            [
                str(output.get("title", "")),
                *map(str, bullets if isinstance(bullets, list) else ()),
                str(output.get("description", "")),
            ]
        )
    )
    numbers = {number(n) for n in _NUMBER.findall(known)}
    found = [
        Finding(message=f"adds the number {n}", rule=RULE, excerpt=n)
        for n in dict.fromkeys(_NUMBER.findall(listing_text))
        if number(n) not in numbers
    ]
    found += [
        Finding(
            message=f"states {n} {unit}, which the attributes give in {' or '.join(sorted(units))}",
            rule=RULE,
            excerpt=n,
        )
        for n, unit, units in _other_units(listing_text, known)
    ]
    squeezed = re.sub(r"[\s\-]+", "", known)
    found += [
        Finding(message=f"claims {claim}, which the attributes do not say", rule=RULE, excerpt=claim)
        for claim in dict.fromkeys(m[0] for m in _CLAIMS.finditer(listing_text))
        if re.sub(r"[\s\-]+", "", claim) not in squeezed and not _denied(claim, listing_text)
    ]
    return found


def _other_units(text: str, known: str) -> Iterator[tuple[str, str, set[str]]]:
    """Numbers of a listing in another unit than the input's, with both; a number that has no unit there fits any."""
    given: dict[str, set[str | None]] = {}
    for quantity in quantities(known):
        given.setdefault(quantity.number, set()).add(quantity.unit)
    for quantity in quantities(text):
        units = given.get(quantity.number, {None})
        if quantity.unit is not None and quantity.unit not in units and None not in units:
            yield quantity.number, quantity.unit, {unit for unit in units if unit}


def _denied(claim: str, text: str) -> bool:
    """Whether it is only named as what the product is not."""
    return bool(re.search(rf"\b(?:not|no|isn't|never) (?:[a-z]+ )?{re.escape(claim)}|[不非]{re.escape(claim)}", text))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


_GOODS: Value = {"photo": "kettle.png", "attributes": {"name": "Tarn kettle", "capacity": "1.7 l", "colour": "green"}}
listing_facts = Check(
    name="listing_facts",
    title="No invented facts",
    tasks=(LISTING,),
    run=run,
    passing=(
        _GOODS,
        {"title": "Tarn kettle, 1.7 l, green", "bullets": ["Holds 1.7 l", "Green"], "description": "A green kettle."},
    ),
    failing=(
        _GOODS,
        {"title": "Tarn kettle, 1.8 l", "bullets": ["Stainless steel", "Green"], "description": "A green kettle."},
    ),
    description="No number or claim that attributes, photo and draft do not hold.",
)
