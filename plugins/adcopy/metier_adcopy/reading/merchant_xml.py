"""A Google Merchant Center product feed as RSS 2.0 or Atom XML: parsed as a stream, each item at its own line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, DataError, Provenance, Sample
from metier.readers.xml import Collecting, stream
from metier_adcopy.reading.merchant import NAMESPACE, SPOKEN_FOR, sample_of_product
from metier_adcopy.tasks import DESCRIBE

_LONGEST = 1_000_000
"""Characters of one item that are kept: Merchant Center's own limit is 5,000 for a description."""


@dataclass(frozen=True)
class MerchantXml:
    """The XML forms of a product feed."""

    name: str = "merchant_feed_xml"
    task: str = DESCRIBE
    example: Path = Path(__file__).parent.parent / "examples" / "feed.xml"

    def accepts(self, path: Path) -> bool:
        """Whether it is XML, RSS or Atom by suffix or first tag, and speaks Google's namespace near its start."""
        try:
            with path.open("rb") as file:
                start = file.read(8192).replace(b"\0", b"")  # UTF-16's halves.
        except (OSError, ValueError):
            return False
        return NAMESPACE.encode() in start and (b"<rss" in start or b"<feed" in start)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample an item or entry; its line is that of the opening tag.

        Raises:
            DataError: the file is not well-formed XML (with the line), declares a DTD, or is not a feed.
        """
        items = _Items()
        remedy = "correct the tag or the character there, and see that & is written &amp;"
        for line, attributes in stream(path, items, remedy=remedy, namespaces=True):
            yield sample_of_product(attributes, Provenance(source=str(path), line=line))
        if not items.root_is_feed:
            raise DataError(
                "there is neither an RSS channel nor an Atom feed in it",
                where=f"{path}:1",
                remedy="give a product feed with <rss> or <feed> as its first tag",
            )


class _Items(Collecting[tuple[int, list[tuple[str, str]]]]):
    """Collects items: the line of each and its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.root_is_feed = False
        self._depth = 0
        self._item: list[tuple[str, str]] | None = None
        self._item_depth, self._item_line, self._item_size = 0, 1, 0
        self._attribute = ""
        self._parts: list[str] = []
        self._inner: dict[str, str] = {}

    def startElementNS(self, name: tuple[str | None, str], qname: Any, attrs: Any) -> None:  # noqa: N802 (SAX's name)
        self._depth += 1
        local = name[1]
        if self._depth == 1:
            self.root_is_feed = local in ("rss", "feed", "RDF")
        if self._item is None:
            if local in ("item", "entry"):
                self._item, self._item_depth, self._item_size = [], self._depth, 0
                self._item_line = self.line
        elif self._depth == self._item_depth + 1:
            # Google's own namespace first; RSS's and Atom's title and description count as well.
            self._attribute = local if name[0] == NAMESPACE or local in SPOKEN_FOR else ""
            self._parts = []
        elif self._attribute and self._depth == self._item_depth + 2:
            self._parts = []  # of the part that begins

    def _value(self) -> str:
        """The attribute's own text, or that of its parts in the text form: section:name:value, or the content alone."""
        inner = self._inner
        if "attribute_name" in inner or "attribute_value" in inner:
            return ":".join(inner.get(key, "") for key in ("section_name", "attribute_name", "attribute_value"))
        if "content" in inner:
            return inner["content"]
        return ":".join(value for value in inner.values() if value) if inner else "".join(self._parts).strip()

    def characters(self, content: str) -> None:
        if self._item is not None and self._attribute and self._item_size < _LONGEST:
            self._parts.append(content)
            self._item_size += len(content)

    def endElementNS(self, name: tuple[str | None, str], qname: Any) -> None:  # noqa: N802
        if self._item is not None:
            if self._attribute and self._depth == self._item_depth + 2:
                self._inner[name[1]] = "".join(self._parts).strip()
            elif self._depth == self._item_depth + 1 and self._attribute:
                google = name[0] == NAMESPACE
                pair = (self._attribute, self._value())
                self._inner = {}
                # g:title overrides the title of RSS, wherever it occurs.
                self._item.insert(0, pair) if google and pair[0] in ("title", "description") else self._item.append(
                    pair
                )
                self._attribute = ""
            elif self._depth == self._item_depth:
                self.done.append((self._item_line, self._item))
                self._item = None
        self._depth -= 1
