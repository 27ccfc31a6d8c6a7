"""`metier new`: a plugin for a new trade that passes its contract test as generated."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from metier.terminal.options import Json
from metier.terminal.screen import emit_json, say


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The trade: a-z, 0-9 and underscores, such as press.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to make.  [default: ./NAME]")] = None,
    json: Json = False,
) -> None:
    """Make a plugin for a trade of your own. One task, a data adapter, a check, samples and tests, to be changed."""
    from metier.plugins.scaffold import new_plugin

    created = new_plugin(name, out or Path(name))
    if json:
        return emit_json(created)
    folder = shlex.quote(str(created.folder))
    say(f"{created.folder}: the task {created.task} in {len(created.files)} files")
    return say(
        "next:\n"
        f"  pip install -e {folder} pytest\n"
        f"  pytest {folder}\n"
        f"  metier adapt {created.task} --out runs/{name}\n"
        f"{folder}/README.md lists what to change"
    )
