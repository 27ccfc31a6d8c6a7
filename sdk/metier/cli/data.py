"""`metier data report`: what a data file holds, before anyone trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.cli.options import Columns, Json, pairs
from metier.cli.progress import progress
from metier.cli.screen import emit_json, say, table

app = typer.Typer(help="Data files: report what one holds.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group, although it has one command yet."""


@app.command()
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSONL, Parquet or Excel.")],
    task: Annotated[str | None, typer.Option(help="Judge the rows as samples of this task.")] = None,
    columns: Columns = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="JSON", help="Write the report there as well.")] = None,
    json: Json = False,
) -> None:
    """Report rows, fields, duplicates, lengths, languages, personal data and bad rows of a file."""
    raise NotImplementedError((file, task, columns, out, json, pairs, progress, emit_json, say, table))
