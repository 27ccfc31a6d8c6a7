"""A scene must keep within its pages, at 55 lines a page and a minute a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_screenplay.checks.examples import BRIEF, TEXT, scene
from metier_screenplay.script import parse
from metier_screenplay.script.pages import LINES_A_PAGE, lines_of
from metier_screenplay.tasks import SCENE

RULE = "a page of Courier 12 holds about 55 lines and runs about a minute (Riley, The Hollywood Standard)"
DEFAULT = 3.0
"""Pages of a scene whose brief sets no limit: longer ones are several scenes to a script editor."""
_SPEECH = 12
"""Lines of one speech without a break: about a quarter of a page."""


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings where the scene is longer than `max_pages`, or a speech than a quarter of a page."""
    elements = parse(str(output.get("text", "")))
    given = input.get("max_pages")
    limit = float(given) if isinstance(given, int | float) else DEFAULT
    lines = lines_of(elements)
    found = []
    if lines > limit * LINES_A_PAGE:
        length = lines / LINES_A_PAGE
        found.append(
            Finding(
                message=f"{lines} lines are {length:.2f} pages, about {length * 60:.0f} seconds; "
                f"the limit is {limit:g}",
                rule=RULE,
            )
        )
    for element in elements:
        if element.kind == "dialogue" and lines_of([element]) > _SPEECH:
            found.append(
                Finding(
                    message=f"a speech of {lines_of([element])} lines, the house's limit is {_SPEECH}",
                    rule="house rule: a speech runs a quarter of a page at most",
                    excerpt=element.text[:60],
                )
            )
    return found


length = Check(
    name="length",
    title="Within the page limit",
    tasks=(SCENE,),
    run=run,
    passing=(BRIEF, TEXT),
    failing=(BRIEF, scene("\n\n".join(f"Mara and Tom carry sack {i}." for i in range(40)))),
    description="Within max_pages (3 where none is given), 55 lines a page; no endless speech.",
)
