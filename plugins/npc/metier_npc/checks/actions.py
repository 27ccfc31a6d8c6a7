"""The action must be one that the engine can play now: a model's invention would freeze the character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.tasks import LINE, NONE

RULE = "the scene's list of actions"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding where the action is not in the list."""
    allowed, action = input.get("actions") or [NONE], output.get("action")
    if action in allowed:
        return []
    return [Finding(message=f"the engine cannot play {action!r}, only {', '.join(allowed)}", rule=RULE)]


_SCENE: Value = {"speaker": "Mira", "actions": ["none", "point"]}
_LINE: Value = {"line": "Over there.", "emotion": "neutral", "remember": []}
action_allowed = Check(
    name="action_allowed",
    title="Allowed action",
    tasks=(LINE,),
    run=run,
    passing=(dict(_SCENE), {**_LINE, "action": "point"}),
    failing=(dict(_SCENE), {**_LINE, "action": "fly away"}),
    description="The action is one of those allowed.",
)
