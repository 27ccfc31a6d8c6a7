"""Makes samples of `screenplay.scene` from a screenplay's elements: each scene, and a brief that it could come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from metier.contracts import BadRow, Provenance, Sample
from metier_screenplay.script import Element, write
from metier_screenplay.script.element import UNSEEN, plain, speaker
from metier_screenplay.tasks import SCENE

HEADING = re.compile(
    r"(?P<setting>(?:INT|EXT|EST|I)\.?(?:\s*/\s*(?:INT|EXT|E)\.?)?)[. ]\s*(?P<place>.+?)"
    r"(?:\s+[-–—]+\s*(?P<time>[^-–—]+?))?\s*$",
    re.I,
)
"""`INT. KITCHEN - NIGHT` in its three parts; several dashes leave the last part as the time."""
MOST_ELEMENTS = 2_000
"""Of one scene: a whole film has about 4,000."""
_LONGEST_BEAT = 160
"""Characters of a beat taken from action."""
_SENTENCE = re.compile(r".+?(?:[.!?…]+(?=\s|$)|[。！？])", re.S)
_HAN = re.compile(r"[\u3400-\u9fff]")


def split_heading(text: str) -> tuple[str, str, str | None]:
    """(setting, place, time) of a scene heading; a forced one is all place, indoors for want of a word."""
    # Runs of white space would have the pattern tried at each of them.
    text = " ".join(plain(text).split())
    found = HEADING.match(text)
    if not found:
        return "INT", text, None
    where = found["setting"].upper()
    inside, outside = "I" in where.replace("EXT", ""), "E" in where.replace("EST", "E")
    setting = "INT/EXT" if "/" in where and inside and outside else "EXT" if where.startswith("E") else "INT"
    return setting, found["place"].strip(), found["time"]


def samples_of(elements: Iterable[Element], source: str) -> Iterator[Sample | BadRow]:
    """One sample a scene, at its heading's line. Action before the first heading gives the logline at most; dialogue
    there is a bad row, as no brief can be made for it."""
    logline: str | None = None
    scene: list[Element] = []
    stray: Element | None = None
    for element in elements:
        if element.kind == "heading":
            if scene:
                yield _sample(scene, logline, source)
            elif stray:
                yield _without_heading(stray, source)
            scene, stray = [element], None
        elif scene:
            # One more than the limit marks the scene as too long, and no more of it is kept.
            if len(scene) <= MOST_ELEMENTS:
                scene.append(element)
        elif element.kind == "title" and element.key.casefold() == "logline":
            logline = " ".join(plain(element.text).split()) or None
        elif element.kind == "character":
            stray = stray or element
    if scene:
        yield _sample(scene, logline, source)
    elif stray:
        yield _without_heading(stray, source)


def _without_heading(element: Element, source: str) -> BadRow:
    return BadRow(
        provenance=Provenance(source=source, line=max(1, element.line)),
        reason=f"{speaker(element.text)} speaks ahead of the first scene heading: the lines belong to no scene",
        remedy="put a heading such as INT. KITCHEN - DAY ahead of them",
    )


def _sample(scene: list[Element], logline: str | None, source: str) -> Sample | BadRow:
    place = Provenance(source=source, line=max(1, scene[0].line))
    if len(scene) > MOST_ELEMENTS:
        return BadRow(
            provenance=place,
            reason=f"the scene has more than {MOST_ELEMENTS} elements",
            remedy="see that the headings below begin with INT. or EXT., a blank line ahead of them",
        )
    body = [replace(e, text=e.text) for e in scene[1:] if e.kind not in UNSEEN and e.kind != "page_break"]
    body = [b for b in (replace(e, text=_seen(e.text)) for e in body) if b.text]
    if not any(e.kind in {"action", "centered", "dialogue", "lyrics"} for e in body):
        return BadRow(provenance=place, reason="the scene is empty", remedy="write it, or take its heading out")
    setting, where, time = split_heading(scene[0].text)
    if not where:
        return BadRow(provenance=place, field="place", reason="the scene heading names no place")
    brief: dict[str, Any] = {"setting": setting, "place": where}
    if time:
        brief["time"] = time
    if logline:
        brief["logline"] = logline
    names = list(dict.fromkeys(n for e in body if e.kind == "character" and (n := speaker(e.text))))
    brief |= {"characters": [{"name": name} for name in names], "beats": _beats(scene)}
    text = write([replace(scene[0], text=_seen(scene[0].text), number=None, before=0), *_laid_out(body)]).strip()
    han = len(_HAN.findall(text)) > 0.2 * sum(c.isalpha() for c in text)
    brief["language"] = "zh" if han else "en"
    return Sample(task=SCENE, input=brief, output={"text": text}, language=brief["language"], provenance=place)


def _seen(text: str) -> str:
    from metier_screenplay.script.element import shown

    return "\n".join(line.rstrip() for line in shown(text).split("\n") if line.strip()).strip("\n")


def _laid_out(body: list[Element]) -> Iterator[Element]:
    """The body with one blank line between paragraphs: what was hidden leaves no gap, nor does it join two."""
    talking = False
    for element in body:
        joined = talking and element.kind in {"parenthetical", "dialogue", "lyrics"} and not element.before
        yield replace(element, before=0 if joined else 1)
        talking = element.kind == "character" or joined


def _beats(scene: list[Element]) -> list[str]:
    """The scene's own synopses; where the writer left none, the first sentence of each of the first four paragraphs."""
    written = [" ".join(plain(e.text).split()) for e in scene if e.kind == "synopsis"]
    if any(written):
        return [beat for beat in written if beat]
    beats = []
    for element in scene:
        if element.kind == "action" and (text := " ".join(plain(element.text).split())):
            found = _SENTENCE.match(text[:_LONGEST_BEAT])
            beats.append(found[0] if found else text[:_LONGEST_BEAT].strip())
    return beats[:4]
