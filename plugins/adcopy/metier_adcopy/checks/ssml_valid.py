"""A presenter's script must come out as valid SSML, with each stressed word where it is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_adcopy.ssml import stressed_at, to_ssml
from metier_adcopy.ssml_grammar import faults
from metier_adcopy.tasks import PRESENTER

RULE = "W3C SSML 1.1, https://www.w3.org/TR/speech-synthesis11/"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per stressed phrase that its line does not say, and per fault of the document."""
    return [*_lost(output), *(Finding(message=f"as SSML: {fault}", rule=RULE) for fault in _faults(input, output))]


def _faults(input: Mapping[str, Any], output: Mapping[str, Any]) -> list[str]:
    return faults(to_ssml(output, str(input.get("language") or "en")))


def _lost(output: Mapping[str, Any]) -> Iterator[Finding]:
    lines = output.get("lines")
    for number, line in enumerate(lines if isinstance(lines, list) else (), 1):
        words, stress = str(line.get("say", "")), [str(word) for word in line.get("stress") or ()]
        if len(stressed_at(words, stress)) < len(stress):
            message = f"line {number} stresses words that it does not say, or the same twice"
            yield Finding(message=message, rule=f"{RULE}#S3.2.2 (emphasis)", excerpt=", ".join(stress))


_BRIEF = {"facts": "name[Alder bench], price[£89]"}
ssml_valid = Check(
    name="ssml_valid",
    title="Valid SSML",
    tasks=(PRESENTER,),
    run=run,
    passing=(
        dict(_BRIEF),
        {"lines": [{"say": "The Alder bench is £89.", "stress": ["£89"], "gesture": "show", "seconds": 3}]},
    ),
    failing=(
        dict(_BRIEF),
        {"lines": [{"say": "The Alder bench is £89.", "stress": ["oak"], "gesture": "show", "seconds": 3}]},
    ),
    description="Valid SSML 1.1 comes of it, and each stressed word is one that its line says.",
)
