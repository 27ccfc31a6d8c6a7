"""Reads Fountain into elements as a stream: no more is held than one paragraph, title page, note or boneyard."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from metier_screenplay.script import marks
from metier_screenplay.script.element import Element, hidden, shown

Line = tuple[int, str]
LONGEST = 200_000
"""Characters of one boneyard, note or paragraph, beyond which it is taken apart: memory stays bounded."""


def numbered(text: str) -> Iterator[Line]:
    """Lines of a text with their numbers."""
    yield from enumerate(re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")), 1)


def parse(text: str) -> list[Element]:
    """All elements of a Fountain text."""
    return list(read(numbered(text)))


def read(lines: Iterable[Line]) -> Iterator[Element]:
    """Elements of numbered lines (line ends left off or not), paragraphs whole, in order."""
    held: Element | None = None
    for element in _elements(_Lines(lines)):
        if held and _joins(held, element):
            held = replace(held, text=f"{held.text}\n{element.text}")
            continue
        if held:
            yield held
        held = element
    if held:
        yield held


def _joins(held: Element, element: Element) -> bool:
    return (
        element.kind == held.kind
        and element.before == 0
        and element.kind in {"action", "dialogue", "lyrics", "centered"}
        and len(held.text) < LONGEST
    )


class _Lines:
    """Lines to be taken one by one, where a boneyard or note that spans several makes them one."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._source = iter(lines)
        self._back: deque[Line] = deque()
        self._open = True
        self._no_note_before = 0

    def take(self) -> Line | None:
        """The next line, or None at the end; with it those after, to the end of each boneyard or note that it opens."""
        first = self._raw()
        if first is None:
            return None
        number, rest = first
        parts, size, dead = [rest], len(rest), ""
        while mark := _opened(rest, dead):
            found = self._to_end(mark, number, LONGEST - size) if size < LONGEST else None
            if found is None:
                dead += mark  # It is no mark, then, but what the line says.
                continue
            parts += [text for _, text in found]
            size += sum(len(text) for _, text in found)
            number = found[-1][0]
            rest = found[-1][1].partition(_ENDS[mark])[2]
        return first[0], "\n".join(parts)

    def peek(self) -> str | None:
        """The text of the next line, left where it is."""
        line = self.take()
        if line is None:
            return None
        self._back.appendleft(line)
        return line[1]

    def put(self, lines: list[Line]) -> None:
        self._back.extendleft(reversed(lines))

    def _raw(self) -> Line | None:
        if self._back:
            return self._back.popleft()
        found = next(self._source, None)
        if found is None:
            return None
        return found[0], found[1].rstrip("\r\n").replace("\t", "    ")

    def _to_end(self, mark: str, number: int, room: int) -> list[Line] | None:
        """Lines up to the one that ends what was opened on line `number`; None, and none taken, where nothing does."""
        if not (self._open if mark == "/*" else number >= self._no_note_before):
            return None
        taken: list[Line] = []
        while room > 0 and (more := self._raw()) is not None:
            taken.append(more)
            if mark == "[[" and not more[1]:
                break  # A note may hold no blank line, unless it holds two spaces.
            room -= len(more[1]) + 1
            if _ENDS[mark] in more[1]:
                return taken
        # Looking again for an end that is not there, line after line, would take for ever.
        if mark == "/*":
            self._open = False
        elif taken:
            self._no_note_before = taken[-1][0]
        self.put(taken)
        return None


_ENDS = {"/*": "*/", "[[": "]]"}


def _opened(text: str, dead: str) -> str | None:
    """The mark that the text opens and does not close, those in `dead` being no marks."""
    at = 0
    marks_left = [mark for mark in _ENDS if mark not in dead]
    while starts := [(start, mark) for mark in marks_left if (start := text.find(mark, at)) >= 0]:
        start, mark = min(starts)
        stop = text.find(_ENDS[mark], start + 2)
        if stop < 0:
            return mark
        at = stop + 2
    return None


def _elements(lines: _Lines) -> Iterator[Element]:
    yield from _title_page(lines)
    before, gap, talking = 0, True, False
    while (line := lines.take()) is not None:
        number, raw = line
        visible = shown(raw).strip()
        if not raw.strip():
            if talking and len(raw) >= 2 and not before and _goes_on(lines):
                yield Element("dialogue", "  ", number)
                continue
            before, gap, talking = before + 1, True, False
            continue
        if not visible:
            boneyard = "/*" in raw
            yield Element("boneyard" if boneyard else "note", raw.strip(), number, before)
            if boneyard:  # Taken out, it leaves a blank line.
                gap, talking = True, False
        elif talking:
            yield _talk(raw, visible, number)
        else:
            element = _element(raw, visible, number, gap, lines)
            yield replace(element, before=before)
            talking = element.kind == "character"
            gap = element.kind in {"section", "synopsis", "page_break", "heading"}
        before = 0


def _goes_on(lines: _Lines) -> bool:
    after = lines.peek()
    return bool(after and shown(after).strip())


def _talk(raw: str, visible: str, number: int) -> Element:
    text = raw.strip()
    if visible.startswith("~") and text.startswith("~"):
        return Element("lyrics", text[1:].strip(), number)
    return Element("parenthetical" if marks.PARENTHETICAL.match(visible) else "dialogue", text, number)


def _element(raw: str, visible: str, number: int, gap: bool, lines: _Lines) -> Element:
    text = raw.strip()
    # A mark behind an inline note or boneyard is no mark: what is written must be read the same.
    first = text[0]
    if first == "!":
        return Element("action", (raw[: len(raw) - len(raw.lstrip())] + text[1:]).rstrip(), number)
    if marks.PAGE_BREAK.match(text):
        return Element("page_break", "", number)
    if first == "=":
        return Element("synopsis", text[1:].strip(), number)
    if section := marks.SECTION.match(text):
        return Element("section", section[2], number, depth=len(section[1]))
    if first == "~":
        return Element("lyrics", text[1:].strip(), number)
    if first == ">":
        if text.endswith("<") and len(text) > 1:
            return Element("centered", text[1:-1].strip(), number)
        return Element("transition", text[1:].strip(), number)
    if gap:
        if forced := marks.FORCED_HEADING.match(text):
            return _heading(text[forced.end() :], number)
        if marks.HEADING.match(text):
            return _heading(text, number)
        after = lines.peek()
        followed = bool(after and (after.strip() if "/*" not in after else shown(after).strip()))
        if first == "@" and len(text) > 1 and followed:
            return _cue(text[1:], number)
        if followed and marks.is_cue(visible):
            return _cue(text, number)
        if not followed and marks.is_transition(visible):
            return Element("transition", text, number)
    return Element("action", raw.rstrip(), number)


def _heading(text: str, number: int) -> Element:
    bare, notes = _without_end_notes(text)
    found = marks.NUMBER.search(bare)
    if found and found.start():
        return Element("heading", bare[: found.start()].rstrip() + notes, number, number=found[1])
    return Element("heading", text, number)


def _without_end_notes(text: str) -> tuple[str, str]:
    """A heading without the notes and boneyard at its end, and those."""
    bare = text
    for start, stop in reversed(hidden(text)):
        if bare[stop:].strip():
            break
        bare = bare[:start].rstrip()
    return bare, text[len(bare) :] if len(bare) < len(text) else ""


def _cue(text: str, number: int) -> Element:
    dual = text.endswith("^") and bool(text[:-1].strip())
    return Element("character", (text[:-1] if dual else text).strip(), number, dual=dual)


def _title_page(lines: _Lines) -> Iterator[Element]:
    """Entries of the title page, where the file starts with one; else every line is put back."""
    taken: list[Line] = []
    entries: list[Element] = []
    known = False
    size = 0
    while (line := lines._raw()) is not None:
        taken.append(line)
        number, raw = line
        size += len(raw)
        if len(taken) == 1:
            raw = raw.removeprefix("\ufeff")
            taken[0] = (number, raw)
        key = marks.TITLE_KEY.match(raw)
        if not raw.strip():
            break
        if entries and raw[:1].isspace():
            last = entries[-1]
            entries[-1] = replace(last, text=f"{last.text}\n{raw.strip()}" if last.text else raw.strip())
        elif key and not marks.HEADING.match(raw) and size < LONGEST:
            entries.append(Element("title", key[2].strip(), number, key=key[1].strip()))
            known = known or key[1].strip().casefold() in marks.TITLE_KEYS
        else:
            entries = []
            break
    if known and entries:
        yield from entries
        if taken and not taken[-1][1].strip():
            lines.put(taken[-1:])
    else:
        lines.put(taken)
