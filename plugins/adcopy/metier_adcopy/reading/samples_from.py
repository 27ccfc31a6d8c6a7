"""From a row of a trade file to a sample, or to a bad row that says which field is wrong. It reads no files."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser

from metier.contracts import BadRow, ContractError, Provenance, Sample
from metier.contracts.script import language_by_script
from metier_adcopy.facts import Fact, parse_facts, write_facts
from metier_adcopy.tasks import DESCRIBE

_ELEMENTS = (
    "a abbr address article aside audio b bdi bdo big blockquote body br button caption center cite code col "
    "colgroup dd del details dfn div dl dt em figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr "
    "html i iframe img input ins kbd label legend li link main map mark menu meta nav noscript object ol option p "
    "param picture pre q s samp script section select small source span strike strong style sub summary sup svg "
    "table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr"
)
_TAG = re.compile(rf"</?(?:{_ELEMENTS.replace(' ', '|')})(?:[\s/][^<>]{{0,4000}})?>", re.IGNORECASE)
"""Tags of elements that HTML knows: `<B12>` and `<M57 and newer>` are words."""
_ESCAPES = re.compile(r"(?:^|(?<=[\s>.!?;,]))\\[nrt]|\\[nrt](?=[\s<\\]|$)")
"""Line breaks and tabs that an export wrote as two characters."""


def sample_of(facts: str, text: str, provenance: Provenance, *, fields: tuple[str, str]) -> Sample | BadRow:
    """A sample of `adcopy.describe` from a meaning representation and a text.

    Args:
        facts: `key[value], key[value]`.
        text: the description.
        provenance: the row's place.
        fields: names of the row's fields that the two came from, for the bad row.
    """
    text = plain_text(text)
    if not text:
        return BadRow(
            provenance=provenance,
            field=fields[1],
            reason="there is no description to train on",
            remedy=f"fill {fields[1]}, or leave the row out",
        )
    try:
        if not any(fact.known for fact in parse_facts(facts)):
            raise ContractError("every fact is empty", remedy=f"fill {fields[0]}, or leave the row out")
    except ContractError as error:
        return BadRow(provenance=provenance, field=fields[0], reason=error.what, remedy=error.remedy)
    input = {"facts": facts.strip()}
    if language_by_script(text, ("zh",)):
        input["language"] = "zh"
    return Sample(task=DESCRIBE, input=dict(input), output={"text": text}, provenance=provenance)


def facts_of(pairs: Sequence[tuple[str, str]]) -> str:
    """Facts of a row's columns, empty and placeholder values left out."""
    return write_facts(
        (key, value) for key, value in ((k, plain_text(v)) for k, v in pairs) if key.strip() and Fact(key, value).known
    )


def plain_text(text: str) -> str:
    """A field without its HTML, entities and runs of white space. Text that merely contains `<` is not changed."""
    if "\\" in text:
        text = _ESCAPES.sub(" ", text)
    if "<" in text:
        text = _without_comments(text)
    if _TAG.search(text):
        text = _strip_tags(text)
    text = html.unescape(text)
    # XML and HTML know no control characters; a model should not either.
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in text).split())


_BLOCKS = frozenset(
    [
        "p", "br", "div", "li", "ul", "ol", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "section",
        "article", "table",
    ]
)  # fmt: skip


class _TextOnly(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._unseen = False

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._unseen = tag in ("script", "style")
        self.parts.append(" " if tag in _BLOCKS else "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = False
        self.parts.append(" " if tag in _BLOCKS else "")


def _without_comments(text: str) -> str:
    """Text without `<!-- … -->`, in one pass; one that never ends is text."""
    parts, at = [], 0
    while (start := text.find("<!--", at)) >= 0:
        stop = text.find("-->", start + 4)
        if stop < 0:
            break
        parts.append(text[at:start])
        at = stop + 3
    return "".join([*parts, text[at:]])


def _strip_tags(text: str) -> str:
    # The parser sees whole tags of known elements only; it would take any other `<` for the start of one.
    parts, at = [], 0
    for tag in _TAG.finditer(text):
        parts += [text[at : tag.start()].replace("<", "&lt;"), tag[0]]
        at = tag.end()
    text = "".join([*parts, text[at:].replace("<", "&lt;")])
    parser = _TextOnly()
    try:
        parser.feed(text)
        parser.close()
    except (AssertionError, ValueError):  # html.parser gives up on some broken declarations.
        return _TAG.sub(" ", text)
    return "".join(parser.parts)
