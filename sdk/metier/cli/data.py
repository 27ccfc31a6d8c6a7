"""`metier data report`: statistics of a data file before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.disk import write_atomic
from metier.terminal.options import Columns, Json, pairs
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, note, say, table

SHOWN = 20
"""Bad rows printed one by one."""

app = typer.Typer(help="Reports on data files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group, although it has one command yet."""


@app.command()
def report(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSONL, Parquet, Excel, or a format of a trade.")
    ],
    task: Annotated[
        str | None,
        typer.Option(
            help="Check rows as samples of this task.  [default: plain rows; in a trade's own format, its first task]"
        ),
    ] = None,
    columns: Columns = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="JSON", help="Write the report there as well.")] = None,
    json: Json = False,
) -> None:
    """Report rows, fields, duplicates, lengths, personal data and bad rows of a file."""
    from metier.data.load import tasks_reading
    from metier.data.report import data_report
    from metier.plugins import load_plugins

    registry = load_plugins()
    if task is None and (readable_as := tasks_reading(file, registry.verticals.values())):
        task = readable_as[0].name
        if others := [other.name for other in readable_as[1:]]:
            note(f"read as samples of {task}; --task can also be {', '.join(others)}")
    vertical, contract = registry.task(task) if task else (None, None)
    adapters = vertical.adapters_for(contract) if vertical and contract else ()
    with progress(json) as tick:
        found = data_report(contract, file, adapters=adapters, columns=pairs(columns, "--columns"), progress=tick)
    if out is not None:
        write_atomic(out, found.model_dump_json(indent=2))
    if json:
        return emit_json(found)
    facts = found.model_dump(mode="json", exclude={"schema_version", "columns", "bad"}, exclude_none=True)
    if found.task and found.data_adapter is None:
        facts["data adapter"] = "none: columns by name"
    table(("", ""), ((key.replace("_", " "), _words(value)) for key, value in facts.items() if value not in ({}, [])))
    described = [column.model_dump(mode="json", exclude_none=True) for column in found.columns]
    keys = list(dict.fromkeys(key for column in described for key in column))
    say()
    table([key.replace("_", " ") for key in keys], ([_words(c.get(key, "")) for key in keys] for c in described))
    for row in found.bad[:SHOWN]:
        note(str(row))
    if found.bad_rows > SHOWN:
        note(f"… and {found.bad_rows - SHOWN} more rows that do not fit: see them with --json")
    return None


def _words(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(map(_words, value[:10])) + (f"\n… and {len(value) - 10} more" if len(value) > 10 else "")
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    return str(value)
