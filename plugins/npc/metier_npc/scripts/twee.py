"""Twee 3 (Twine): passages, links, and the conditions of Harlowe and SugarCube, by the IFTF's Twee 3 specification.

It does not run macros.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from metier_npc.scripts.item import Item, cut, speaker_in, split_end, unparsable

_HEADER = re.compile(r"::\s*((?:[^\\\[\]{}]|\\.)*?)\s*(?:(?<!\\)\[([^\]]*)\])?\s*(\{.*\})?\s*$")
_LINK = re.compile(r"\[\[((?:[^\[\]]|\](?!\]))*)\](?:\[[^\[\]]*\])?\]")
_IF = re.compile(
    r"<<\s*(if|elseif|else|/if)\b\s*(.*?)\s*>>|\((if|else-?if|unless|else):\s*([^()]*(?:\([^()]*\)[^()]*)*)\)\["
)
_SPECIAL = frozenset(
    {"StoryTitle", "StoryData", "StoryInit", "StoryMenu", "StorySubtitle", "StoryAuthor", "StoryCaption"}
)
_NO_PROSE = frozenset({"script", "stylesheet", "annotation", "twine.private"})


def read(lines: Iterable[tuple[int, str]]) -> Iterator[Item]:
    """Items of a Twee file, one a physical line, in order."""
    node, prose = "", False
    blocks: list[str] = []
    for number, raw in lines:
        if bad := unparsable(raw, number):
            yield bad
            continue
        body, end = split_end(raw)
        if body.removeprefix("\ufeff").startswith("::"):
            header = _HEADER.match(body.removeprefix("\ufeff"))
            node = re.sub(r"\\(.)", r"\1", header[1]) if header else body[2:].strip()
            tags = tuple((header[2] or "").split()) if header else ()
            prose = node not in _SPECIAL and not _NO_PROSE & set(tags)
            blocks = []
            yield Item("node", number, text=raw, tags=tags, node=node)
            continue
        links = tuple(_shown(m[1]) for m in _LINK.finditer(body))
        words = display_text(body)
        _follow(body, blocks)
        if not prose or not (words or links):
            yield Item("other", number, text=raw, node=node)
            continue
        speaker, _ = speaker_in(words)
        at = body.find(f"{speaker}") if speaker else 0
        at += speaker_in(body[at:])[1] if speaker else 0
        lead, text, tail = cut(body, at, len(body))
        yield Item(
            kind="line" if words else "choice",
            line=number, lead=lead, text=text, tail=tail + end, display_text=words[speaker_in(words)[1] :],
            speaker=speaker, within=tuple(blocks), links=links, node=node,
            target=next((_goal(m[1]) for m in _LINK.finditer(body)), None),
        )  # fmt: skip


def display_text(text: str) -> str:
    """The words: macros, tags and styling away; a link within a sentence says its own words, a link alone nothing."""
    alone = not _LINK.sub("", re.sub(r"<<[^<>]*>>|^[\s*#>-]+", "", text)).strip(" .|,;—-\t]")
    text = _LINK.sub("" if alone else lambda m: _shown(m[1]), text)
    text = re.sub(r"/\*.*?\*/|/%.*?%/|<!--.*?-->|<<[^<>]*>>|</?[A-Za-z][^<>]*>", "", text)
    text = re.sub(r"\([a-z-]+:[^()]*(?:\([^()]*\)[^()]*)*\)(\[)?", "", text)
    text = re.sub(r"''|//|(?<!\w)__|__(?!\w)|~~|\*\*", "", text)
    text = re.sub(r"^\s*(?:[*#>]+|!+|-{2,})\s*|^\s*\]+|\]+\s*$", "", text)
    return " ".join(text.split())


def _shown(link: str) -> str:
    for arrow, first in (("->", True), ("|", True), ("<-", False)):
        if arrow in link:
            before, _, after = link.rpartition(arrow) if arrow == "->" else link.partition(arrow)
            return (before if first else after).strip()
    return link.strip()


def _goal(link: str) -> str:
    for arrow, first in (("->", False), ("|", False), ("<-", True)):
        if arrow in link:
            before, _, after = link.rpartition(arrow) if arrow == "->" else link.partition(arrow)
            return (before if first else after).strip()
    return link.strip()


def _follow(body: str, blocks: list[str]) -> None:
    """Blocks that are open at the end of the line; a Harlowe hook must open at its end to last."""
    for found in _IF.finditer(body):
        word, rest = (found[1], found[2]) if found[1] else (found[3], found[4])
        if word == "/if":
            del blocks[-1:]
        elif found[1] and word in {"elseif", "else"}:
            before = blocks.pop() if blocks else ""
            blocks.append(rest or f"not ({before})")
        elif found[1] or not body[found.end() :].strip():
            blocks.append((rest or "else").strip())
    if body.strip() == "]" and blocks:
        blocks.pop()
