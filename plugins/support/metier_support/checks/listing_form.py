"""A listing must keep its title's limit, name the product, not shout, and not say a bullet twice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_support.tasks import LISTING

LIMIT = "eBay listing title: at most 80 characters (or the limit given)"
STYLE = "Amazon product title requirements: no all capitals, no promotional phrases, no decorative characters"
_PROMOTION = re.compile(
    r"free shipping|100% quality|hot item|best seller|buy "
    r"now|limited time|!{2,}|[★☆✨🔥!$?_{}^¬¦~]|包邮|爆款|特价|秒杀",
    re.IGNORECASE,
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings on title and bullets."""
    title, limit = str(output.get("title", "")), input.get("max_title")
    limit = limit if isinstance(limit, int) else 80
    found = []
    if len(title) > limit:
        found.append(
            Finding(
                message=f"the title has {len(title)} characters, the limit is {limit}",
                rule=LIMIT,
                excerpt=title[limit:],
            )
        )
    letters = [c for c in title if c.isascii() and c.isalpha()]
    if len(letters) > 8 and sum(c.isupper() for c in letters) > 0.7 * len(letters):
        found.append(Finding(message="the title is in capitals", rule=STYLE, excerpt=title[:40]))
    # A placeholder's braces are no decoration.
    if promotion := _PROMOTION.search(re.sub(r"\{[^{}]*\}|\{\{[^{}]*\}\}", "", title)):
        found.append(Finding(message="the title advertises instead of naming", rule=STYLE, excerpt=promotion[0]))
    listed = output.get("bullets")
    bullets = [" ".join(str(b).casefold().split()).rstrip(".。") for b in (listed if isinstance(listed, list) else ())]
    found += [
        Finding(message="a bullet is repeated", rule=STYLE, excerpt=b)
        for b in sorted({b for b in bullets if bullets.count(b) > 1})
    ]
    return found


_GOODS: Value = {"photo": "kettle.png", "attributes": {"name": "Tarn kettle"}, "max_title": 20}
listing_form = Check(
    name="listing_form",
    title="Valid listing form",
    tasks=(LISTING,),
    run=run,
    passing=(_GOODS, {"title": "Tarn kettle, green", "bullets": ["Green", "Quick"], "description": "A kettle."}),
    failing=(
        _GOODS,
        {"title": "TARN KETTLE BEST SELLER!!", "bullets": ["Green", "green."], "description": "A kettle."},
    ),
    description="Title within its limit and calm, no bullet twice.",
)
