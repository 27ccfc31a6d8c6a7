"""Ink, inkle's script: knots, choices, gathers, blocks and tags, by *Writing with Ink* (inkle/ink, MIT).

It follows the weave's structure for context; it does not run the story's logic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from metier_npc.scripts.item import Item, cut, speaker_in, split_end, unparsable

_KNOT = re.compile(r"={2,}\s*(?:function\s+)?(\w+)")
_STITCH = re.compile(r"=\s*(\w+)")
_CODE = re.compile(r"~|(?:VAR|CONST|LIST|EXTERNAL|INCLUDE)\s|TODO\s*:")
_CHOICE = re.compile(r"\s*((?:[*+]\s*)+)(?:\(\s*\w+\s*\)\s*)?((?:\{(?:[^{}|:]|\|\|)*\}\s*)*)")
_GATHER = re.compile(r"\s*((?:-(?!>)\s*)+)(?:\(\s*\w+\s*\)\s*)?")
_BRANCH = re.compile(r"\s*-(?!>)\s*(?:([^:{}\"]*):)?\s*")
_OPEN = re.compile(r"\{\s*(?:([^:{}|]*):)?")
_SEQUENCE = re.compile(r"(?:stopping|cycle|once|shuffle)(?:\s+(?:once|stopping))?$")
_INNER = re.compile(r"\{([^{}]*)\}")
_ESCAPED = re.compile(r"\\(.)")
_TAG = re.compile(r"(?<!\\)#((?:\\.|[^#\[\]\\])*)")
_HIDDEN = 0xE000
"""Escaped characters are kept in the private use area while the rest is read."""


class _Block(NamedTuple):
    """An open `{`."""

    head: str
    condition: str
    sequence: bool = False
    branch: int = 0
    """Line of the sequence's branch."""

    def at(self, branch: str) -> _Block:
        """The block at its next `- condition:`."""
        branch = branch.strip()
        if branch == "else" and self.condition:
            return self._replace(condition=f"not ({self.condition})")
        return self._replace(condition=f"{self.head} == {branch}" if self.head and branch != "else" else branch)


def read(lines: Iterable[tuple[int, str]]) -> Iterator[Item]:
    """Items of an Ink script, one a physical line, in order; `item.write` gives its characters again."""
    in_comment, depth, knot, node = False, 0, "", ""
    blocks: list[_Block] = []
    for number, raw in lines:
        if bad := unparsable(raw, number):
            yield bad
            continue
        body, end = split_end(raw)
        code, in_comment = _blanked(body, in_comment)
        bare = code.strip()
        other = Item("other", number, text=raw, node=node)
        if not bare or _CODE.match(bare):
            yield other
            continue
        if header := _KNOT.match(bare) or (_STITCH.match(bare) if not blocks else None):
            knot = header[1] if bare.startswith("==") else knot
            node = header[1] if bare.startswith("==") or not knot else f"{knot}.{header[1]}"
            depth, blocks = 0, []
            yield Item("node", number, text=raw, node=node)
            continue
        plain = _ESCAPED.sub("__", code)  # escaped characters mean nothing
        balance = plain.count("{") - plain.count("}")
        if bare.startswith("{") and balance > 0:
            opened = _OPEN.match(bare)
            head = (opened[1] or "").strip() if opened else ""
            blocks += [_Block("", "", True) if _SEQUENCE.match(head) else _Block(head, head)] * balance
            yield other
            continue
        kind, at, own = "line", 0, ""
        if blocks and (branch := _BRANCH.match(code)) and not bare.startswith("->"):
            if blocks[-1].sequence:
                blocks[-1] = blocks[-1]._replace(branch=number)
                at = code.index("-") + 1
            else:
                blocks[-1] = blocks[-1].at(branch[1] or "")
                at = branch.end()
        elif gather := _GATHER.match(code):
            depth, at = gather[1].count("-") - 1, gather.end()
        if choice := _CHOICE.match(code, at):
            kind, at, own = "choice", choice.end(), choice[2]
            depth = choice[1].count("*") + choice[1].count("+") - 1
        stop, tags, target = _ending(code, at, kind == "choice")
        within = tuple(block.condition for block in blocks)
        alternative = next((b.branch for b in reversed(blocks) if b.branch), 0)
        if balance < 0:
            blocks = blocks[: max(0, len(blocks) + balance)]
            stop = min(stop, plain.rfind("}", at) if "}" in plain[at:] else stop)
        speaker, named = speaker_in(code[at:stop].lstrip()) if kind == "line" else (None, 0)
        if named:
            at += len(code[at:stop]) - len(code[at:stop].lstrip()) + named
        lead, _, tail = cut(code, at, stop)
        words = code[len(lead) : len(code) - len(tail)] if tail else code[len(lead) :]
        speaker = speaker or next((t.partition(":")[2].strip() for t in tags if t.startswith("speaker:")), None)
        conditions = tuple(c.strip() for c in _INNER.findall(own))
        start, finish = len(lead), len(lead) + len(words)
        yield Item(
            kind="choice" if kind == "choice" else "line" if words or tags else "other",
            line=number, lead=body[:start], text=body[start:finish], tail=body[finish:] + end,
            display_text=_choice_text(words) if kind == "choice" else _display_text(words),
            alternative=alternative, speaker=speaker, conditions=conditions, within=within,
            tags=tags, target=target, depth=depth, node=node,
        )  # fmt: skip
        if kind == "choice":
            depth += 1


def _blanked(body: str, in_comment: bool) -> tuple[str, bool]:
    """The line with its comments blanked out, so that places in it stay; and whether a comment continues."""
    out, at = [], 0
    while at < len(body):
        if in_comment:
            stop = body.find("*/", at)
            end = len(body) if stop < 0 else stop + 2
            out.append(" " * (end - at))
            in_comment, at = stop < 0, end
        elif body.startswith("//", at):
            out.append(" " * (len(body) - at))
            break
        elif body.startswith("/*", at):
            out.append("  ")
            in_comment, at = True, at + 2
        elif body[at] == "\\" and at + 1 < len(body):
            out.append(body[at : at + 2])
            at += 2
        else:
            out.append(body[at])
            at += 1
    return "".join(out), in_comment


def _ending(code: str, at: int, choice: bool) -> tuple[int, tuple[str, ...], str | None]:
    """Where the words end, the tags behind them, and where the line diverts to."""
    level, start = 0, at
    if choice and (bracket := code.rfind("]", at)) >= 0:
        start = bracket
    stop = len(code)
    i = start
    while i < len(code):
        char = code[i]
        level += (char == "{") - (char == "}")
        if char == "\\":
            i += 1
        elif level <= 0 and (char == "#" or code.startswith(("->", "<-"), i)):
            stop = i
            break
        i += 1
    rest = code[stop:]
    target = re.search(r"->\s*([\w.]+)", rest)
    tags = _tags(re.sub(r"->\s*[\w.]*", " ", rest))
    return stop, (*_tags(code[at:stop]), *tags) if choice else tags, target[1] if target else None


def _tags(text: str) -> tuple[str, ...]:
    return tuple(" ".join(_ESCAPED.sub(r"\1", tag).split()) for tag in _TAG.findall(text) if tag.strip())


def _choice_text(text: str) -> str:
    """What the player sees: the words before the brackets and those in them."""
    text = _TAG.sub("", text)
    before, bracket, rest = text.partition("[")
    return _display_text(before + rest.partition("]")[0] if bracket else before)


def _display_text(text: str) -> str:
    text = _ESCAPED.sub(lambda m: chr(_HIDDEN + ord(m[1])) if m[1].isascii() else m[1], text)
    for _ in range(20):  # deeper nesting is left unchanged
        text, changed = _INNER.subn(_first, text)
        if not changed:
            break
    text = text.replace("\x01", "{").replace("\x02", "}").replace("<>", "")
    text = re.sub("[\ue000-\ue07f]", lambda m: chr(ord(m[0]) - _HIDDEN), text)
    return " ".join(text.split())


def _first(match: re.Match[str]) -> str:
    """`{a|b}` and `{x: a|b}` are a; `{name}` stays, as a place for the game's own word."""
    inner = match[1]
    head, colon, content = inner.partition(":")
    if colon and '"' not in head:
        return content.split("|")[0]
    if "|" in inner and "||" not in inner:
        return inner.lstrip("&!~$ ").split("|")[0]
    return f"\x01{inner.strip()}\x02"
