"""Objects of a JSON file one at a time, whatever it is: one object, an array, a page of an API, or one object a line.

The file is read in pieces; only the current object is held, so that an export of a gigabyte is read in the
memory of its largest ticket.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from metier.contracts import BadRow, DataError, MetierError, Provenance

WRAPPERS = ("tickets", "results", "conversations", "data", "items", "records", "threads")
"""Keys under which APIs put the list of a page."""
LARGEST = 8 << 20
"""Characters of one object; a longer one is damage or no ticket."""
_PIECE = 1 << 16
_NOWHERE = 1 << 40
_MARKS = re.compile(r'\\[\s\S]|["{}\[\]\n]')
"""What changes the reader's state; an escape is one mark, so that its quote ends no string."""
_TOKENS = re.compile(r'"(?:[^"\\]|\\[\s\S])*"|[{}\[\]]')
_PAGE = re.compile(
    r'\ufeff?\s*\{(?:\s*"[^"\\]{0,80}"\s*:\s*(?:null|true|false|-?[\d.]+|"[^"\\]{0,400}")\s*,)*'
    rf'\s*"(?:{"|".join(WRAPPERS)})"\s*:\s*\['
)


class Record(NamedTuple):
    """One object and the line it starts on."""

    values: dict[str, Any]
    provenance: Provenance


def read_records(path: Path) -> Iterator[Record | BadRow]:
    """Objects of a JSON file, in order; one that does not parse is a bad row.

    Raises:
        DataError: the file cannot be read, holds no object, or ends within one.
    """
    from metier.readers.encoding import detect_encoding, open_bytes

    path = Path(path)
    try:
        with open_bytes(path) as raw, io.TextIOWrapper(raw, detect_encoding(path), "surrogateescape") as file:
            yield from _Scanner(path).objects(file)
    except UnicodeDecodeError as error:
        raise DataError(f"it is not {error.encoding}", where=str(path), remedy="save it as UTF-8") from error
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or error
        raise DataError(f"it cannot be read: {what}", where=str(path), remedy="check the path") from error


SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".gz"})


def first_record(path: Path) -> dict[str, Any] | None:
    """The first object of a JSON file; None where there is none. Never raises."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        records = read_records(path)
        try:
            return next((r.values for r in records if isinstance(r, Record)), None)
        finally:
            records.close()  # type: ignore[attr-defined]
    except (MetierError, OSError, ValueError):
        return None


def read_listed(path: Path, key: str) -> Iterator[Record | BadRow]:
    """`read_records`, also where the file is one page whose list under `key` stands behind other lists or objects.

    Raises:
        DataError: as `read_records`.
    """
    first = first_record(path)
    paged = first is not None and isinstance(first.get(key), list)
    return records_under(path, key) if paged else read_records(path)


def records_under(path: Path, key: str) -> Iterator[Record | BadRow]:
    """Objects of the list under a key of the file's one object, wherever that stands; nothing where there is none.

    Raises:
        DataError: the file cannot be read.
    """
    from metier.readers.encoding import detect_encoding, open_bytes

    scanner = _Scanner(path)
    try:
        with open_bytes(path) as raw, io.TextIOWrapper(raw, detect_encoding(path), "surrogateescape") as file:
            yield from scanner.under(file, key)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or error
        raise DataError(f"it cannot be read: {what}", where=str(path), remedy="check the path") from error


class _Scanner:
    def __init__(self, path: Path) -> None:
        self.path, self.line, self.depth, self.top = path, 1, 0, 0
        self.in_string = False

    def objects(self, file: io.TextIOWrapper) -> Iterator[Record | BadRow]:
        piece = _piece(file)
        page = _PAGE.match(piece)
        # A ticket may hold a list of that name as well; it differs from a page by its id.
        if page and '"id"' not in page[0]:
            self.top = 2
            self.depth = 2
            self.line += page[0].count("\n")
            piece = piece[page.end() :]
        elif piece.lstrip("\ufeff \t\r\n").startswith("["):
            self.top = 1
        held: list[str] = []
        size, start, found, inside = 0, 1, False, False
        while piece:
            begin = 0
            for mark in _MARKS.finditer(piece):
                event = self._step(mark[0])
                if event == "open":
                    begin, start, inside = mark.start(), self.line, True
                elif event == "close" and inside:
                    held.append(piece[begin : mark.end()])
                    found, inside = True, False
                    yield self._record("".join(held), start)
                    held, size = [], 0
            if inside:
                held.append(piece[begin:])
                size += len(piece) - begin
                if size > LARGEST:
                    raise self._broken(f"the object has more than {LARGEST >> 20} million characters", start)
            piece = _piece(file)
        if inside:
            raise self._broken("the file ends within an object", start)
        if not found:
            raise self._broken("there is no JSON object", 1)

    def under(self, file: io.TextIOWrapper, key: str) -> Iterator[Record | BadRow]:
        """Objects of the list under a key at depth 1, in one pass over the file."""
        depth, inside, start, size = 0, False, 1, 0
        word: str | None = None  # the last string at depth 1: a key, where a colon follows
        listed = False  # whether the list that is open at depth 2 is the one
        held: list[str] = []
        rest = ""
        while piece := _piece(file):
            buffer, end = rest + piece, 0
            for mark in _TOKENS.finditer(buffer):
                token, end = mark[0], mark.end()
                if token[0] == '"':
                    word = token[1:-1] if depth == 1 else word
                elif token in "{[":
                    depth += 1
                    if token == "[" and depth == 2:
                        listed = word == key
                    elif token == "{" and depth == 3 and listed:
                        held, inside, begin = [], True, mark.start()
                        start, size = self.line + buffer.count("\n", 0, begin), 0
                elif token in "}]":
                    if token == "}" and depth == 3 and inside:
                        held.append(buffer[0 if held else begin : end])
                        inside = False
                        yield self._record("".join(held), start)
                    depth -= 1
            open_string = buffer.find('"', end)
            stop = open_string if open_string >= 0 else len(buffer)
            if inside:
                held.append(buffer[0 if held else begin : stop])
                size += len(buffer)
                if size > LARGEST:
                    raise self._broken(f"the object has more than {LARGEST >> 20} million characters", start)
            self.line += buffer.count("\n", 0, stop)
            rest = buffer[stop:]
            if len(rest) > LARGEST:
                raise self._broken(f"a string has more than {LARGEST >> 20} million characters", self.line)

    def _step(self, mark: str) -> str:
        """`open` where a record begins at this mark, `close` where it ends, else nothing."""
        self.line += mark.count("\n")
        if mark[0] in "\\\n":
            return ""
        if mark == '"':
            self.in_string = not self.in_string
        elif self.in_string:
            return ""
        elif mark in "{[":
            self.depth += 1
            return "open" if mark == "{" and self.depth == self.top + 1 else ""
        elif mark in "}]":
            self.depth -= 1
            closed = mark == "}" and self.depth == self.top
            if self.top == 0:
                self.depth = max(self.depth, 0)
            elif self.depth < self.top:
                self.top = _NOWHERE  # What follows the list is the page's own business, no ticket.
            return "close" if closed else ""
        return ""

    def _record(self, text: str, line: int) -> Record | BadRow:
        place = Provenance(source=str(self.path), line=line)
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            problem = getattr(error, "msg", None) or str(error) or "it is nested too deeply"
            return BadRow(provenance=place, reason=f"this is not JSON: {problem}", remedy="export it again")
        return Record(value, place)

    def _broken(self, what: str, line: int) -> DataError:
        return DataError(what, where=f"{self.path}:{line}", remedy="give a JSON file of tickets, whole")


def _piece(file: io.TextIOWrapper) -> str:
    """The next piece, with the character that its last backslash escapes."""
    piece = file.read(_PIECE)
    while (len(piece) - len(piece.rstrip("\\"))) % 2 and (more := file.read(1)):
        piece += more
    return piece


def _no_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")
