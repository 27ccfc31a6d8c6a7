"""The lines of a screenplay file, whatever its encoding, with what is wrong with each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from metier.contracts import BadRow, DataError, Provenance
from metier.readers.encoding import TextLines, line_problem

LONGEST = 20_000
"""Characters of one line that is still parsed: a file without line ends must not take for ever."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\x85\u2028\u2029]")


def lines_of(path: Path, report: Callable[[BadRow], None]) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; a line that cannot be used is reported, and blank.

    Raises:
        DataError: the file cannot be read as text.
    """
    try:
        source = TextLines(path)
        for raw in source:
            problem = line_problem(raw, source.encoding)
            if problem is None and len(raw) > LONGEST:
                problem = f"the line has {len(raw)} characters"
            if problem:
                report(
                    BadRow(
                        provenance=Provenance(source=str(path), line=source.number),
                        reason=problem,
                        remedy="save the screenplay again as UTF-8, a line break after each paragraph",
                    )
                )
                raw = ""
            text = raw.rstrip("\r\n").removeprefix("\ufeff" if source.number == 1 else "\0")
            # A form feed is a page's end in plain text; the other control characters are not text.
            yield source.number, _CONTROL.sub(" ", text.replace("\f", ""))
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}", where=str(path), remedy="check the path"
        ) from error


def start_of(path: Path, size: int = 16_384) -> str:
    """The first characters of a file, roughly; empty where there is none. Never raises."""
    try:
        with path.open("rb") as file:
            # NUL bytes go: UTF-16's halves leave the same letters.
            return file.read(size).replace(b"\0", b"").decode("utf-8", "replace").removeprefix("\ufeff")
    except (OSError, ValueError):
        return ""
