"""From the items of a script to samples of `npc.line`: each line with the talk before it and the choices after it.

It does not know formats; a format has already said what is spoken, by whom, and how deep among the choices.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from metier.contracts import BadRow, Provenance, Sample
from metier.contracts.script import language_by_script
from metier_npc.scripts.item import Item
from metier_npc.tasks import LINE, LONGEST_LINE, NONE

NARRATOR = "Narrator"
PLAYER = "Player"
HISTORY = 4
"""Turns of talk that a sample carries."""
LOOKAHEAD = 200
"""Items held at most, to find a line's choices."""
_ACTIONS = 6

EMOTIONS = {
    "neutral": "neutral normal calm plain idle default 平静 普通",
    "happy": "happy smile smiling glad joy joyful laugh laughing giggle grin amused excited cheerful 高兴 开心 微笑 笑",
    "sad": "sad cry crying tears sorrow unhappy depressed hurt gloomy 悲伤 难过 哭",
    "angry": "angry mad annoyed furious rage irritated cross 生气 愤怒",
    "afraid": "afraid scared fear fearful nervous worried panic anxious terrified 害怕 恐惧 紧张",
    "surprised": "surprised shock shocked surprise startled amazed astonished 惊讶 吃惊",
    "disgusted": "disgusted disgust contempt sneer 厌恶",
    "curious": "curious thinking interested puzzled confused wonder question 好奇 疑惑",
}
_EMOTION_OF = {word: name for name, words in EMOTIONS.items() for word in words.split()}


def samples_of(items: Iterable[Item], source: str) -> Iterator[Sample | BadRow]:
    """Samples in the script's order.

    Args:
        items: of one script.
        source: its file name, for the provenance.
    """
    seen: list[str] = []  # actions that the script has used so far
    for group in _nodes(items):
        group = _joined(group)
        choices = _choices(group)
        path: list[Item] = []  # what was said on the way to here
        for place, item in enumerate(group):
            if item.kind == "bad":
                yield BadRow(
                    provenance=Provenance(source=source, line=item.line),
                    reason=item.problem or "it cannot be read",
                    remedy="correct the line, or leave it out",
                )
            if item.kind not in {"line", "choice"} or not item.display_text:
                continue
            path = [before for before in path if _leads(before, item)]
            if item.kind == "line":
                yield _sample(item, path, choices.get(place, []), seen, source)
            path.append(item)


def _joined(group: list[Item]) -> list[Item]:
    """The items with glued lines joined to the line before them, where both are said one after the other."""
    out: list[Item] = []
    last: int | None = None  # place of the line that a glued one joins
    for item in group:
        if item.glued and item.kind == "line" and last is not None:
            before = out[last]
            if (before.within, before.depth) == (item.within, item.depth) and not item.speaker:
                tags = tuple(dict.fromkeys((*before.tags, *item.tags)))
                out[last] = replace(before, display_text=before.display_text + item.display_text, tags=tags)
                continue
        if item.kind in {"line", "choice"}:
            last = len(out) if item.kind == "line" else None
        out.append(replace(item, display_text=item.display_text.strip()) if item.glued else item)
    return out


def _leads(before: Item, item: Item) -> bool:
    """Whether one was certainly said ahead of the other: no other choice, and no block that may not have been run."""
    deeper = before.depth > item.depth or (before.depth == item.depth and before.kind == "choice")
    if before.alternative and before.alternative != item.alternative:
        return False
    return not deeper and before.within == item.within[: len(before.within)]


def _turn(item: Item) -> dict[str, str]:
    return {"who": item.speaker or (PLAYER if item.kind == "choice" else NARRATOR), "text": item.display_text}


def emotion_of(tags: Iterable[str]) -> str | None:
    """The emotion that tags name: `emotion:happy`, `smile`, `mood=sad`; None where none does."""
    for tag in tags:
        for word in reversed(re.split(r"[:=\s_]+", tag.casefold())):
            if word in _EMOTION_OF:
                return _EMOTION_OF[word]
    return None


def line_sample(input: dict[str, Any], output: dict[str, Any], provenance: Provenance) -> Sample | BadRow:
    """A sample with what is empty left out, or a bad row where the line is none."""
    line = str(output["line"])
    if not line or len(line) > LONGEST_LINE or any(0xD800 <= ord(c) <= 0xDFFF or c == "\0" for c in line):
        reason = (
            "there is no line in it" if not line
            else f"the line has {len(line)} characters, {LONGEST_LINE} is the most" if len(line) > LONGEST_LINE
            else "the line holds bytes that are not of the file's encoding"
        )  # fmt: skip
        return BadRow(provenance=provenance, field="line", reason=reason, remedy="correct the line, or leave it out")
    if language := language_by_script(line, ("zh",)):
        input["language"] = language
    kept = {key: _clean(value) for key, value in input.items() if value}
    return Sample(task=LINE, input=kept, output={**output, "remember": []}, provenance=provenance)


def _clean(value: Any) -> Any:
    """Stray bytes as the sign for what cannot be read: only a line itself must be free of them."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff\0]", "\ufffd", value)
    if isinstance(value, list):
        return [_clean(v) for v in value]
    return {k: _clean(v) for k, v in value.items()} if isinstance(value, dict) else value


def _nodes(items: Iterable[Item]) -> Iterator[list[Item]]:
    group: deque[Item] = deque()
    for item in items:
        if group and (item.kind == "node" or len(group) >= LOOKAHEAD):
            yield list(group)
            group.clear()
        group.append(item)
    if group:
        yield list(group)


def _choices(group: list[Item]) -> dict[int, list[str]]:
    """Place of a line → what the player may answer to it: the choices at its depth, up to the next line there."""
    found: dict[int, list[str]] = {}
    last: dict[int, int] = {}
    for place, item in enumerate(group):
        if item.kind == "line":
            last = {depth: at for depth, at in last.items() if depth < item.depth}
            last[item.depth] = place
        if item.kind == "choice" and item.display_text and item.depth in last:
            found.setdefault(last[item.depth], []).append(item.display_text)
        if item.links and item.depth in last:
            found.setdefault(last[item.depth], []).extend(item.links)
    return found


def _sample(item: Item, path: list[Item], choices: list[str], seen: list[str], source: str) -> Sample | BadRow:
    actions = [t.partition(":")[2].strip() for t in item.tags if re.match(r"(?:action|anim|do)\s*:", t)]
    action = next(filter(None, actions), NONE)
    if action not in (*seen, NONE):
        seen.append(action)
        del seen[:-_ACTIONS]
    emotion = emotion_of(item.tags)
    chosen = [c for before in path if before.kind == "choice" for c in before.conditions]
    # What the output says already is no part of the question.
    tags = [
        t
        for t in item.tags
        if not t.startswith(("line:", "action:", "anim:", "do:", "speaker:")) and not emotion_of([t])
    ]
    return line_sample(
        {
            "speaker": item.speaker or NARRATOR,
            "history": [_turn(before) for before in path[-HISTORY:]],
            "when": list(dict.fromkeys(c for c in (*item.within, *chosen, *item.conditions) if c)),
            "choices": [c for c in choices if c],
            "tags": tags,
            "actions": [NONE, *seen] if seen else None,
        },
        {"line": item.display_text, "emotion": emotion or "neutral", "action": action},
        Provenance(source=source, line=item.line),
    )
