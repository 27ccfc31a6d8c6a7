"""Writers' own files, read into samples: four script formats and dialogue sheets."""

from __future__ import annotations

from metier.contracts import DataAdapter
from metier_npc.reading.scripts import INK, RENPY, TWEE, YARN, ScriptAdapter
from metier_npc.reading.sheets import BarkSheet, DialogueSheet

ADAPTERS: tuple[DataAdapter, ...] = (INK, YARN, RENPY, TWEE, DialogueSheet(), BarkSheet())

__all__ = ["ADAPTERS", "INK", "RENPY", "TWEE", "YARN", "BarkSheet", "DialogueSheet", "ScriptAdapter"]
