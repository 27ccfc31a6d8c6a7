"""log.jsonl: one event a line, for the curves of a report; the log of a resumed run has no step twice."""

import json
from dataclasses import asdict
from pathlib import Path

from metier.training.progress import Progress

LOG = "log.jsonl"


def append(out: Path, event: Progress) -> None:
    """Add one event; fields without a value are left out."""
    line = json.dumps({key: value for key, value in asdict(event).items() if value is not None})
    with (out / LOG).open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")


def keep_until(out: Path, step: int) -> None:
    """Drop what a killed run wrote after its last checkpoint, a half-written line included."""
    path = out / LOG
    lines: list[str] = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError):
            break
        lines.append(line + "\n")
    path.write_text("".join(lines), "utf-8")
