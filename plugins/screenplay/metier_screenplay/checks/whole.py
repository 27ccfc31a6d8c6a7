"""A text is whole: in the brief's language, not cut off, and no line of it written twice.

Three faults of small models that no reader of scripts would pass on, found by script, punctuation and repetition, not
by meaning. What the brief holds may stand in any language; an echo, as in speech, is none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier.wording import HAN, broken_end, normalise, repeated_words, stray_words, tokens
from metier_screenplay.checks.examples import BRIEF, TEXT, scene
from metier_screenplay.script import parse
from metier_screenplay.script.element import plain
from metier_screenplay.tasks import BRANCH, DIALOGUE, SCENE
from metier_screenplay.tasks import branch as branch_task
from metier_screenplay.tasks import dialogue as dialogue_task
from metier_screenplay.tasks import scene as scene_task

RULE = "house rule: a script is whole"
_PRINTED = frozenset({"action", "dialogue", "lyrics", "centered"})
_ECHO = 4
"""Words of a clause that speech does not say twice by chance; two Han characters count as one."""
_LINE = 5
"""Words of a line that comes again: at once, or a third time. A reprise is the writer's."""
_MOST = 100
"""Lines that are looked back on."""


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding for each fault of each line."""
    return list(_findings(input, output))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    task = branch_task if "node" in output else dialogue_task if "lines" in input else scene_task
    language = task.language_of(dict(input))
    known = "\n".join(_strings(input))
    lines = _lines(output, task is scene_task)
    bare = [normalise(line).strip() for line in lines]
    for n, line in enumerate(lines):
        if words := stray_words(line, language, known):
            yield Finding(message="leaves the language of the brief", rule=RULE, excerpt=words[:40])
        # A speech that is cut short ends in a dash.
        if n == len(lines) - 1 and not line.rstrip().endswith(("—", "--")) and (end := broken_end(line, sentence=True)):
            yield Finding(message="breaks off at the end", rule=RULE, excerpt=end)
        if words := repeated_words(line, least=_ECHO, adjacent=False):
            yield Finding(message="says the same twice", rule=RULE, excerpt=words[:40])
        again = bare[n] == bare[n - 1] if n else False
        if (again or bare[:n][-_MOST:].count(bare[n]) > 1) and _size(bare[n]) >= _LINE:
            yield Finding(message="the same line comes again and again", rule=RULE, excerpt=line[:40])
    if task is branch_task:
        choices = [str(choice.get("text", "")) for choice in output.get("choices") or () if isinstance(choice, Mapping)]
        for choice in choices:
            if words := stray_words(choice, language, known):
                yield Finding(message="a choice leaves the language of the brief", rule=RULE, excerpt=words[:40])
            if end := broken_end(choice, sentence=False):
                yield Finding(message="a choice breaks off", rule=RULE, excerpt=end)


def _lines(output: Mapping[str, Any], script: bool) -> list[str]:
    text = str(output.get("text", ""))
    if script:
        return [plain(e.text) for e in parse(text) if e.kind in _PRINTED and e.text.strip()]
    return [line for line in text.split("\n") if line.strip()]


def _size(text: str) -> int:
    return sum(len(word) // 2 if HAN.match(word) else 1 for word in tokens(text))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _check(name: str, task: str, input: Value, good: Value, bad: Value) -> Check:
    text = "In the brief's language, no line twice, no broken end."
    return Check(name, (task,), run, (input, good), (input, bad), text, title="Whole")


whole = _check("whole", SCENE, BRIEF, TEXT, scene("Mara lifts a lamp.\n\nTOM\nIt was warm in here and"))
rewrite_whole = _check(
    "rewrite_whole",
    DIALOGUE,
    {"character": "Mara", "lines": ["I am very angry with you."], "note": "less on the nose"},
    {"text": "You owe me a loaf."},
    {"text": "You owe me a"},
)
_STORY: Value = {"scene": "The lights go out.", "choices": [{"text": "Call", "to": "call"}], "chosen": "Call"}
_END: Value = {"node": "call", "choices": [], "ending": True}
branch_whole = _check(
    "branch_whole", BRANCH, _STORY, {**_END, "text": "Nobody answers."}, {**_END, "text": "Nobody answers the"}
)
WHOLE_CHECKS = (whole, rewrite_whole, branch_whole)
