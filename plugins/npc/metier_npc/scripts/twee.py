"""Twee 3 (Twine): passages, links, and the conditions of Harlowe, SugarCube and Chapbook, by the IFTF's Twee 3
specification and the formats' manuals. It does not run macros.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from metier_npc.scripts.item import Item, cut, speaker_in, split_end, unparsable

_HEADER = re.compile(r"::\s*((?:[^\\\[\]{}]|\\.)*?)\s*(?:(?<!\\)\[([^\]]*)\])?\s*(\{.*\})?\s*$")
_LINK = re.compile(r"\[\[((?:[^\[\]]|\](?!\]))*)\](?:\[[^\[\]]*\])?\]")
_QUOTED = r"\"([^\"]*)\"|'([^']*)'"
_LINK_MACRO = re.compile(
    rf"<<\s*(?:link|button|linkreplace|linkappend|linkprepend)\s+(?:{_QUOTED}|\[\[([^\[\]]*)\]\])[^<>]*>>"
    rf"|\(\s*(?:link|link-goto|link-reveal|link-repeat|link-rerun|link-undo|link-replace|link-reveal-goto|click-goto)\s*:"
    rf"\s*(?:{_QUOTED})[^()]*\)",
    re.IGNORECASE,
)
"""Links that macros of SugarCube (`<<link "Ask" "Passage">>`) and Harlowe (`(link-goto: "Ask", "Passage")`) show."""
_LINK_BLOCK = re.compile(r"(<<\s*(link|button)\b[^<>]*>>).*?<<\s*/\s*\2\s*>>", re.IGNORECASE)
"""What stands between `<<link>>` and `<</link>>` is run once the link is clicked."""
_LINK_HOOK = re.compile(r"(\(\s*link(?:-\w+)*\s*:[^()]*\))\[[^\[\]]*\]", re.IGNORECASE)
_IF = re.compile(
    r"<<\s*(if|elseif|else|/if|endif)\b\s*(.*?)\s*>>"
    r"|\((if|else-?if|unless|else):\s*([^()]*(?:\([^()]*\)[^()]*)*)\)\s*\[",
    re.IGNORECASE,
)
_MODIFIER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*$")
"""A line of Chapbook that says when the lines below it are shown."""
_ELSE_HOOK = re.compile(r"\((?:else-?if|else):[^()]*(?:\([^()]*\)[^()]*)*\)\s*\[[^\[\]]*\]", re.IGNORECASE)
_ELSE_INLINE = re.compile(r"(<<\s*if\b[^<>]*>>.*?)<<\s*else(?:if)?\b.*?(?=<<\s*(?:/if|endif)\s*>>)", re.IGNORECASE)
_COMMENTS = (("/*", "*/"), ("<!--", "-->"), ("/%", "%/"))
_SPECIAL = frozenset(
    {"StoryTitle", "StoryData", "StoryInit", "StoryMenu", "StorySubtitle", "StoryAuthor", "StoryCaption"}
)
_NO_PROSE = frozenset({"script", "stylesheet", "annotation", "twine.private"})


def read(lines: Iterable[tuple[int, str]]) -> Iterator[Item]:
    """Items of a Twee file, one a physical line, in order."""
    node, prose, comment = "", False, ""
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
            blocks, comment = [], ""
            yield Item("node", number, text=raw, tags=tags, node=node)
            continue
        code, comment = _blanked(body, comment)
        links = _links(code)
        words = display_text(code)
        before = tuple(blocks)
        _follow(code, blocks)
        if (modifier := _MODIFIER.match(code)) and not links:
            _modify(modifier[1], blocks)
            words = ""
        if not prose or not (words or links):
            yield Item("other", number, text=raw, node=node)
            continue
        speaker, named = speaker_in(words)
        at = code.find(f"{speaker}") if speaker else 0
        at += speaker_in(code[at:])[1] if speaker else 0
        lead, text, _ = cut(code, at, len(code))
        own = tuple(c for c in _conditions(code) if c not in before)
        within = before if len(blocks) < len(before) else tuple(blocks)  # the line may end its own block
        yield Item(
            kind="line" if words else "choice",
            line=number, lead=body[: len(lead)], text=body[len(lead) : len(lead) + len(text)],
            tail=body[len(lead) + len(text) :] + end, display_text=words[named:],
            speaker=speaker, conditions=own, within=within,
            links=links, node=node, target=next((_goal(m[1]) for m in _LINK.finditer(code)), None),
        )  # fmt: skip


def display_text(text: str) -> str:
    """The words of a line without comments: macros, tags and styling away, of alternatives the first; a link within a
    sentence gives its own words, a link alone none."""
    text = _LINK_HOOK.sub(r"\1", _LINK_BLOCK.sub(r"\1", text))
    text = _LINK_MACRO.sub("", text)
    for _ in range(4):  # an else behind an else
        shorter = _ELSE_INLINE.sub(r"\1", text)
        if shorter == text:
            break
        text = shorter
    if _LINK.search(text):
        alone = not _plain(_LINK.sub("", text)).strip(" .|,;—-\t[]")
        text = _LINK.sub("" if alone else lambda m: _shown(m[1]), text)
    return _plain(_ELSE_HOOK.sub("", text))


def _plain(text: str) -> str:
    """Text without macros, tags and styling."""
    text = re.sub(r"<<[^<>]*(?:>(?!>)[^<>]*)*>>|</?[A-Za-z][^<>]*>", "", text)
    text = re.sub(r"\([a-z-]+:[^()]*(?:\([^()]*\)[^()]*)*\)(\s*\[)?", lambda m: "\x01" if m[1] else "", text)
    if "\x01" in text:  # the hooks' own brackets
        text = re.sub(r"\](?=\s*(?:\x01|$|[\]\s.,;!?]))", "", text).replace("\x01", "")
    text = re.sub(r"''|(?<!:)//|(?<!\w)__|__(?!\w)|~~|\*\*", "", text)
    text = re.sub(r"^\s*(?:[*#>]+|!+|-{2,})\s*|^\s*\]+|\]+\s*$", "", text)
    return " ".join(text.split())


def _links(code: str) -> tuple[str, ...]:
    """What the player can click, in order."""
    found = [(m.start(), _shown(m[1])) for m in _LINK.finditer(code)]
    inside = [m.span() for m in _LINK_MACRO.finditer(code)]
    found = [(at, text) for at, text in found if not any(start <= at < stop for start, stop in inside)]
    for m in _LINK_MACRO.finditer(code):
        own = next((group for group in m.groups() if group is not None), "")
        found.append((m.start(), _shown(own)))
    return tuple(text for _, text in sorted(found) if text)


def _blanked(body: str, comment: str) -> tuple[str, str]:
    """The line with comments blanked out, so that places in it stay; and the end of one that goes on below."""
    out, at = [], 0
    while at < len(body):
        if comment:
            stop = body.find(comment, at)
            end = len(body) if stop < 0 else stop + len(comment)
            out.append(" " * (end - at))
            at, comment = end, comment if stop < 0 else ""
            continue
        starts = [(found, begin, close) for begin, close in _COMMENTS if (found := body.find(begin, at)) >= 0]
        if not starts:
            out.append(body[at:])
            break
        found, begin, comment = min(starts)
        out.append(body[at:found] + " " * len(begin))
        at = found + len(begin)
    return "".join(out), comment


def _conditions(code: str) -> list[str]:
    """Conditions that begin on the line."""
    found = []
    for m in _IF.finditer(code):
        word, rest = ((m[1] or m[3]).lower(), m[2] if m[1] else m[4])
        if word in {"if", "unless"} and rest:
            found.append(rest.strip() if word == "if" else f"not ({rest.strip()})")
    return found


def _modify(modifier: str, blocks: list[str]) -> None:
    """Chapbook's `[if x]`, `[else]`, `[unless x]`, `[continue]`; other modifiers change looks only."""
    word, _, rest = modifier.partition(" ")
    word = word.lower()
    if word in {"if", "unless", "ifalways", "ifnever"}:
        blocks[:] = [rest if word == "if" else f"not ({rest})" if word == "unless" else word]
    elif word == "else" and blocks:
        blocks[:] = [f"not ({blocks[-1]})"]
    elif word in {"continue", "continued", "cont", "cont'd"}:
        blocks.clear()


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
        word = word.lower()
        if word in {"/if", "endif"}:
            del blocks[-1:]
        elif found[1] and word in {"elseif", "else"}:
            before = blocks.pop() if blocks else ""
            blocks.append(rest or f"not ({before})")
        elif found[1] or not body[found.end() :].strip():
            negated = not found[1] and word == "unless"
            blocks.append(f"not ({rest.strip()})" if negated else (rest or "else").strip())
    if body.strip() == "]" and blocks:
        blocks.pop()
