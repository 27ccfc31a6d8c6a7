"""A listing must name the product that it sells, and must not deny what the attributes affirm, nor the reverse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier.wording import HAN, Text, content, normalise, tokens
from metier_support.tasks import LISTING

RULE = "House rule: a listing is of the goods in the photo, and says of them what the attributes say"
_PRODUCT = frozenset("product type item 商品 品名 类型 产品 品类".split())  # noqa: SIM905
_NAME = frozenset("name title 名称 商品名 商品名称".split())  # noqa: SIM905
_YES = frozenset("yes true included 有 是 含 带 支持".split())  # noqa: SIM905
_NO = frozenset("no false none 无 没有 否 不含 不带 不支持".split())  # noqa: SIM905
_LONGEST = 40
"""Characters of an attribute's name or product that is looked for."""
_MOST = 40
"""Attributes that are looked for."""


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings where the title names other goods, or a text turns an attribute round."""
    return list(dict.fromkeys(_findings(input, output)))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    attributes = input.get("attributes")
    pairs = (
        [(normalise(str(k)).strip(), str(v)) for k, v in attributes.items()] if isinstance(attributes, Mapping) else []
    )
    title, bullets = str(output.get("title", "")), output.get("bullets")
    named = [v for k, v in pairs if k in _PRODUCT] or [v for k, v in pairs if k in _NAME]
    if named and not any(_names(title, name) for name in named):
        yield Finding(message=f"the title does not name the product, {named[0][:60]!r}", rule=RULE, excerpt=title[:40])
    texts = [title, *(map(str, bullets) if isinstance(bullets, list) else ()), str(output.get("description", ""))]
    for key, value in pairs[:_MOST]:
        answer = normalise(value).strip()
        if len(key) > _LONGEST or len(key) < 2 or answer not in _YES | _NO:
            continue
        for text in texts:
            if (words := _stated(text, key, answer in _NO)) is not None:
                message = f"says {words!r}, where the attribute {key} is {answer}"
                yield Finding(message=message, rule=RULE, excerpt=words[:40])


def _names(title: str, product: str) -> bool:
    """Whether a title has a word of the product's name, or its last character: 壶 for 电热水壶."""
    if "{" in product or len(product) > _LONGEST:
        return True
    if HAN.search(product):
        han = "".join(HAN.findall(product))
        pairs = {han[i : i + 2] for i in range(len(han) - 1)} | {han[-1]}
        return not HAN.search(title) or any(pair in title for pair in pairs)
    known = Text(title)
    return bool(HAN.search(title)) or any(known.has(word) for word in content(tokens(product)) or ["-"])


def _stated(text: str, key: str, affirmed: bool) -> str | None:
    """The words that affirm a feature (or deny it, where `affirmed` is False), or None."""
    plain, name = normalise(text), re.escape(key)
    if HAN.search(key):
        denied = re.search(rf"(?:不带|没有?|不含|无|不支持|不配|未配)[㐀-鿿]{{0,2}}{name}", plain)
        stated = re.search(rf"(?<![不没])(?:带有?|有|配有?|含|支持)[㐀-鿿]{{0,2}}{name}", plain)
    else:
        denied = re.search(
            rf"\b(?:without|no|not have|lacks?|has no|minus)(?: an?| the| any)?(?: [a-z]+)? ?\b{name}s?\b|"
            rf"\b{name}s? (?:is |are )?not (?:included|fitted|supplied)\b",
            plain,
        )
        stated = re.search(rf"\b(?:with|has|have|includes?|comes with)(?: an?| the| its)? {name}\b(?!-free)", plain)
    found = stated if affirmed and not denied else denied if not affirmed else None
    return found[0] if found else None


_GOODS: Value = {"photo": "pot.png", "attributes": {"product": "teapot", "material": "glass", "filter": "yes"}}
_REST: Value = {"bullets": ["Glass", "For loose tea"], "description": "A glass teapot."}
listing_agrees = Check(
    name="listing_agrees",
    title="Agrees with the attributes",
    tasks=(LISTING,),
    run=run,
    passing=(_GOODS, {**_REST, "title": "Glass teapot with filter"}),
    failing=(_GOODS, {**_REST, "title": "Glass teapot without filter"}),
    description="The title names the product, and no yes or no of the attributes is turned round.",
)
