"""A scene heading must have the trade's form and say the place and time that were requested."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_screenplay.checks.examples import BRIEF, TEXT
from metier_screenplay.reading.samples_from import split_heading
from metier_screenplay.script import parse
from metier_screenplay.tasks import SCENE

RULE = "scene heading: INT. or EXT., place, dash, time, in capitals (Riley, The Hollywood Standard)"
_FORM = re.compile(r"(?:INT\.?/EXT\.|EXT\.?/INT\.|I/E\.?|INT\.|EXT\.|EST\.) \S")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for form, capitals, setting, place and time of the first heading."""
    heading = next((e.text for e in parse(str(output.get("text", ""))) if e.kind == "heading"), None)
    if heading is None:
        return [Finding(message="there is no scene heading", rule=RULE)]
    problems = []
    if not _FORM.match(heading):
        problems.append("it does not begin with INT. or EXT.")
    if heading != heading.upper():
        problems.append("it is not in capitals")
    setting, place, time = split_heading(heading)
    wanted = str(input.get("setting") or "INT")
    if setting != wanted:
        problems.append(f"the brief sets it {wanted}, the heading {setting}")
    if _bare(str(input.get("place", ""))) not in _bare(heading):
        problems.append(f"the place is {input.get('place')}, the heading says {place}")
    if input.get("time") and _bare(str(input["time"])) not in _bare(heading):
        problems.append(f"the time is {input['time']}, the heading says {time or 'none'}")
    return [Finding(message=message, rule=RULE, excerpt=heading[:80]) for message in problems]


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold().replace("'", "").replace("’", "")))


heading = Check(
    name="heading",
    title="Correct heading",
    tasks=(SCENE,),
    run=run,
    passing=(BRIEF, TEXT),
    failing=(BRIEF, {"text": "INT. BAKERY - DAY\n\nMara yawns."}),
    description="INT. or EXT., the brief's place, its time, in capitals.",
)
