"""How blocks of text become passages. It reads no files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from metier.contracts import Provenance
from metier.runtime.passage_index import Passage

LONGEST = 600
"""Characters of a passage before it is split at a sentence: about 150 tokens; four fit a small base's prompt."""
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])")


class Block(NamedTuple):
    """A paragraph, list item, table row or heading (`level` 1 to 6; 0 for text) of a document."""

    level: int
    text: str
    line: int


def passages_of(blocks: Iterable[Block], source: str) -> Iterator[Passage]:
    """Passages of a document's blocks: one a section, split where it is longer than `LONGEST`.

    A heading without text below it is kept for the text under its subheadings. Ids are P1, P2, … in order.
    """
    headings: list[tuple[int, str]] = []
    held: list[Block] = []
    number = 0

    def flush() -> Iterator[Passage]:
        nonlocal number
        for line, text in _pieces(held):
            number += 1
            yield Passage(f"P{number}", tuple(h for _, h in headings), text, Provenance(source=source, line=line))
        held.clear()

    for block in blocks:
        text = " ".join(block.text.split())
        if not text:
            continue
        if block.level:
            yield from flush()
            headings = [(level, h) for level, h in headings if level < block.level] + [(block.level, text)]
        else:
            held.append(Block(0, text, block.line))
            if sum(len(b.text) for b in held) > 8 * LONGEST:
                yield from flush()
    yield from flush()


def _pieces(blocks: list[Block]) -> Iterator[tuple[int, str]]:
    line, text = 1, ""
    for block in blocks:
        for sentence in _sentences(block.text):
            if text and len(text) + 1 + len(sentence) > LONGEST:
                yield line, text
                text = ""
            if not text:
                line = block.line
            text = f"{text} {sentence}" if text else sentence
    if text:
        yield line, text


def _sentences(text: str) -> Iterator[str]:
    """Sentences; a block that fits is not split, a sentence longer than a passage is cut at a space."""
    if len(text) <= LONGEST:
        yield text
        return
    for sentence in _SENTENCE_END.split(text):
        while len(sentence) > LONGEST:
            cut = sentence.rfind(" ", LONGEST // 2, LONGEST)
            cut = LONGEST if cut < 0 else cut
            yield sentence[:cut]
            sentence = sentence[cut:].lstrip()
        if sentence:
            yield sentence
