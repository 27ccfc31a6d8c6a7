"""Lines as a sheet for voice and translation: CSV, one line a row, with the headers that the data adapters read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from metier_npc.writing.spoken import Spoken

COLUMNS = ("Conversation", "Speaker", "Trigger", "Line", "Emotion", "Action")


def write_sheet(spoken: Iterable[Spoken]) -> str:
    """CSV (RFC 4180); the trigger column is left out where no line has one."""
    items = list(spoken)
    barks = any(item.situation for item in items)
    columns = [c for c in COLUMNS if barks or c != "Trigger"]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    for item in items:
        for line in item.lines:
            writer.writerow(
                {
                    "Conversation": item.node,
                    "Speaker": item.speaker,
                    "Trigger": item.situation,
                    "Line": line,
                    "Emotion": item.emotion or "",
                    "Action": item.action or "",
                }
            )
    return out.getvalue()
