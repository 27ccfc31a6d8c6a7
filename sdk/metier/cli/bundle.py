"""`metier bundle`: LoRA adapters of a bundle with slots. Loads no torch, but for `verify --prove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.cli.options import Json
from metier.cli.screen import emit_json, say

app = typer.Typer(help="LoRA adapters of a bundle: add, list, remove, verify.", no_args_is_help=True)

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of `metier export --slots`.")]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="What requests will call it.")]


@app.command()
def add(
    bundle: BundleFolder,
    finetune: Annotated[Path, typer.Argument(metavar="FINETUNE", help="Folder of `metier adapt`, or of PEFT.")],
    name: Name,
    any_base: Annotated[
        bool, typer.Option("--any-base", help="Take a PEFT folder that names another base; shapes must fit.")
    ] = False,
    json: Json = False,
) -> None:
    """Add a fine-tune to a bundle, or replace one; seconds, no torch."""
    from metier.export.edit import add_adapter

    entry = add_adapter(bundle, finetune, name, any_base=any_base)
    if json:
        return emit_json(entry)
    return say(f"{name}: rank {entry.rank}, added to {bundle}; `metier bundle verify --prove` compares it with peft")


@app.command("list")
def list_(bundle: BundleFolder, json: Json = False) -> None:
    """What adapters a bundle has."""
    from metier.runtime.bundle import read_manifest

    adapters = read_manifest(bundle).adapters
    if json:
        return emit_json([entry.model_dump(mode="json") for entry in adapters])
    for entry in adapters:
        tasks = ", ".join(task.name for task in entry.card.tasks) if entry.card else "no card"
        proved = "proved against peft" if entry.parity else "not proved against peft"
        say(f"{entry.name}: rank {entry.rank}, {tasks}, {proved}")
    return None if adapters else say("no adapters")


@app.command()
def remove(bundle: BundleFolder, name: Name) -> None:
    """Take an adapter out of a bundle."""
    from metier.export.edit import remove_adapter

    remove_adapter(bundle, name)
    say(f"{name} is removed from {bundle}")


@app.command()
def verify(
    bundle: BundleFolder,
    prove: Annotated[
        bool, typer.Option("--prove", help="Compare with peft what was added without it; needs torch.")
    ] = False,
    json: Json = False,
) -> None:
    """Check every file, every frozen prompt, and that each adapter's two forms say the same."""
    from metier.export.edit import verify_adapters
    from metier.runtime.bundle import read_manifest

    if prove:
        from metier.export.slotted import prove_adapter

        for entry in read_manifest(bundle).adapters:
            if entry.parity is None and entry.card is not None:
                prove_adapter(bundle, entry.name)
    checked = verify_adapters(bundle)
    if json:
        rows = [
            {
                "name": row.name,
                "rank": row.rank,
                "bytes": row.bytes,
                "fold_error": row.fold_error,
                "parity": row.parity.model_dump() if row.parity else None,
            }
            for row in checked
        ]
        return emit_json({"bundle": str(bundle), "whole": True, "adapters": rows})
    for row in checked:
        proved = f"top-1 as peft {row.parity.top1_agreement:.1%}" if row.parity else "not proved against peft"
        say(f"{row.name}: rank {row.rank}, {row.bytes / 1e6:.1f} MB, {proved}")
    return say(f"{bundle} is whole")
