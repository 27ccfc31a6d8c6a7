"""Google Merchant Center's product data specification: which attributes of a feed become facts. It reads no files.

Specification: https://support.google.com/merchants/answer/7052112. Attributes that identify, price by country, ship or
target are left out: copy does not hold them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from metier.contracts import BadRow, Provenance, Sample
from metier_adcopy.facts import Fact
from metier_adcopy.reading.samples_from import facts_of, sample_of

NAMESPACE = "http://base.google.com/ns/1.0"

FACTS = {
    "title": "name", "structured_title": "name", "brand": "brand", "product_type": "type", "price": "price",
    "sale_price": "sale price", "color": "colour", "material": "material", "pattern": "pattern", "size": "size",
    "gender": "gender", "age_group": "age group", "condition": "condition", "multipack": "multipack",
    "energy_efficiency_class": "energy class", "product_highlight": "highlight", "product_detail": "detail",
    "product_length": "length", "product_width": "width", "product_height": "height", "product_weight": "weight",
    "unit_pricing_measure": "content", "certification": "certification",
}  # fmt: skip
"""Attribute → key of the fact."""

_SOURCE = re.compile(r"(?:default|trained_algorithmic_media)\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)
"""`digital_source_type`, which stands ahead of the content."""
DESCRIPTION = ("description", "structured_description", "summary", "content")
SPOKEN_FOR = frozenset({*FACTS, *DESCRIPTION})


def sample_of_product(attributes: Sequence[tuple[str, str]], provenance: Provenance) -> Sample | BadRow:
    """A sample from a product's (attribute, value) pairs, repeated attributes repeated."""
    attributes = [(k, _content(v) if k.startswith("structured_") else v) for k, v in attributes]
    written = next((v for name in DESCRIPTION for k, v in attributes if k == name and v.strip()), "")
    titles = [Fact("name", v) for k, v in attributes if FACTS.get(k) == "name"]
    if not any(title.known for title in titles):
        return BadRow(
            provenance=provenance,
            field="title",
            reason="the product has no title",
            remedy="fill title, which Merchant Center requires",
        )
    pairs = [("name", next(title.value for title in titles if title.known))]
    pairs += [_fact(k, v) for k, v in attributes if k in FACTS and FACTS[k] != "name"]
    # `new` is the default condition, which copy never mentions.
    pairs = [pair for pair in pairs if pair != ("condition", "new")]
    return sample_of(facts_of(pairs), written, provenance, fields=("title", "description"))


def _content(value: str) -> str:
    """The text of structured_title or structured_description, without what made it: `trained_algorithmic_media:"…"`."""
    found = _SOURCE.match(value.strip())
    content = found[1].strip() if found else value
    quoted = len(content) > 1 and content[0] == content[-1] == '"'
    return content[1:-1].replace('""', '"') if quoted else content


def _fact(attribute: str, value: str) -> tuple[str, str]:
    value = " ".join(value.split())
    if attribute == "product_type":  # Home > Kitchen > Mugs: copy says mugs.
        value = re.split(r"\s*>\s*", value)[-1]
    if attribute == "product_detail":  # Section:name:value, the section optional.
        *_, key, content = ["", *value.split(":", 2)]
        if key.strip():
            return key.strip(), content.strip()
    if attribute == "condition":
        value = value.casefold()
    if attribute in ("price", "sale_price"):  # 24.00 GBP is £24.
        value = _money(value)
    return FACTS[attribute], value


def _money(value: str) -> str:
    found = re.fullmatch(r"(\d[\d,]*(?:\.\d+)?)\s*(GBP|USD|EUR|CNY|JPY)", value) or re.fullmatch(
        r"(?P<c>GBP|USD|EUR|CNY|JPY)\s*(?P<n>\d[\d,]*(?:\.\d+)?)", value
    )
    if not found:
        return value
    amount, currency = sorted(found.groups())
    sign = {"GBP": "£", "USD": "$", "EUR": "€", "CNY": "¥", "JPY": "JPY "}[currency]
    return f"{sign}{re.sub(r'[.]00?$', '', amount)}"
