"""Ink, inkle's script: knots, choices, gathers, blocks and tags, by *Writing with Ink* (inkle/ink, MIT).

It follows the weave's structure for context; it does not run the story's logic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from metier_npc.scripts.item import Item, cut, speaker_in, split_end, unparsable

_KNOT = re.compile(r"={2,}\s*(?:function\s+)?(\w+)")
_STITCH = re.compile(r"=\s*(\w+)")
_CODE = re.compile(r"~|(?:VAR|CONST|LIST|EXTERNAL|INCLUDE)\s|TODO\s*:")
_CHOICE = re.compile(r"\s*((?:[*+]\s*)+)(?:\(\s*\w+\s*\)\s*)?((?:\{(?:[^{}|:]|\|\|)*\}\s*)*)")
_GATHER = re.compile(r"\s*((?:-(?!>)\s*)+)(?:\(\s*\w+\s*\)\s*)?")
_BRANCH = re.compile(r"\s*-(?!>)\s*(?:([^:{}\"]*):)?\s*")
_OPEN_END = re.compile(r"\{[^{}|]*:?\s*$")
_OPEN = re.compile(r"\{\s*(?:([^:{}|]*):)?")
_SEQUENCE = re.compile(r"(?:stopping|cycle|once|shuffle)(?:\s+(?:once|stopping))?$")
_INNER = re.compile(r"\{([^{}]*)\}")
_CLOSED = re.compile(r"\s*((?:\}\s*)+)")
_DIVERT = re.compile(r"->|<-")
_ALTERNATIVES = re.compile(r"\{(?:[&!~$]|((?:[^{}|:\"#]|\|\|)+):)?")
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
    in_comment, glue, depth, knot, node = False, "", 0, "", ""
    blocks: list[_Block] = []
    above: tuple[str, ...] = ()
    for number, raw in lines:
        if bad := unparsable(raw, number):
            yield bad
            continue
        body, end = split_end(raw)
        code, in_comment = _blanked(body, in_comment)
        if blocks and (closed := _CLOSED.match(code)) and _closes(code, closed[1].count("}")):
            blocks = blocks[: -closed[1].count("}")]  # words may follow a block's end in its line
            code = " " * closed.end() + code[closed.end() :]
        bare = code.strip()
        other = Item("other", number, text=raw, node=node)
        if not bare or _CODE.match(bare):
            yield other
            continue
        if header := _KNOT.match(bare) or (_STITCH.match(bare) if not blocks else None):
            knot = header[1] if bare.startswith("==") else knot
            node = header[1] if bare.startswith("==") or not knot else f"{knot}.{header[1]}"
            depth, blocks, above = 0, [], ()
            yield Item("node", number, text=raw, node=node)
            continue
        plain = _ESCAPED.sub("__", code)  # escaped characters mean nothing
        balance = plain.count("{") - plain.count("}")
        gather = None if blocks else _GATHER.match(code)
        if gather:  # what a gather's line begins with may be a block, or code
            depth = gather[1].count("-") - 1
        begun = code[gather.end() :].strip() if gather else bare
        if begun.startswith("{") and balance > 0:
            blocks += _opened(begun) * balance
            yield other
            continue
        if gather and (not begun or _CODE.match(begun)):
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
            rest = code[at:].strip()
            if rest.startswith("{") and balance > 0:  # a block as the branch's first content
                blocks += _opened(rest) * balance
                yield other
                continue
            if not rest or _CODE.match(rest):
                yield other
                continue
        elif gather:
            at = gather.end()
        if choice := _CHOICE.match(code, at):
            kind, at, own = "choice", choice.end(), choice[2]
            depth = choice[1].count("*") + choice[1].count("+") - 1
        stop, tags, target = _ending(code, at, kind == "choice")
        within = tuple(block.condition for block in blocks)
        alternative = next((b.branch for b in reversed(blocks) if b.branch), 0)
        opens = ""
        if balance > 0 and kind == "line":  # words, then a block that goes on in the next lines
            opens = _open_block(plain, at, balance)
            stop = min(stop, len(plain) - len(opens)) if opens else stop
        if balance < 0:
            blocks = blocks[: max(0, len(blocks) + balance)]
            stop = min(stop, plain.rfind("}", at) if "}" in plain[at:] else stop)
        own, at, stop = _whole(code, at, stop) if kind == "line" else (own, at, stop)
        speaker, named = speaker_in(code[at:stop].lstrip()) if kind == "line" else (None, 0)
        if named:
            at += len(code[at:stop]) - len(code[at:stop].lstrip()) + named
        lead, _, tail = cut(code, at, stop)
        words = code[len(lead) : len(code) - len(tail)] if tail else code[len(lead) :]
        speaker = speaker or next((t.partition(":")[2].strip() for t in tags if t.startswith("speaker:")), None)
        conditions = tuple(c.strip() for c in _INNER.findall(own))
        start, finish = len(lead), len(lead) + len(words)
        shared: dict[str, Any] = {"line": number, "within": within, "alternative": alternative, "node": node}
        if kind == "choice":
            parts = _choice_parts(words)
            above = ()
            behind = finish - len(parts.after) if parts.printed else finish
            yield Item(
                kind="choice", lead=body[:start], text=body[start:behind],
                tail="" if parts.printed else body[finish:] + end, display_text=_display_text(parts.shown),
                conditions=conditions, tags=parts.tags if parts.printed else (*parts.tags, *tags), target=target,
                depth=depth, **shared,
            )  # fmt: skip
            depth += 1
            if parts.printed:  # words behind `]` are a line that is printed once the choice is taken
                who, named = speaker_in(parts.printed.lstrip())
                shown, _, glue = _glue(parts.printed.lstrip()[named:], "")
                yield Item(
                    kind="line", text=body[behind:finish], tail=body[finish:] + end, speaker=who,
                    display_text=shown, tags=(*parts.printed_tags, *tags), depth=depth, **shared,
                )  # fmt: skip
            else:
                glue = ""
            continue
        shown, glued, glue = _glue(words, glue)
        if tags and not words:  # tags alone in a line belong to the next one
            above += tags
            yield other
            continue
        tags, above = (*above, *tags), ()
        yield Item(
            kind="line" if shown or words == "<>" else "other", lead=body[:start], text=body[start:finish],
            tail=body[finish:] + end, display_text=shown, glued=glued, speaker=speaker, conditions=conditions,
            tags=tags, target=target, depth=depth, **shared,
        )  # fmt: skip
        if opens:
            blocks += _opened(opens) * balance


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


def _closes(code: str, count: int) -> bool:
    """Whether that many braces at its start close blocks, as no brace before them is open."""
    plain = _ESCAPED.sub("__", code)
    return plain.count("}") - plain.count("{") <= count


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
    return stop, tags, target[1] if target else None


def _tags(text: str) -> tuple[str, ...]:
    return tuple(" ".join(_ESCAPED.sub(r"\1", tag).split()) for tag in _TAG.findall(text) if tag.strip())


class _Choice(NamedTuple):
    """The words of a choice, `before[only in the menu]after`, still in Ink."""

    shown: str
    """What the player sees: the words before the brackets and those in them."""
    printed: str
    """What is printed once it is taken: the words before the brackets and those after; empty where that is no more
    than what was shown, or nothing."""
    after: str
    tags: tuple[str, ...]
    """Of the choice: `before #both [in the menu #choice] after #line`."""
    printed_tags: tuple[str, ...]


def _choice_parts(text: str) -> _Choice:
    plain = _ESCAPED.sub("__", text)
    start = plain.find("[")
    stop = plain.find("]", start) if start >= 0 else -1
    if stop < 0:
        return _Choice(_TAG.sub("", text), "", "", _tags(text), ())
    before, inner, after = text[:start], text[start + 1 : stop], text[stop + 1 :]
    printed = _TAG.sub("", before) + _TAG.sub("", after) if _TAG.sub("", after).strip() else ""
    shown = _TAG.sub("", before) + _TAG.sub("", inner)
    return _Choice(shown, printed, after, _tags(before) + _tags(inner), _tags(before) + _tags(after))


def _opened(begun: str) -> list[_Block]:
    """The block that `{ condition:` opens."""
    opened = _OPEN.match(begun)
    head = (opened[1] or "").strip() if opened else ""
    return [_Block("", "", True) if _SEQUENCE.match(head) else _Block(head, head)]


def _open_block(plain: str, at: int, balance: int) -> str:
    """The end of a line from the brace on that stays open; empty where no block begins there."""
    level, place = 0, len(plain)
    for place in range(len(plain) - 1, at - 1, -1):
        level += (plain[place] == "{") - (plain[place] == "}")
        if level == balance:
            break
    return plain[place:] if level == balance and _OPEN_END.match(plain[place:]) else ""


def _whole(code: str, at: int, stop: int) -> tuple[str, int, int]:
    """Where one `{condition: words|others}` or `{words|others}` is all that a line says: its condition in braces, and
    the place of its first words, so that their speaker is found; else nothing, and the places given."""
    plain = _ESCAPED.sub("__", code)
    start = at + len(plain[at:stop]) - len(plain[at:stop].lstrip())
    opened = _ALTERNATIVES.match(plain, start, stop)
    if not opened or _DIVERT.match(plain[opened.end() : stop].lstrip()):
        return "", at, stop
    level, first = 0, 0
    for place in range(start, stop):
        level += (plain[place] == "{") - (plain[place] == "}")
        if level == 1 and plain[place] == "|" and not first and place >= opened.end():
            first = place
        if level == 0:
            last = place
            break
    else:
        return "", at, stop
    if plain[last + 1 : stop].strip() or not (opened[1] or first):
        return "", at, stop
    condition = f"{{{code[start + 1 : opened.end() - 1].strip()}}}" if opened[1] else ""
    divert = _DIVERT.search(plain, opened.end(), first or last)
    return condition, opened.end(), divert.start() if divert else first or last


def _glue(words: str, before: str) -> tuple[str, bool, str]:
    """Words and what `<>` joins them to.

    Args:
        words: still in Ink.
        before: the glue at the end of the line before, with a space where words precede it after one.

    Returns:
        the words as read, with a space ahead where one stands between the joined parts; whether they go on in the line
        before; the glue at their own end.
    """
    bare = words.strip()
    inner = bare.removeprefix("<>").removesuffix("<>") if bare != "<>" else ""
    shown, glued = _display_text(inner), bool(before) or bare.startswith("<>")
    if shown and glued and (inner[:1].isspace() or before.endswith(" ")):
        shown = f" {shown}"
    after = (
        ("<> " if inner[-1:].isspace() or (not inner and before.endswith(" ")) else "<>") if bare.endswith("<>") else ""
    )
    return shown, glued, after


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
        return _DIVERT.split(content.split("|")[0])[0]
    if "|" in inner and "||" not in inner:
        return _DIVERT.split(inner.lstrip("&!~$ ").split("|")[0])[0]
    return f"\x01{inner.strip()}\x02"
