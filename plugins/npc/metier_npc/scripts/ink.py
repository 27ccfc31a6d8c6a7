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
    """Items of an Ink script, one a physical line, in order; `item.write` gives its characters again.

    A choice whose line also holds words that are printed once it is taken gives two items.
    """
    story = _Story()
    for number, raw in lines:
        if bad := unparsable(raw, number):
            yield bad
        else:
            yield from story.items(number, raw)


class _Line(NamedTuple):
    """A physical line: as it stands, and as Ink reads it."""

    number: int
    raw: str
    body: str
    """Without its end."""
    end: str
    code: str
    """The body with comments, and braces that close a block ahead of words, blanked out: places stay the same."""

    @property
    def plain(self) -> str:
        """The code with escaped characters, which mean nothing, replaced."""
        return _ESCAPED.sub("__", self.code)

    @property
    def balance(self) -> int:
        """Braces that it opens, less those that it closes."""
        return self.plain.count("{") - self.plain.count("}")


class _Story:
    """Where in a story a line stands: its knot, the open blocks, the depth of choices, what goes on from above."""

    def __init__(self) -> None:
        self._in_comment = False
        self._knot, self._node = "", ""
        self._depth = 0
        self._blocks: list[_Block] = []
        self._glue = ""
        """The glue at the end of the line before."""
        self._tags: tuple[str, ...] = ()
        """Tags alone in the lines before, which belong to the next one."""

    def items(self, number: int, raw: str) -> Iterator[Item]:
        """The items of the next line."""
        body, end = split_end(raw)
        code, self._in_comment = _blanked(body, self._in_comment)
        line = _Line(number, raw, body, end, self._without_closed_blocks(code))
        bare = line.code.strip()
        if not bare or _CODE.match(bare):
            yield self._other(line)
        elif header := _KNOT.match(bare) or (_STITCH.match(bare) if not self._blocks else None):
            yield self._header(line, bare, header[1])
        elif (at := self._start(line, bare)) is None:
            yield self._other(line)
        elif choice := _CHOICE.match(line.code, at):
            self._depth = choice[1].count("*") + choice[1].count("+") - 1
            yield from self._choice(line, choice.end(), choice[2])
        else:
            yield self._line(line, at)

    def _other(self, line: _Line) -> Item:
        return Item("other", line.number, text=line.raw, node=self._node)

    def _without_closed_blocks(self, code: str) -> str:
        """The line without the braces at its start that close blocks: words may follow them."""
        closed = _CLOSED.match(code) if self._blocks else None
        if not closed or not _closes(code, closed[1].count("}")):
            return code
        self._blocks = self._blocks[: -closed[1].count("}")]
        return " " * closed.end() + code[closed.end() :]

    def _header(self, line: _Line, bare: str, name: str) -> Item:
        """A knot or stitch begins."""
        is_knot = bare.startswith("==")
        self._knot = name if is_knot else self._knot
        self._node = name if is_knot or not self._knot else f"{self._knot}.{name}"
        self._depth, self._blocks, self._tags = 0, [], ()
        return Item("node", line.number, text=line.raw, node=self._node)

    def _start(self, line: _Line, bare: str) -> int | None:
        """Where the content begins, behind a gather or the mark of a branch; None where the line has none."""
        code = line.code
        if self._blocks and (branch := _BRANCH.match(code)) and not bare.startswith("->"):
            if self._opens(bare, line):
                return None
            if self._blocks[-1].sequence:
                self._blocks[-1] = self._blocks[-1]._replace(branch=line.number)
                at = code.index("-") + 1
            else:
                self._blocks[-1] = self._blocks[-1].at(branch[1] or "")
                at = branch.end()
            marked = True
        else:
            gather = None if self._blocks else _GATHER.match(code)
            if gather:
                self._depth = gather[1].count("-") - 1
            at, marked = gather.end() if gather else 0, gather is not None
        rest = code[at:].strip()
        if self._opens(rest, line) or (marked and (not rest or _CODE.match(rest))):
            return None
        return at

    def _opens(self, rest: str, line: _Line) -> bool:
        """Whether a block that goes on in the next lines is all that follows; it is open then."""
        if not rest.startswith("{") or line.balance <= 0:
            return False
        self._blocks += _opened(rest) * line.balance
        return True

    def _place(self, line: _Line) -> dict[str, Any]:
        """What items of a line have in common."""
        return {
            "line": line.number,
            "within": tuple(block.condition for block in self._blocks),
            "alternative": next((block.branch for block in reversed(self._blocks) if block.branch), 0),
            "node": self._node,
        }

    def _closed_at(self, line: _Line, at: int, stop: int) -> int:
        """Where the words end, ahead of the braces by which the line closes blocks; those are closed then."""
        if line.balance >= 0:
            return stop
        self._blocks = self._blocks[: max(0, len(self._blocks) + line.balance)]
        return min(stop, line.plain.rfind("}", at) if "}" in line.plain[at:] else stop)

    def _choice(self, line: _Line, at: int, own: str) -> Iterator[Item]:
        """A choice, and the line that is printed once it is taken, where words stand behind its brackets."""
        place = self._place(line)
        stop, tags, target = _ending(line.code, at, choice=True)
        lead, words, _ = cut(line.code, at, self._closed_at(line, at, stop))
        start, finish = len(lead), len(lead) + len(words)
        parts = _choice_parts(words)
        behind = finish - len(parts.after) if parts.printed else finish
        self._tags, self._glue = (), ""
        yield Item(
            kind="choice", lead=line.body[:start], text=line.body[start:behind],
            tail="" if parts.printed else line.body[finish:] + line.end, display_text=_display_text(parts.shown),
            conditions=_conditions(own), tags=parts.tags if parts.printed else (*parts.tags, *tags), target=target,
            depth=self._depth, **place,
        )  # fmt: skip
        self._depth += 1
        if parts.printed:
            speaker, named = speaker_in(parts.printed.lstrip())
            shown, _, self._glue = _glue(parts.printed.lstrip()[named:], "")
            yield Item(
                kind="line", text=line.body[behind:finish], tail=line.body[finish:] + line.end, speaker=speaker,
                display_text=shown, tags=(*parts.printed_tags, *tags), depth=self._depth, **place,
            )  # fmt: skip

    def _line(self, line: _Line, at: int) -> Item:
        """A line of content; it may open a block behind its words."""
        place, code = self._place(line), line.code
        stop, tags, target = _ending(code, at, choice=False)
        opens = _open_block(line.plain, at, line.balance) if line.balance > 0 else ""
        if opens:
            stop = min(stop, len(line.plain) - len(opens))
        own, at, stop = _whole(code, at, self._closed_at(line, at, stop))
        speaker, named = speaker_in(code[at:stop].lstrip())
        if named:
            at += len(code[at:stop]) - len(code[at:stop].lstrip()) + named
        lead, words, _ = cut(code, at, stop)
        start, finish = len(lead), len(lead) + len(words)
        shown, glued, self._glue = _glue(words, self._glue)
        if tags and not words:
            self._tags += tags
            return self._other(line)
        speaker = speaker or next((t.partition(":")[2].strip() for t in tags if t.startswith("speaker:")), None)
        tags, self._tags = (*self._tags, *tags), ()
        if opens:
            self._blocks += _opened(opens) * line.balance
        return Item(
            kind="line" if shown or words == "<>" else "other", lead=line.body[:start], text=line.body[start:finish],
            tail=line.body[finish:] + line.end, display_text=shown, glued=glued,
            speaker=speaker, conditions=_conditions(own), tags=tags, target=target, depth=self._depth, **place,
        )  # fmt: skip


def _conditions(own: str) -> tuple[str, ...]:
    """Conditions in braces, `{one} {two}`."""
    return tuple(condition.strip() for condition in _INNER.findall(own))


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
