"""A Google Merchant Center product feed as tab-separated text (CSV too): one product a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metier.contracts import BadRow, Sample
from metier_adcopy.reading.merchant import DESCRIPTION, sample_of_product
from metier_adcopy.reading.tables import header, rows_with, text
from metier_adcopy.tasks import DESCRIBE

REPEATED = frozenset({"product_highlight", "product_detail"})
# What a feed has and an ordinary catalogue has not, beside title and description.
_DISTINCTIVE = {"image_link", "availability", "gtin", "mpn", "google_product_category", "link", "identifier_exists"}


def attribute_of(column: str) -> str:
    """`g:product type(custom)` and `Product Type` are product_type."""
    plain = column.strip().casefold().removeprefix("g:")
    return re.sub(r"[\s\-]+", "_", re.sub(r"\(.*\)$", "", plain).strip())


@dataclass(frozen=True)
class MerchantTable:
    """The text form of a product feed."""

    name: str = "merchant_feed_text"
    task: str = DESCRIBE
    example: Path = Path(__file__).parent.parent / "examples" / "feed.tsv"

    def accepts(self, path: Path) -> bool:
        """Whether the header is a feed's: title, description and an attribute that only feeds have."""
        have = {attribute_of(column) for column in header(path)}
        named = have & {"title", "structured_title"} and have & {"description", "structured_description"}
        return bool(named) and bool(have & _DISTINCTIVE)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample a line.

        Raises:
            DataError: no table, or neither title nor description among its columns.
        """
        needed = {
            "title": ("title", "g:title", "structured_title", "g:structured_title"),
            "description": tuple(f"{prefix}{name}" for name in DESCRIPTION for prefix in ("", "g:")),
        }
        for row in rows_with(path, needed):
            if isinstance(row, BadRow):
                yield row
                continue
            pairs = [(attribute_of(k), text(v)) for k, v in row.values.items()]
            yield sample_of_product([(k, v) for k, cell in pairs for v in _values(k, cell)], row.provenance)


def _values(attribute: str, cell: str) -> list[str]:
    """Values of a cell: a repeated attribute has several, each with a comma within it in quotes."""
    if attribute not in REPEATED or '"' not in cell:
        return [cell]
    try:
        return [value.strip() for value in next(csv.reader([cell], skipinitialspace=True), [cell])]
    except csv.Error:
        return [cell]
