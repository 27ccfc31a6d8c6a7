"""Writes elements as Fountain, with the mark that forces one wherever its text alone would be read as another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from metier_screenplay.script import marks
from metier_screenplay.script.element import SPOKEN, Element, hidden, shown

_APART = frozenset({"heading", "character"})
"""Elements that need a blank line before them."""


def write(elements: Iterable[Element]) -> str:
    """The Fountain text of the elements, each with the blank lines it requests or needs."""
    out: list[str] = []
    gap, above, titled = True, "", False
    source = iter(elements)
    following = next(source, None)
    while (element := following) is not None:
        following = next(source, None)
        before = element.before
        talk = element.kind in SPOKEN and above == "talk"
        if titled and element.kind != "title":
            before = max(before, 1)
        if not (gap or before) and (
            element.kind in _APART or (above == "talk" and not talk and element.kind not in {"note", "boneyard"})
        ):
            before = 1
        if not out and element.kind != "title":
            before = element.before
        out.extend([""] * before)
        joined = following is not None and not following.before and following.kind != "boneyard"
        out.extend(_lines(element, talk and not before, not out, gap or before > 0, joined))
        titled = element.kind == "title"
        gap = element.kind in {"section", "synopsis", "page_break", "heading", "boneyard"} or (
            element.kind == "note" and (gap or before > 0)
        )
        if (
            element.kind == "character"
            or (talk and not before)
            or (element.kind == "note" and above == "talk" and not before)
        ):
            above = "talk"
        else:
            above = element.kind
    return "\n".join(out) + "\n" if out else ""


def _lines(element: Element, talk: bool, first: bool, gap: bool, joined: bool) -> Iterator[str]:
    text, kind = element.text, element.kind
    if kind == "title":
        values = text.split("\n") if text else []
        if len(values) <= 1:
            yield f"{element.key}: {text}".rstrip()
        else:
            yield f"{element.key}:"
            yield from (f"    {value}" for value in values)
    elif kind == "heading":
        natural = bool(marks.HEADING.match(text))
        yield ("" if natural else ".") + text + (f" #{element.number}#" if element.number else "")
    elif kind == "character":
        natural = marks.is_cue(shown(text).strip()) and text[:1] not in "!=#~>.@" and not marks.HEADING.match(text)
        yield ("" if natural else "@") + text + (" ^" if element.dual else "")
    elif kind == "transition":
        natural = marks.is_transition(shown(text).strip()) and gap and not joined and text[0] not in "!=#~>.@"
        yield text if natural else f"> {text}".rstrip()
    elif kind == "section":
        yield f"{'#' * element.depth} {text}".rstrip()
    elif kind == "synopsis":
        yield f"= {text}".rstrip()
    elif kind == "page_break":
        yield "==="
    elif kind == "centered":
        yield from (line if within else f"> {line} <" for line, within in _each(text))
    elif kind == "lyrics":
        yield from (line if within else f"~{line}" for line, within in _each(text))
    elif kind == "action" or (kind in SPOKEN and not talk):
        yield from _action(text, first, gap, joined)
    else:
        yield text


_MARKED = re.compile(r"\s*(?:[!=#~>@]|\.(?=[^\W_]|[\[(\"'“‘]))")


def _each(text: str) -> Iterator[tuple[str, bool]]:
    """Lines, and whether each begins within a boneyard or note: those are not changed."""
    unseen = hidden(text)
    start = 0
    for line in text.split("\n"):
        yield line, any(a < start < b for a, b in unseen)
        start += len(line) + 1


def _action(text: str, first: bool, gap: bool, joined: bool) -> Iterator[str]:
    """Lines of action, forced where they would be read as something else."""
    lines = list(_each(text))
    for at, (line, within) in enumerate(lines):
        bare = shown(line).strip()
        followed = at + 1 < len(lines) or joined
        ambiguous = not within and (
            not line.strip()
            or _MARKED.match(line)
            or (first and marks.TITLE_KEY.match(line))
            or (gap and marks.HEADING.match(line.lstrip()))
            or (gap and (marks.is_cue(bare) if followed else marks.is_transition(bare)))
        )
        yield f"!{line}" if ambiguous else line
        first = gap = False


def normal(elements: Iterable[Element]) -> list[Element]:
    """Elements without what only lays the file out: source lines and blank lines."""
    return [replace(element, before=0, line=0) for element in elements]
