"""Documents into passages: Markdown through markdown-it-py (CommonMark with tables), HTML through the standard
library. It does not know tasks or search."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from metier.contracts import DataError
from metier.data.passages import Block, passages_of
from metier.runtime.passage_index import Passage

BIGGEST = 16 << 20
"""Largest document in bytes: a larger file is an export of a site, not a document."""
_MARKDOWN, _HTML = {".md", ".markdown", ".txt"}, {".html", ".htm", ".xhtml"}
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?\s*([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_CHARSETS = ("utf-8", "iso8859", "cp125", "gb", "big5", "shift_jis", "euc", "koi8")
"""Encodings of web pages; some of Python's codecs are not text encodings."""
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def read_passages(path: Path) -> Iterator[Passage]:
    """Passages of a Markdown or HTML file, in order, each with its headings and the line it starts on.

    Raises:
        DataError: the file cannot be read, is not text, is too large, or has no passage.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _MARKDOWN | _HTML:
        raise DataError(
            f"files ending in {suffix or 'nothing'} are no documents to search",
            where=str(path),
            remedy="give Markdown (.md) or HTML (.html)",
        )
    text = _text_of(path)
    blocks = _markdown(text) if suffix in _MARKDOWN else _html(text, path)
    found = False
    for passage in passages_of(blocks, str(path)):
        found = True
        yield passage
    if not found:
        raise DataError("there is no text below any heading", where=f"{path}:1", remedy="give a document with text")


def read_folder(folder: Path) -> Iterator[Passage]:
    """Passages of every document below a folder, by path; ids count up over all of them.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    files = sorted(file for file in Path(folder).rglob("*") if file.suffix.lower() in _MARKDOWN | _HTML)
    if not files:
        raise DataError("there is no document", where=str(folder), remedy="give a folder of Markdown or HTML files")
    number = 0
    for file in files:
        for passage in read_passages(file):
            number += 1
            yield passage._replace(id=f"P{number}")


def _text_of(path: Path) -> str:
    from metier.readers.encoding import TextLines, line_problem

    try:
        if path.stat().st_size > BIGGEST:
            raise DataError(f"it has more than {BIGGEST >> 20} MiB", where=str(path), remedy="split it by topic")
        lines = TextLines(path, _declared(path) if path.suffix.lower() in _HTML else None)
        parts = []
        for line in lines:
            if problem := line_problem(line, lines.encoding):
                raise DataError(problem, where=f"{path}:{lines.number}", remedy="save the file as UTF-8")
            parts.append(line.rstrip("\r\n"))
    except OSError as error:
        raise DataError(
            f"it cannot be read: {error.strerror or error}", where=str(path), remedy="check the path"
        ) from error
    return "\n".join(parts) + "\n"


def _declared(path: Path) -> str | None:
    """The encoding that an HTML page declares (WHATWG: within its first 1024 bytes); None where it declares none."""
    with path.open("rb") as file:
        found = _CHARSET.search(file.read(1024))
    try:
        name = codecs.lookup(found[1].decode("ascii")).name if found else ""
    except LookupError:
        return None
    return name if name.startswith(_CHARSETS) else None


def _markdown(text: str) -> Iterator[Block]:
    from markdown_it import MarkdownIt

    if front := _FRONT_MATTER.match(text):
        text = "\n" * front[0].count("\n") + text[front.end() :]
    level, row, line = 0, False, 1
    cells: list[str] = []
    for token in MarkdownIt("commonmark", {"html": False}).enable("table").parse(text):
        if token.map:
            line = token.map[0] + 1
        if token.type == "heading_open":
            level = int(token.tag[1])
        elif token.type == "heading_close":
            level = 0
        elif token.type == "tr_open":
            row, cells = True, []
        elif token.type == "tr_close":
            yield Block(0, " | ".join(cells) + ".", line)
            row = False
        elif token.type == "inline":
            words = _words(token)
            if row:
                cells.append(words)
            else:
                yield Block(level, words, line)
        elif token.type in {"fence", "code_block"}:
            yield Block(0, token.content, line)


def _words(token: object) -> str:
    """An inline token's text: marks gone, link targets gone, line breaks as spaces."""
    parts = []
    for child in getattr(token, "children", None) or ():
        if child.type in {"softbreak", "hardbreak"}:
            parts.append(" ")
        elif child.type in {"text", "code_inline", "image", "html_inline"}:
            parts.append(child.content)
    return "".join(parts)


_SILENT = {"script", "style", "template", "noscript", "head", "nav", "svg"}
_VOID = {"br", "hr", "img", "input", "meta", "link", "wbr", "col", "area", "base", "embed", "source", "track"}
_BLOCKS = {
    "p", "div", "li", "ul", "ol", "tr", "table", "section", "article", "dt", "dd", "dl", "blockquote", "pre", "br",
    "main", "header", "footer", "aside", "summary", "details", "body", "html", "hr", "h1", "h2", "h3", "h4", "h5", "h6",
}  # fmt: skip


class _Blocks(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.level, self.line, self.silent = 0, 1, ""
        self.parts: list[str] = []
        self.started = False

    def close_block(self) -> None:
        if text := "".join(self.parts).strip():
            self.blocks.append(Block(self.level, text.strip("| "), self.line))
        self.parts, self.started = [], False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if self.silent:
            return
        if tag in _SILENT:
            self.close_block()
            self.silent = tag
        elif tag in _BLOCKS:
            self.close_block()
            self.level = int(tag[1]) if re.fullmatch("h[1-6]", tag) else self.level if tag in _VOID else 0
        elif tag in {"td", "th"}:
            self.parts.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.silent:
            self.silent = ""
        elif not self.silent and tag in _BLOCKS:
            self.close_block()
            self.level = 0

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        if tag in _BLOCKS and not self.silent:
            self.close_block()

    def handle_data(self, data: str) -> None:
        if self.silent:
            return
        if data.strip() and not self.started:
            self.started = True
            self.line = self.getpos()[0] + data[: len(data) - len(data.lstrip())].count("\n")
        self.parts.append(data)


def _html(text: str, path: Path) -> Iterator[Block]:
    parser = _Blocks()
    try:
        parser.feed(text)
        parser.close()
    except (AssertionError, ValueError) as error:  # html.parser gives up on some broken declarations.
        raise DataError(
            f"the HTML cannot be read: {error}", where=f"{path}:{parser.getpos()[0]}", remedy="correct the markup there"
        ) from error
    parser.close_block()
    yield from parser.blocks
