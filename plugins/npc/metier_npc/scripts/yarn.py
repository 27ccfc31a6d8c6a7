"""Yarn Spinner scripts (1 to 3): nodes, speakers, options, line groups, commands and hashtags, by its documentation.

It follows options and <<if>> blocks for context; it does not run commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from metier_npc.scripts.item import Item, cut, split_end, unparsable

# Yarn Spinner takes what precedes the first colon, with or without a space behind it; a time such as 12:30 is none.
_SPEAKER = re.compile(r"(?![^:]*\d:\d)([^\s:：\\{}<\[#][^:：\\{}<\[#]{0,60}?)\s*[:：]\s*(?=\S)")
_CHARACTER = re.compile(r"\[character\s+name\s*=\s*\"?([^\"\]/]+?)\"?\s*/?\]")
_COMMAND = re.compile(r"<<\s*(\w+)\b\s*(.*?)\s*>>\s*$")
_OPTION = re.compile(r"\s*(?:->|=>)\s*")
_LINK = re.compile(
    r"(\s*\[\[)(?:([^\[\]|]+)\|)?([^\[\]|]+)(\]\]\s*(?:<<\s*if\s.*?>>\s*)?(?:#[^\s#]+\s*)*)$"
)  # an option of Yarn 1, or a jump
_TITLE = re.compile(r"\s*title\s*:\s*(.*)")
_CONDITION = re.compile(r"<<\s*(?:if\s+(.*?)|once(?:\s+if\s+(.*?))?)\s*>>")
_TAG = re.compile(r"(?<!\\)#([^\s#]+)")
_TAGS_ALONE = re.compile(r"(?:\s*(?:#[^\s#<>]+|<<.*?>>))*\s*$")


def read(lines: Iterable[tuple[int, str]]) -> Iterator[Item]:
    """Items of a Yarn script, one a physical line, in order."""
    in_body, node = False, ""
    blocks: list[str] = []
    options: list[int] = []  # indentation of each open option
    for number, raw in lines:
        if bad := unparsable(raw, number):
            yield bad
            continue
        body, end = split_end(raw)
        bare = body.strip()
        if not in_body:
            if title := _TITLE.match(body):
                node = title[1].strip()
            in_body = bare == "---"
            yield Item("node" if title else "other", number, text=raw, node=node)
            continue
        if bare == "===":
            in_body, blocks, options = False, [], []
            yield Item("other", number, text=raw, node=node)
            continue
        code = _before_comment(body)
        if not code.strip():
            yield Item("other", number, text=raw, node=node)
            continue
        if command := _COMMAND.match(code.strip()):
            _follow(command[1], command[2], blocks)
            yield Item(
                "other", number, text=raw, node=node, target=command[2] if command[1] in {"jump", "detour"} else None
            )
            continue
        if link := _LINK.match(code):
            text = link[2] or ""
            yield Item(
                kind="choice" if text else "other", line=number, lead=link[1], text=text,
                tail=body[link.end(1) + len(text) :] + end, display_text=display_text(text), target=link[3].strip(),
                conditions=_conditions(link[4]), tags=tuple(_TAG.findall(link[4])), within=tuple(blocks),
                depth=len(options), node=node,
            )  # fmt: skip
            continue
        indent = len(code.expandtabs(4)) - len(code.expandtabs(4).lstrip())
        while options and options[-1] >= indent:
            options.pop()
        mark = _OPTION.match(code)
        choice = mark is not None and mark[0].lstrip().startswith("->")
        at = mark.end() if mark else len(code) - len(code.lstrip())
        condition = _CONDITION.search(code, at)
        own = _conditions(code[at:])
        stop = min([len(code), *(m.start() for m in (condition, _TAG.search(code, at)) if m)])
        if not _TAGS_ALONE.match(code[stop:]):
            problem = f"behind the hashtag {code[stop:].split()[0]} come words; Yarn refuses such a line"
            yield Item("bad", number, text=raw, node=node, problem=problem)
            continue
        speaker = _SPEAKER.match(code[at:stop])
        named = _CHARACTER.search(code[at:stop]) if speaker is None else None
        if speaker:
            at += speaker.end()
        lead, text, _ = cut(code, at, stop)
        yield Item(
            kind="choice" if choice else "line" if text else "other",
            line=number, lead=lead, text=text, tail=body[len(lead) + len(text) :] + end,
            display_text=display_text(text),
            speaker=speaker[1].strip() if speaker else named[1].strip() if named else None,
            conditions=own, within=tuple(blocks),
            alternative=number if mark and not choice else 0, tags=tuple(_TAG.findall(code[stop:])),
            depth=len(options), node=node,
        )  # fmt: skip
        if choice:
            options.append(indent)


def display_text(text: str) -> str:
    """The words without markup, escapes undone; `{$name}` stays, as a place for the game's own word."""
    text = re.sub(r"(?<!\\)\[/?[^\[\]]*(?<!\\)\]", "", text)
    return " ".join(re.sub(r"\\(.)", r"\1", text).split())


def _conditions(text: str) -> tuple[str, ...]:
    """What `<<if …>>` or `<<once if …>>` on an item asks for."""
    condition = _CONDITION.search(text)
    return tuple(c.strip() for c in condition.groups() if c) if condition else ()


def _before_comment(body: str) -> str:
    found = re.search(r"(?<!\\)//", body)
    return body[: found.start()] if found else body


def _follow(command: str, rest: str, blocks: list[str]) -> None:
    if command in {"if", "once"}:
        blocks.append(rest.removeprefix("if ").strip())
    elif command in {"elseif", "else"} and blocks:
        blocks[-1] = rest.strip() or f"not ({blocks[-1]})"
    elif command in {"endif", "endonce"} and blocks:
        blocks.pop()
