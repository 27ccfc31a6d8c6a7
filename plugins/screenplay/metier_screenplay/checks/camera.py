"""Where the house style leaves the camera to the director, a scene holds no camera directions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_screenplay.checks.examples import BRIEF, TEXT, scene
from metier_screenplay.script import parse
from metier_screenplay.script.element import plain
from metier_screenplay.tasks import SCENE

RULE = "house style `camera: false`: a script for reading directs no camera (Trottier, The Screenwriter's Bible)"
_CAMERA = re.compile(
    r"\b(?:the )?camera (?:pans?|tilts?|zooms?|pushes|pulls|dollies|tracks|follows|moves|holds|lingers|cranes|finds"
    r"|reveals|circles|rises|cuts|stays|drifts|is|on)\b"
    r"|\b(?:close[- ]?up|extreme close|wide shot|long shot|medium shot|establishing shot|tracking shot|dolly shot"
    r"|crane shot|aerial shot|overhead shot|two[- ]shot|reaction shot|point[- ]of[- ]view shot|over[- ]the[- ]shoulder"
    r" shot|reverse angle|rack focus|smash zoom|zoom (?:in|out)|pan (?:to|across|left|right|up|down)"
    r"|tilt (?:up|down)|dolly (?:in|out)|push in on|pull back to reveal|whip pan|slow motion|freeze frame|split screen"
    r"|we (?:pan|zoom|track|dolly|push in|pull back|cut to|crane))\b"
    r"|\b(?:ECU|CU|POV|WS|MCU)\b|\bP\.O\.V\b"
    r"|镜头|特写|推镜|拉镜|摇镜|移镜|跟拍|俯拍|仰拍|航拍|全景|中景|近景|远景|变焦|慢动作|定格|画外镜",
)
_CAPITALS = re.compile(
    r"\b(?:ANGLE|CLOSE) ON\b|\b(?:CLOSE|INSERT|WIDE|PAN|ZOOM|DOLLY|TRACKING)\b\s*(?:[:—–-]|ON\b|TO\b)"
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each camera direction in action, heading or transition; what characters say is theirs."""
    if input.get("camera"):
        return []
    found = []
    for element in parse(str(output.get("text", ""))):
        if element.kind in {"action", "heading", "transition", "parenthetical", "centered"}:
            text = plain(element.text)
            for hit in (*_matches(text), *_CAPITALS.finditer(text)):
                found.append(Finding(message="a camera direction", rule=RULE, excerpt=hit[0]))
    return found


def _matches(text: str) -> list[re.Match[str]]:
    # `CU` is a shot, `cu` is not; the rest is recognised in any case.
    return [
        m for m in re.finditer(_CAMERA.pattern, text, re.I) if m[0].isupper() or len(m[0].replace(".", "")) > 3
        or ord(m[0][0]) > 0x2E7F
    ]  # fmt: skip


camera = Check(
    name="camera",
    title="No camera directions",
    tasks=(SCENE,),
    run=run,
    passing=(BRIEF, TEXT),
    failing=(BRIEF, scene("CLOSE ON: a flour sack. The camera pans to Mara. Tom sneezes.")),
    description="No camera directions, unless the brief allows them.",
)
