"""The two places a command writes to: results on stdout, everything else on stderr. It does not know the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer


def emit_json(value: Any) -> None:
    """One JSON document on stdout: pydantic models, and plain data with models inside."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def say(text: str = "") -> None:
    """Print one line to stdout, without markup."""
    typer.echo(text)


def note(text: str) -> None:
    """One line on stderr: a remark, never a result."""
    typer.echo(text, err=True)


def complain(message: str) -> None:
    """An error on stderr, red where the terminal has colours."""
    typer.echo(f"{typer.style('error:', fg='red', bold=True)} {message}", err=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Rows under headers on stdout; cells are text, never markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", box=None if not sys.stdout.isatty() else _box(), pad_edge=False)
    for header in headers:
        shown.add_column(header, overflow="fold")
    for row in rows:
        shown.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    # Piped output has no width to respect: a narrow fold would break grep.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(shown)


def _box() -> Any:
    from rich import box

    return box.SIMPLE_HEAD


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
