"""A line is spoken words only: no name before it, no stage directions, no second voice. The rest has its own fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import spoken_lines
from metier_npc.tasks import BARK, LINE, PERSONA

RULE = "house rule: dialogue holds spoken words only"
_DIRECTION = re.compile(r"\*[^*\n]+\*|^\s*[(（\[【][^)）\]】]*[)）\]】]\s*\S|[(（][^)）]*[)）]\s*$")
_FIELDS = re.compile(r"[{\[]\s*\"|\b(?:emotion|action|remember)\s*[:=]")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for names ahead of words, directions, line breaks and left-over fields."""
    names = {str(input.get("speaker", "")), "Player", "NPC", "玩家"}
    names |= {str(turn.get("who", "")) for turn in input.get("history") or () if isinstance(turn, Mapping)}
    voice = re.compile(rf"(?:^|\n|[.!?。！？]\s*)(?:{'|'.join(re.escape(n) for n in names if n)})\s*[:：]")
    found = []
    for text in spoken_lines(output):
        for what, match in (
            ("a name stands ahead of the words", voice.search(text)),
            ("a stage direction stands among the words", _DIRECTION.search(text)),
            ("a field of the answer stands among the words", _FIELDS.search(text)),
            ("a line break stands among the words", re.search(r"[\n\r]", text)),
        ):
            if match:
                found.append(Finding(message=what, rule=RULE, excerpt=match[0][:60].strip() or None))
    return found


def _check(name: str, task: str, input: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]) -> Check:
    input = {"speaker": "Mira", **input}
    text = "Spoken words only: no names, no stage directions."
    return Check(name, (task,), run, (input, good), (input, bad), text, title="Spoken words only")


_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
spoken = _check("spoken", LINE, {}, {"line": "Get in.", **_REST}, {"line": "Mira: Get in.", **_REST})
bark_spoken = _check(
    "bark_spoken", BARK, {"situation": "rain"}, {"variants": ["Rain again."]}, {"variants": ["*sighs* Rain again."]}
)
persona_spoken = _check(
    "persona_spoken",
    PERSONA,
    {"player": "Can I cross?", "history": [{"who": "Player", "text": "Hello."}]},
    {"text": "If you can pay."},
    {"text": "If you can pay.\nPlayer: I can."},
)
