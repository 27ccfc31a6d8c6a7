"""Fountain as elements, and back: a small complete reader and writer of the syntax at fountain.io/syntax.

`screenplain` 0.12 was looked at first. It reads Fountain only to typeset it: boneyard, notes and lone synopses are
dropped, headings are put in capitals, lyrics come back as dialogue, and it has no writer of Fountain, so that no round
trip is possible; and it needs a PDF library.
"""

from __future__ import annotations

from metier_screenplay.script.element import Element, Kind
from metier_screenplay.script.reader import numbered, parse, read
from metier_screenplay.script.writer import write

__all__ = ["Element", "Kind", "numbered", "parse", "read", "write"]
