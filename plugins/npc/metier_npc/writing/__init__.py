"""Answers written back as a writer's own files: Ink, Yarn, sheets; and new words put into a script that exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from metier_npc.writing.ink import write_ink
from metier_npc.writing.revise import revise
from metier_npc.writing.sheet import write_sheet
from metier_npc.writing.spoken import Spoken, spoken_of
from metier_npc.writing.yarn import write_yarn

WRITERS: dict[str, Callable[[Iterable[Spoken]], str]] = {"ink": write_ink, "yarn": write_yarn, "csv": write_sheet}

__all__ = ["WRITERS", "Spoken", "revise", "spoken_of", "write_ink", "write_sheet", "write_yarn"]
