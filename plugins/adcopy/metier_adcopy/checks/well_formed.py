"""Each text must be whole: in the brief's language, nothing twice, not cut off, and civil to its reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier.wording.fluency import broken_end, ended, repeated_words, rude_words, stray_words
from metier_adcopy.copy_of import brief, pieces
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS

RULE = "House rule: nothing goes out that is broken off, said twice, in another language or rude"


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per fault of a text."""
    return list(_findings(input, output))


def _findings(input: Mapping[str, Any], output: Mapping[str, Any]) -> Iterator[Finding]:
    known = f"{brief(input)}, {input.get('tone') or ''}"
    language = str(input.get("language") or "en")
    texts = pieces(output)
    headlines = {str(text) for text in output["headlines"]} if isinstance(output.get("headlines"), list) else set()
    # Ads and spoken lines may do without full stops, but then all of them do.
    running = [text for text in texts if text not in headlines]
    stops = len(running) < 2 or any(ended(text) for text in running)
    for text in texts:
        if words := stray_words(text, language, known):
            yield Finding(message="leaves the language of the brief", rule=RULE, excerpt=words[:40])
        if end := broken_end(text, sentence=stops and text not in headlines):
            yield Finding(message="breaks off at the end", rule=RULE, excerpt=end)
        if words := rude_words(text):
            yield Finding(message="is rude to the reader or runs the seller down", rule=RULE, excerpt=words[:40])
        if words := repeated_words(text):
            yield Finding(message="says the same twice", rule=RULE, excerpt=words[:40])
    if output.get("lines") and (words := repeated_words("\n".join(texts), least=4)):
        yield Finding(message="says the same twice", rule=RULE, excerpt=words[:40])


_FACTS = {"facts": "name[Alder bench], wood[oak], price[£89]"}
well_formed = Check(
    name="well_formed",
    title="Well formed",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=(dict(_FACTS), {"text": "Boots off, bags down. The Alder bench is oak, £89."}),
    failing=(dict(_FACTS), {"text": "The Alder bench is oak, £89. The Alder bench is oak, with"}),
    description="In the brief's language, no clause twice, no broken end, civil.",
)
