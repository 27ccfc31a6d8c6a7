"""What a character remembers has happened: each note is about something in the scene, and so are its names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import given, spoken_lines
from metier_npc.checks.secrets import content, hidden_texts
from metier_npc.checks.whole import repeated, stray
from metier_npc.tasks import LINE, line

RULE = "house rule: a memory is of the scene"
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-z]{2,}\b")
_SCENE = ("speaker", "persona", "world", "state", "history", "choices", "when", "tags")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each note that shares nothing with the scene, names a stranger, or is not whole."""
    scene = given(input, *_SCENE) + "\n" + "\n".join(hidden_texts(input))
    spoken = "\n".join(spoken_lines(output))
    own, language = content(scene), line.language_of(dict(input))
    everything = f"{scene}\n{spoken}".casefold()
    found = []
    for note in output.get("remember") or ():
        if not isinstance(note, str) or not note.strip():
            continue
        marks = content(note) - content(f"player 玩家 told tells knows 告诉 知道 {input.get('speaker') or ''}")
        stranger = next((m[0] for m in _NAME.finditer(note) if m[0].casefold() not in everything), None)
        for what, words in (
            ("is of nothing in the scene", note if marks and not marks & own else None),
            (f"names {stranger}, who is not in the scene", stranger),
            ("leaves the language of the talk", stray(note, language, everything)),
            ("says the same twice", repeated(note)),
        ):
            if words:
                found.append(Finding(message=f"the note {note!r} {what}", rule=RULE, excerpt=words))
    return found


_SCENE_OF: Value = {"speaker": "Mira", "history": [{"who": "Player", "text": "I found your brother's oar."}]}
_REST: Value = {"line": "Give it here.", "emotion": "sad", "action": "none"}
memory = Check(
    name="memory",
    title="Remembers the scene",
    tasks=(LINE,),
    run=run,
    passing=(dict(_SCENE_OF), {**_REST, "remember": ["player found the oar"]}),
    failing=(dict(_SCENE_OF), {**_REST, "remember": ["Tomas sells bread on Sundays"]}),
    description="Notes are of the scene: shared words, known names, whole.",
)
