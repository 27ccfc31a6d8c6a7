"""`metier plugins`: installed plugins, what each offers, and why a broken one fails."""

from __future__ import annotations

from typing import Annotated

import typer

from metier.terminal.options import Json
from metier.terminal.screen import emit_json, table


def plugins(
    strict: Annotated[bool, typer.Option("--strict", help="Fail at the first broken plugin.")] = False,
    json: Json = False,
) -> None:
    """List plugins, with the reason for each broken one."""
    from metier.plugins import load_plugins

    rows = load_plugins(strict=strict).plugins
    if json:
        return emit_json(rows)
    table(
        ("plugin", "version", "status", "brings", "reason"),
        ((row.name, row.version, row.status, _brings(row), row.reason) for row in rows),
    )
    return None


def _brings(row: object) -> str:
    kinds = ("verticals", "tasks", "base_sources", "bridges", "metrics", "commands")
    return "; ".join(f"{kind}: {', '.join(names)}" for kind in kinds if (names := getattr(row, kind)))
