"""A scene must be one scene in Fountain: a heading, action, dialogue, and nothing the printed page leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from metier.contracts import Check, Finding
from metier_screenplay.checks.examples import BRIEF, TEXT
from metier_screenplay.script import parse
from metier_screenplay.script.element import SPOKEN, UNSEEN
from metier_screenplay.tasks import SCENE

RULE = "Fountain syntax, fountain.io/syntax"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for elements that are missing, in excess, or read as something else than they look like."""
    elements = parse(str(output.get("text", "")))
    kinds = [e.kind for e in elements]
    found = []
    if not kinds or kinds[0] != "heading":
        found.append(_finding("it does not begin with a scene heading", elements[0].text if elements else ""))
    elif len(elements) > 1 and not elements[1].before:
        found.append(_finding("no blank line follows the scene heading", elements[0].text))
    if kinds.count("heading") > 1:
        found.append(_finding(f"it holds {kinds.count('heading')} scenes", elements[kinds.index("heading", 1)].text))
    if not {"action", "centered"} & set(kinds):
        found.append(_finding("nothing is seen: there is no action", ""))
    if len(input.get("characters") or ()) > 1 and "dialogue" not in kinds and "lyrics" not in kinds:
        found.append(_finding("nobody speaks", ""))
    for at, element in enumerate(elements):
        if element.kind in UNSEEN or element.kind in {"title", "page_break"}:
            found.append(_finding(f"a {element.kind} is not printed in a scene", element.text))
        elif element.kind == "character" and not _speaks(kinds, at):
            found.append(_finding("a cue without dialogue", element.text))
        elif element.kind == "action" and (line := _lost_cue(element.text)):
            found.append(_finding("a cue that no blank line sets apart reads as action", line))
    return found


def _speaks(kinds: Sequence[str], at: int) -> bool:
    below = []
    for kind in kinds[at + 1 :]:
        if kind not in SPOKEN:
            break
        below.append(kind)
    return "dialogue" in below or "lyrics" in below


def _lost_cue(text: str) -> str | None:
    """A line of capitals with words below it, within a paragraph of action."""
    lines = text.split("\n")
    for line, after in pairwise(lines[1:]):
        if line.isupper() and len(line) <= 30 and not after.isupper() and line[-1].isalnum():
            return line
    return None


def _finding(message: str, excerpt: str) -> Finding:
    return Finding(message=message, rule=RULE, excerpt=excerpt[:60] or None)


scene_form = Check(
    name="scene_form",
    title="Valid scene format",
    tasks=(SCENE,),
    run=run,
    passing=(BRIEF, TEXT),
    failing=(BRIEF, {"text": "The kitchen is dark.\n\nMARA\nWho's there?"}),
    description="One scene in Fountain: heading first, action, dialogue under cues, nothing unprinted.",
)
