"""Ren'Py scripts: labels, say statements, menus and conditions, by the Ren'Py language reference. Nothing is executed.

Python, screens, styles and translations of strings are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from metier_npc.scripts.item import Item, split_end, unparsable

_STRING = r'(?:_\(\s*)?("""|\'\'\'|```|"|\'|`)'
_WHO = re.compile(r"""([A-Za-z_]\w*)((?:\s+@?\s*-?\w+)*)\s+$|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*$|$""")
_CHARACTER = re.compile(
    r"""(?:define|default)?\s*(?:-?\d+\s+)?(\w+)\s*=\s*(?:Dynamic)?Character\(\s*(?:_\(\s*)?("([^"]*)"|'([^']*)'|None)"""
)
_PASSED = re.compile(
    r"(?:init\s+(?:-?\d+\s+)?)?python\b|screen\b|style\b|transform\b|image\b|layeredimage\b|testcase\b"
    r"|translate\s+\w+\s+(?:strings|python|style)\b"
)
_KEYWORDS = frozenset(
    [
        "add", "at", "call", "camera", "default", "define", "elif", "else", "extend_name", "for", "from", "hide", "if",
        "image", "import", "init", "jump", "key", "label", "menu", "new", "nvl", "old", "on", "pass", "pause", "play",
        "python", "queue", "return", "rpy", "scene", "screen", "show", "stop", "style", "text", "textbutton",
        "transform", "translate", "use", "voice", "while", "window", "with",
    ]
)  # fmt: skip
_TRANSLATE = re.compile(r"translate\s+\w+\s+(\w+?)(?:_[0-9a-f]{8}(?:_\d+)?)?\s*:")
_CHOICE_END = re.compile(r"(?:\((?:[^()]|\([^()]*\))*\)\s*)?(?:if\s+(.*?)\s*)?:\s*(?:#.*)?$")
"""What follows a menu choice's words: arguments, a condition, a colon."""
_EXTEND = "extend"
_NOBODY: Mapping[str, str | None] = {
    "narrator": None,
    "centered": None,
    "vcentered": None,
    "adv": None,
    "name_only": None,
}
"""Characters that Ren'Py defines itself and shows without a name."""
_UNSEEN = re.compile(r"(?<!\{)\{(?:alt|rt)\}[^{}]*\{/(?:alt|rt)\}")
"""What is read out or stands above the words, but is none of them."""
_IF = re.compile(r"(if|elif|else|while)\b\s*(.*?)\s*:\s*(?:#.*)?$")
_MAX_LINES = 40
"""Physical lines of one string; a quotation mark that is never closed must not swallow the file."""


def characters(text: str) -> dict[str, str | None]:
    """Variable → name of every Character that a script defines; None for one without a name."""
    return {found[1]: found[3] or found[4] for found in _CHARACTER.finditer(text)}


def read(lines: Iterable[tuple[int, str]], cast: Mapping[str, str | None] | None = None) -> Iterator[Item]:
    """Items of a Ren'Py script; a string over several lines is one item, at its first line, and each paragraph of a
    string in three quotation marks is one.

    Args:
        lines: with their numbers.
        cast: variable → name, of characters that other files of the game define.
    """
    names: dict[str, str | None] = dict(_NOBODY) | dict(cast or {})
    last: str | None = None
    faces: dict[str, tuple[str, ...]] = {}
    node, passed = "", -1
    blocks: list[tuple[int, str]] = []
    choices: list[int] = []
    source = iter(lines)
    for number, raw in source:
        if bad := unparsable(raw, number):
            yield bad
            continue
        body, _ = split_end(raw)
        bare = body.strip().removeprefix("\ufeff")
        wide = body.expandtabs(4)
        indent = len(wide) - len(wide.lstrip())
        other = Item("other", number, text=raw, node=node)
        if not bare or bare.startswith("#"):
            yield other
            continue
        if 0 <= passed < indent:
            yield other
            continue
        passed = indent if _PASSED.match(bare) and bare.rstrip().endswith(":") else -1
        if passed >= 0:
            yield other
            continue
        if label := re.match(r"label\s+([\w.]+)", bare):
            node, blocks, choices, last = label[1], [], [], None
            yield Item("node", number, text=raw, node=node)
            continue
        if translated := _TRANSLATE.match(bare):  # a block's id is its label, and a hash of what it translates
            same, node = translated[1] == node, translated[1]
            blocks, choices = [], []
            yield Item("other" if same else "node", number, text=raw, node=node)
            continue
        while choices and choices[-1] >= indent:
            choices.pop()
        branch = _IF.match(bare)
        while blocks and (blocks[-1][0] > indent or (blocks[-1][0] == indent and not (branch and branch[1] != "if"))):
            blocks.pop()
        if branch:
            before = blocks.pop()[1] if blocks and blocks[-1][0] == indent else ""
            blocks.append((indent, branch[2] or f"not ({before})"))
            yield other
            continue
        if who := _CHARACTER.match(bare):
            names[who[1]] = who[3] or who[4]
            yield other
            continue
        if shown := re.match(r"show\s+(\w+)((?:\s+\w+)*)", bare):
            plain = re.split(r"\s(?:at|with|as|behind|onlayer|zorder)\b", shown[2])[0]
            faces[shown[1].casefold()] = tuple(plain.split())
        item, problem = _say(number, raw, source, names, faces)
        if item is None:
            yield other if not problem else Item("bad", number, text=problem)
            continue
        rest = item.tail.lstrip("\"'`").strip().removeprefix(")").strip()
        menu = _CHOICE_END.match(rest) if not item.speaker else None
        own = (menu[1],) if menu and menu[1] else ()
        speaker = last if item.speaker == _EXTEND else item.speaker
        last = last if menu else speaker
        for part in _paragraphs(item):
            yield Item(
                kind="choice" if menu else "line", line=number, lead=part.lead, text=part.text, tail=part.tail,
                display_text=display_text(part.text), speaker=speaker, tags=item.tags, conditions=own,
                within=tuple(c for _, c in blocks), depth=len(choices), node=node,
            )  # fmt: skip
        if menu:
            choices.append(indent)


def display_text(text: str) -> str:
    """The words without text tags; `[name]` stays, as a place for the game's own word."""
    text = _UNSEEN.sub("", text)
    text = re.sub(r"(?<!\{)\{(?:p|w|space|vspace)(?:=[^{}]*)?\}", " ", text)
    text = re.sub(r"(?<!\{)\{[^{}]*\}", "", text).replace("{{", "{").replace("%%", "%").replace("[[", "[")
    text = re.sub(r"\\n", " ", text)
    return " ".join(re.sub(r"\\(.)", r"\1", text).split())


def _say(
    number: int,
    raw: str,
    source: Iterator[tuple[int, str]],
    names: dict[str, str | None],
    faces: dict[str, tuple[str, ...]],
) -> tuple[Item | None, str]:
    """The say statement or menu choice that starts here, without its place in the script; or why there is none."""
    for opening in re.finditer(_STRING, raw):
        who = _WHO.match(raw[: opening.start()].lstrip(" \t\ufeff"))
        word = who[1] if who else None
        if who is None or word in _KEYWORDS:
            # `"Eileen" "Hello"`: the first string is the name, so that the second is tried.
            if who is None and opening.start() > 0 and raw.lstrip()[:1] in "\"'":
                continue
            return None, ""
        start, quote = opening.end(), opening[1]
        text, stop, count = raw, _closing(raw, start, quote), 1
        while stop < 0:
            following = next(source, None)
            if following is None or count == _MAX_LINES:
                return None, text
            text, count = text + following[1], count + 1
            stop = _closing(text, start, quote)
        after = text[stop + len(quote) :]
        if not word and not who[3] and re.match(r"\s*[\"'`]", after):
            continue  # this was the name
        speaker = names.get(word, word) if word else who[3][1:-1] if who[3] else None
        words = (who[2] or "").replace("@", " ").split()
        attributes = tuple(word for word in words if not word.startswith("-"))
        face = attributes or faces.get((word or "").casefold()) or faces.get((speaker or "").casefold()) or ()
        return Item("line", number, text[:start], text[start:stop], text[stop:], speaker=speaker, tags=face), ""
    return None, ""


def _paragraphs(item: Item) -> list[Item]:
    """The paragraphs of a string in three quotation marks, each shown on its own; the item itself for any other."""
    if not item.lead.endswith(('"""', "'''", "```")):
        return [item]
    pieces = re.split(r"(\n[ \t]*\r?\n\s*)", item.text)
    texts, gaps = pieces[::2], [*pieces[1::2], ""]
    parts = [
        Item("line", 0, "" if n else item.lead, text, gap)
        for n, (text, gap) in enumerate(zip(texts, gaps, strict=True))
    ]
    parts[-1] = replace(parts[-1], tail=item.tail)
    return parts


def _closing(text: str, start: int, quote: str) -> int:
    at = start
    while (at := text.find(quote, at)) >= 0:
        slashes = len(text[start:at]) - len(text[start:at].rstrip("\\"))
        if slashes % 2 == 0:
            return at
        at += 1
    return -1
