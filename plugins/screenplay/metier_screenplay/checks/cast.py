"""Only members of the cast speak, and each of them is there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_screenplay.checks.examples import BRIEF, TEXT, scene
from metier_screenplay.script import parse
from metier_screenplay.script.element import plain, speaker
from metier_screenplay.tasks import SCENE

RULE = "house rule: a speaking part that is not in the cast list has to be cast and paid"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each stranger who speaks, and for each member of the cast who is neither seen nor heard."""
    names = [str(member.get("name", "")) for member in input.get("characters") or ()]
    elements = parse(str(output.get("text", "")))
    found = []
    for cue in dict.fromkeys(speaker(e.text) for e in elements if e.kind == "character"):
        if not any(same(cue, name) for name in names):
            found.append(Finding(message=f"{cue} speaks, who is not in the cast", rule=RULE, excerpt=cue))
    words = " ".join(plain(e.text) for e in elements if e.kind != "heading")
    for name in names:
        if not _named(name, words):
            found.append(Finding(message=f"{name} is in the cast, but not in the scene", rule=RULE))
    return found


def same(cue: str, name: str) -> bool:
    """Whether a cue calls a member of the cast: by the whole name or by words of it, `STEEL` for Dick Steel."""
    cue_words, known = _words(cue), _words(name)
    return bool(cue_words) and (cue_words == known or set(cue_words) <= set(known))


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold().replace("’", "'"))


def _named(name: str, text: str) -> bool:
    known, lowered = _words(name), text.casefold().replace("’", "'")
    # Chinese has no spaces: a name is looked for anywhere. A word of three letters at least may abbreviate the name.
    if any(ord(c) > 0x2E7F for c in name):
        return name.casefold() in lowered
    tokens = set(_words(text)) | {w.removesuffix("'s") for w in _words(text)}
    return not known or set(known) <= tokens or any(len(w) > 2 and w in tokens for w in known)


cast = Check(
    name="cast",
    title="Correct cast",
    tasks=(SCENE,),
    run=run,
    passing=(BRIEF, TEXT),
    failing=(BRIEF, scene("Mara looks at Tom.\n\nPOLICEMAN\nNobody move.")),
    description="Cues name members of the cast only; every member is seen or heard.",
)
