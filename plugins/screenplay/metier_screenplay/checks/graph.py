"""A node must be the one that the choice leads to, and no dead end: the story continues from it, or ends in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_screenplay.tasks import BRANCH

DEAD_END = "house rule: every node goes on to another, or is an ending"
UNREACHABLE = "house rule: every node is reached by a choice"
_GIVEN: Value = {
    "scene": "Mara holds the lamp. The sack sneezes.",
    "choices": [{"text": "Open the sack", "to": "open_sack"}, {"text": "Call out", "to": "call_out"}],
    "chosen": "Open the sack",
    "nodes": ["start", "call_out"],
}
_GOOD: Value = {
    "node": "open_sack",
    "text": "Tom blinks up at her, white with flour.",
    "choices": [{"text": "Feed him", "to": "feed_tom"}, {"text": "Shout for help", "to": "call_out"}],
    "ending": False,
}


def no_dead_end(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for a node that cannot be left though it is no ending, and for choices that are no choice."""
    choices = list(output.get("choices") or ())
    node, ending = output.get("node"), bool(output.get("ending"))
    found = []
    if ending and choices:
        found.append(Finding(message="an ending offers choices", rule=DEAD_END, excerpt=str(choices[0].get("text"))))
    if not ending and all(choice.get("to") == node for choice in choices):
        found.append(Finding(message="it is a dead end: no choice leads on", rule=DEAD_END, excerpt=str(node)))
    if input.get("end") and not ending:
        found.append(Finding(message="the story shall end here, and does not", rule="the brief's `end`"))
    for field in ("text", "to"):
        values = [str(choice.get(field)).strip().casefold() for choice in choices]
        if len(set(values)) < len(values):
            found.append(Finding(message=f"two choices have the same {field}", rule=DEAD_END, excerpt=values[0]))
    return found


def reachable(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding where the node is not the one that the choice taken leads to, so that nothing reaches it."""
    taken = [c for c in input.get("choices") or () if c.get("text") == input.get("chosen")]
    node = output.get("node")
    if not taken:
        return [Finding(message="the choice taken is not one of the choices", rule=UNREACHABLE)]
    if node in {c.get("to") for c in taken}:
        return []
    return [Finding(message=f"the choice leads to {taken[0].get('to')}, not here", rule=UNREACHABLE, excerpt=str(node))]


GRAPH_CHECKS = (
    Check(
        name="no_dead_end",
        title="No dead end",
        tasks=(BRANCH,),
        run=no_dead_end,
        passing=(_GIVEN, _GOOD),
        failing=(_GIVEN, {**_GOOD, "choices": []}),
        description="The node leads on by distinct choices, or is an ending; where the brief says so, it ends.",
    ),
    Check(
        name="reachable",
        title="Reachable from the choice",
        tasks=(BRANCH,),
        run=reachable,
        passing=(_GIVEN, _GOOD),
        failing=(_GIVEN, {**_GOOD, "node": "cellar"}),
        description="The node is the one that the choice taken leads to.",
    ),
)
