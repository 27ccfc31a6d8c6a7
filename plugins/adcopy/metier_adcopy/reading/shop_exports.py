"""Product exports of shop systems, whose products go over several rows: Shopify's and WooCommerce's CSV.

What becomes a fact is an allow-list by system: names, brand, type, options, attributes, price, sizes. Identifiers, links,
stock, cost, tax, flags and search-engine texts stay out.
https://help.shopify.com/manual/products/import-export/using-csv
https://woocommerce.com/document/product-csv-importer-exporter/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.contracts import BadRow, Provenance, Sample
from metier_adcopy.reading.columns import label_of, role_of
from metier_adcopy.reading.samples_from import facts_of, sample_of
from metier_adcopy.reading.tables import header, rows_with, text
from metier_adcopy.tasks import DESCRIBE

if TYPE_CHECKING:
    from metier.readers.tables import Row

_EXAMPLES = Path(__file__).parent.parent / "examples"
MOST_ROWS = 2_000
"""Rows of one product: Shopify allows 2,048 variants."""


@dataclass(frozen=True)
class Shopify:
    """One sample a product; rows of variants and images belong to the row above with the same handle."""

    name: str = "shopify"
    task: str = DESCRIBE
    example: Path = _EXAMPLES / "shopify.csv"

    def accepts(self, path: Path) -> bool:
        """Whether the header is that of Shopify's product export."""
        return {"handle", "title", "body (html)"} <= {column.strip().casefold() for column in header(path)}

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples at the products' first rows.

        Raises:
            DataError: no table, or no column of titles or descriptions.
        """
        rows = rows_with(path, {"title": ("title",), "description": ("body (html)",)})
        yield from _samples(rows, lambda cells, held: held and cells.get("handle") == held[0].get("handle"), _shopify)


@dataclass(frozen=True)
class WooCommerce:
    """One sample a product; rows of variations belong to the variable product above."""

    name: str = "woocommerce"
    task: str = DESCRIBE
    example: Path = _EXAMPLES / "woocommerce.csv"

    def accepts(self, path: Path) -> bool:
        """Whether the header is that of WooCommerce's product export."""
        have = {column.strip().casefold() for column in header(path)}
        return {"type", "sku", "name"} <= have and bool(have & {"regular price", "in stock?", "visibility in catalog"})

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples at the products' own rows.

        Raises:
            DataError: no table, or no column of names or descriptions.
        """
        rows = rows_with(path, {"name": ("name",), "description": ("description", "short description")})
        yield from _samples(
            rows, lambda cells, held: held and cells.get("type", "").startswith("variation"), _woocommerce
        )


def _samples(
    rows: Iterable[Row | BadRow],
    continues: Callable[[dict[str, str], list[dict[str, str]]], Any],
    pairs_of: Callable[[list[dict[str, str]]], tuple[list[tuple[str, str]], str]],
) -> Iterator[Sample | BadRow]:
    """A sample of each group of rows."""
    held: list[dict[str, str]] = []
    place: Provenance | None = None

    def sample() -> Sample | BadRow:
        assert place is not None
        pairs, written = pairs_of(held)
        if not pairs or not pairs[0][1].strip():
            return BadRow(
                provenance=place,
                field="title",
                reason="the product has no name",
                remedy="fill it, or leave the row out",
            )
        return sample_of(facts_of(pairs), written, place, fields=("title", "description"))

    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        cells = {name.strip().casefold(): text(value).strip() for name, value in row.values.items()}
        if continues(cells, held) and len(held) < MOST_ROWS:
            held.append(cells)
            continue
        if held:
            yield sample()
        held, place = [cells], row.provenance
    if held:
        yield sample()


def _shopify(rows: list[dict[str, str]]) -> tuple[list[tuple[str, str]], str]:
    first = rows[0]
    pairs = [("name", first.get("title", "")), ("brand", first.get("vendor", ""))]
    pairs.append(("type", first.get("type") or _last(first.get("product category", ""))))
    for number in (1, 2, 3):
        option = first.get(f"option{number} name", "")
        values = _unique(row.get(f"option{number} value", "") for row in rows)
        if option and option.casefold() != "title":  # Shopify's own name of a product without options
            pairs.append((_key(option), ", ".join(values)))
    prices = _unique(row.get("variant price", "") for row in rows)
    pairs.append(("price", prices[0] if len(prices) == 1 else ""))
    for name, value in first.items():
        if found := re.fullmatch(r"(.+?)\s*\(product\.metafields\.[^()]*\)", name):
            pairs.append((_key(found[1]), value))
    return pairs, first.get("body (html)", "")


def _woocommerce(rows: list[dict[str, str]]) -> tuple[list[tuple[str, str]], str]:
    first = rows[0]
    pairs = [("name", first.get("name", "")), ("brand", first.get("brands", ""))]
    pairs.append(("type", _last(first.get("categories", "").split(",")[0])))
    for number in range(1, 31):
        attribute = first.get(f"attribute {number} name", "")
        if attribute:
            values = _unique(v.strip() for row in rows for v in row.get(f"attribute {number} value(s)", "").split(","))
            pairs.append((_key(attribute), ", ".join(values)))
    prices = _unique(row.get("regular price", "") for row in rows)
    pairs += [("price", prices[0] if len(prices) == 1 else ""), ("sale price", first.get("sale price", ""))]
    for name, value in first.items():
        if (found := re.fullmatch(r"(weight|length|width|height)\s*\(([^()]+)\)", name)) and value:
            pairs.append((found[1], f"{value} {found[2]}"))
    return pairs, first.get("description") or first.get("short description", "")


def _key(name: str) -> str:
    """The key of an option's or attribute's fact: as a column of that name has it."""
    role = role_of(name)
    return label_of(role, name) if role and role not in ("name", "description") else name


def _last(category: str) -> str:
    return re.split(r"\s*>\s*", category)[-1].strip()


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(value.strip() for value in values if value.strip()))
