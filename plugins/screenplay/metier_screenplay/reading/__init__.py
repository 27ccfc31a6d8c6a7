"""Writers' own files, read into samples: Fountain, Final Draft, plain text, and a table of script notes."""

from __future__ import annotations

from pathlib import Path

from metier.contracts import DataAdapter
from metier.data.adapter import TableAdapter
from metier_screenplay.reading.fdx import FinalDraft
from metier_screenplay.reading.fountain_file import FountainFile
from metier_screenplay.reading.plain_text import PlainText
from metier_screenplay.tasks import dialogue


def _notes(row: object) -> tuple[dict[str, object], dict[str, object]]:
    """A row of a notes table as (input, output). A cell's line breaks or ` / ` part its lines.

    Raises:
        ValueError: a cell is missing, or the rewrite has another number of lines.
    """
    cells = {str(k).strip().casefold(): str(v).strip() for k, v in dict(row).items() if v not in (None, "")}  # type: ignore[call-overload]
    if missing := [name for name in ("character", "lines", "note", "rewrite") if not cells.get(name)]:
        raise ValueError(f"nothing is in {', '.join(missing)}")
    lines, again = _parted(cells["lines"]), _parted(cells["rewrite"])
    if len(lines) != len(again):
        raise ValueError(f"{len(lines)} lines were rewritten as {len(again)}")
    given: dict[str, object] = {"character": cells["character"], "lines": lines, "note": cells["note"]}
    given |= {name: cells[name] for name in ("context", "about", "language") if cells.get(name)}
    if limit := cells.get("max_words"):
        if not limit.isdecimal() or len(limit) > 6:
            raise ValueError(f"max_words is {limit[:20]!r}, not a whole number")
        given["max_words"] = int(limit)
    return given, {"text": "\n".join(again)}


def _parted(cell: str) -> list[str]:
    return [line.strip() for line in cell.replace(" / ", "\n").splitlines() if line.strip()]


NOTES = TableAdapter(
    "notes_table",
    dialogue,
    columns={"character": "character", "lines": "lines", "note": "note", "rewrite": "text"},
    example=Path(__file__).parent.parent / "examples" / "notes.csv",
    build=_notes,  # type: ignore[arg-type]
)
ADAPTERS: tuple[DataAdapter, ...] = (FinalDraft(), FountainFile(), PlainText(), NOTES)

__all__ = ["ADAPTERS", "NOTES", "FinalDraft", "FountainFile", "PlainText"]
