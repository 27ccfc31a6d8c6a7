"""Plain-text screenplays, as typed or as copied out of a PDF: layout by indentation, hard line breaks, page furniture.

Each block between blank lines becomes Fountain, and is read as such.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from metier.contracts import BadRow, Sample
from metier_screenplay.reading.files import lines_of, start_of
from metier_screenplay.reading.fountain_file import in_order
from metier_screenplay.reading.samples_from import samples_of
from metier_screenplay.script import Element, marks, read
from metier_screenplay.tasks import SCENE

_FURNITURE = re.compile(
    r"(?:\d{1,4}[A-Z]?\.?|(?:\d{1,4}[A-Z]?\s+)?\(?CONTINUED:?\)?:?(?:\s*\(\d+\))?(?:\s+\d{1,4}[A-Z]?)?\*?"
    r"|\(MORE\)|(?:PAGE|Page) \d+|-\s*\d+\s*-)$"
)
"""What a page carries that no scene says: its number, CONTINUED, (MORE)."""
_NUMBERED = re.compile(
    r"(?P<left>\d{1,4}[A-Z]{0,2})?[.)]?\s*(?P<heading>(?:INT|EXT|EST|I\.?/E)[./ ].*?)"
    r"(?:\s{2,}(?P<right>\d{1,4}[A-Z]{0,2}))?$"
)
_INDENTED = re.compile(r"(?m)^[ \t]*(?:\d{1,4}[A-Z]?[ \t.]+)?(?:INT|EXT|EST|I\.?/E)[./ ]\s*\S")
_GAP = re.compile(r" {9,}")
_OUT = re.compile(r"(?:FADE (?:IN|OUT|TO BLACK)|CUT TO BLACK|THE END)[.:]?$")
_BLOCK = 400
"""Lines of a paragraph, beyond which it is taken apart."""


@dataclass(frozen=True)
class PlainText:
    """One sample a scene of a `.txt` screenplay."""

    name: str = "plain_text"
    task: str = SCENE
    example: Path = Path(__file__).parent.parent / "examples" / "night_bus.txt"

    def accepts(self, path: Path) -> bool:
        """Whether it is a text file with a scene heading near its start. Never raises."""
        return path.suffix.lower() in {".txt", ".text", ".asc"} and bool(_INDENTED.search(start_of(path, 65_536)))

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Scenes in the file's order.

        Raises:
            DataError: the file cannot be read as text.
        """
        bad: deque[BadRow] = deque()
        elements = (_unwrapped(e) for e in read(as_fountain(lines_of(path, bad.append))))
        for row in samples_of(elements, str(path)):
            yield from in_order(bad, row)
        yield from bad


def as_fountain(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines as Fountain: no indentation, no page furniture, marks where capitals alone would mislead."""
    block: list[tuple[int, str]] = []
    for number, raw in lines:
        text = raw.expandtabs(8).rstrip()
        if _FURNITURE.match(text.strip()):
            continue
        if text and len(block) < _BLOCK:
            block.append((number, text))
            continue
        yield from _block(block)
        block = [(number, text)] if text else []
        if not text:
            yield number, ""
    yield from _block(block)


def _block(block: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    if not block:
        return
    number, first = block[0]
    text = _GAP.sub(" " * 8, first.strip())
    if heading := _NUMBERED.match(text):
        scene = heading["left"] or heading["right"]
        yield number, heading["heading"].strip() + (f" #{scene}#" if scene else "")
        if len(block) > 1:
            yield number, ""
            yield from _block(block[1:])
        return
    if len(block) == 1 and (_OUT.match(text) or marks.is_transition(text)):
        yield number, f"> {text}"
        return
    margins = [len(line) - len(line.lstrip()) for _, line in block]
    # A cue is indented further than the dialogue below it; in a file without indentation, both are at 0.
    cue = len(block) > 1 and marks.is_cue(text) and (margins[0] > min(margins[1:]) or not any(margins))
    for at, (line_number, line) in enumerate(block):
        line = line.strip()
        if at == 0 and cue and not marks.HEADING.match(line) and line[0] not in "!=#~>.@":
            yield line_number, line
        else:
            yield line_number, line if cue else f"!{line}"


def _unwrapped(element: Element) -> Element:
    """An element whose lines were broken by a typewriter's margin, on one line."""
    if element.kind not in {"action", "dialogue"}:
        return element
    wide = re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])", "", element.text)
    return replace(element, text=" ".join(wide.split()))
