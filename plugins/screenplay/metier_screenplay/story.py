"""A whole interactive film: nodes put together, its graph checked, and written as Ink or Twee 3 for a writer's tool."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from metier.contracts import ContractError, Finding
from metier_screenplay.checks.graph import DEAD_END, UNREACHABLE


def problems(nodes: Iterable[Mapping[str, Any]], start: str | None = None) -> list[Finding]:
    """What is wrong with a graph of `screenplay.branch` outputs.

    Args:
        nodes: outputs, the first one being the start unless it is named.
        start: name of the node where the film begins.

    Returns:
        A finding for each node that is repeated, choice that leads nowhere, node that nothing reaches, node that
        cannot be left though it is no ending, and node from which no ending can be reached (a loop without a way out).
    """
    listed = list(nodes)
    names = [str(node["node"]) for node in listed]
    exits = {str(n["node"]): [str(c["to"]) for c in n["choices"]] for n in listed}
    ends = {str(n["node"]) for n in listed if n["ending"]}
    found = [_f(f"{n} is repeated", DEAD_END, n) for n in sorted({n for n in names if names.count(n) > 1})]
    start = start or (names[0] if names else None)
    if start is None or start not in exits:
        return [*found, _f("there is no node to start from", UNREACHABLE, start)]
    for name, to in exits.items():
        found += [
            _f(f"a choice of {name} leads to {t}, which is not written", DEAD_END, t) for t in to if t not in exits
        ]
    reached = _closure([start], exits)
    found += [_f(f"nothing leads to {n}", UNREACHABLE, n) for n in exits if n not in reached]
    back: dict[str, list[str]] = {}
    for name, to in exits.items():
        for target in to:
            back.setdefault(target, []).append(name)
    leaving = _closure(ends, back)
    for name in exits:
        if name not in leaving:
            stuck = "is a dead end" if not exits[name] else "can reach no ending"
            found.append(_f(f"{name} {stuck}", DEAD_END, name))
    return found


def to_ink(nodes: Iterable[Mapping[str, Any]]) -> str:
    """The story in Ink: a knot a node, a choice a choice, `END` where it ends.

    Raises:
        ContractError: the graph has a problem.
    """
    listed = _sound(nodes)
    parts = [f"-> {_knot(listed[0]['node'])}"]
    for node in listed:
        rows = [f"=== {_knot(node['node'])} ===", *(_ink(line) for line in _lines(node["text"]))]
        rows += [f"+ [{_ink(' '.join(_lines(c['text'])))}]\n    -> {_knot(c['to'])}" for c in node["choices"]]
        parts.append("\n".join([*rows, *(["-> END"] if node["ending"] else [])]))
    return "\n\n".join(parts) + "\n"


def to_twee(nodes: Iterable[Mapping[str, Any]], title: str = "Untitled") -> str:
    """The story in Twee 3 (IFTF specification): a passage a node, a link a choice, endings tagged `ending`.

    Raises:
        ContractError: the graph has a problem.
    """
    listed = _sound(nodes)
    identity = json.dumps([title, listed], sort_keys=True)
    about = {"ifid": str(uuid.uuid5(uuid.NAMESPACE_URL, identity)).upper(), "start": listed[0]["node"]}
    parts = [f":: StoryTitle\n{_twee(' '.join(title.split()))}", f":: StoryData\n{json.dumps(about, indent=2)}"]
    for node in listed:
        rows = [f":: {node['node']}" + (" [ending]" if node["ending"] else "")]
        rows += [_twee(line) for line in _lines(node["text"])]
        # A link's words may not hold what parts them from its goal: those are recognised by an arrow, so brackets only.
        rows += [f"[[{_link(' '.join(_lines(c['text'])))}->{c['to']}]]" for c in node["choices"]]
        parts.append("\n".join(rows))
    return "\n\n\n".join(parts) + "\n"


def _sound(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    listed = list(nodes)
    if found := problems(listed):
        raise ContractError(
            "the story cannot be written: " + "; ".join(f.message for f in found[:5]),
            remedy="write the missing nodes, and let every node lead to an ending",
        )
    return listed


def _closure(begin: Iterable[str], exits: Mapping[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    stack = list(begin)
    while stack:
        if (name := stack.pop()) not in seen:
            seen.add(name)
            stack.extend(exits.get(name, ()))
    return seen


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in str(text).splitlines() if line.strip()]


_KEYWORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "mod",
        "has",
        "hasnt",
        "true",
        "false",
        "else",
        "function",
        "return",
        "ref",
        "temp",
        "const",
        "var",
        "list",
        "external",
    ]
)


def _knot(name: str) -> str:
    """A knot's name: a node that is called like a word of Ink's is distinguished by its ending."""
    return f"{name}_node" if name in _KEYWORDS else name


def _ink(line: str) -> str:
    """A line in which no character is Ink's: braces, brackets, pipes, tags, diverts and comments are escaped."""
    line = re.sub(r"([\\{}\[\]|#~])", r"\\\1", line)
    line = (
        line.replace("->", r"-\>")
        .replace("<-", r"<\-")
        .replace("<>", r"<\>")
        .replace("//", r"/\/")
        .replace("/*", r"/\*")
    )
    return re.sub(r"^([*+\-=]|(?:VAR|CONST|LIST|INCLUDE|TODO|EXTERNAL)\b)", r"\\\1", line)


def _twee(line: str) -> str:
    """A line that begins no passage and holds no link."""
    return re.sub(r"([\[\]])(?=\1)", r"\1 ", re.sub(r"^::", r"\\::", line))


def _link(text: str) -> str:
    return re.sub(r"[\[\]]+", "", text).replace("->", "→").replace("<-", "←").replace("|", "/")


def _f(message: str, rule: str, excerpt: str | None) -> Finding:
    return Finding(message=message, rule=rule, excerpt=excerpt)
