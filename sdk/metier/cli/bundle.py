"""`metier bundle`: the LoRA adapters and heads of a bundle. Loads no torch, but for `verify --prove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.contracts.finetune import HEAD
from metier.terminal.options import Json
from metier.terminal.screen import emit_json, say

app = typer.Typer(help="Adapters and heads of a bundle: add, list, verify.", no_args_is_help=True)

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that `metier export` wrote.")]
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
    """Add a fine-tune to a bundle, or replace one; seconds, no torch. Adapters need slots, heads their frozen base."""
    from metier.export.bundle_edit import add_adapter
    from metier.export.head_entries import add_head

    if (finetune / HEAD).is_file():
        head = add_head(bundle, finetune, name)
        if json:
            return emit_json(head)
        return say(f"{name}: a head over {head.trunk}, added; `metier bundle verify --prove` compares it with torch")
    entry = add_adapter(bundle, finetune, name, any_base=any_base)
    if json:
        return emit_json(entry)
    return say(f"{name}: rank {entry.rank}, added to {bundle}; `metier bundle verify --prove` compares it with peft")


@app.command("list")
def list_(bundle: BundleFolder, json: Json = False) -> None:
    """What adapters and heads a bundle has."""
    from metier.runtime.bundle import read_manifest

    manifest = read_manifest(bundle)
    adapters, heads = manifest.adapters, manifest.heads
    if json:
        return emit_json([entry.model_dump(mode="json") for entry in manifest.named])
    for entry in adapters:
        tasks = ", ".join(task.name for task in entry.card.tasks) if entry.card else "no card"
        proved = "proved against peft" if entry.parity else "not proved against peft"
        say(f"{entry.name}: rank {entry.rank}, {tasks}, {proved}")
    for head in heads:
        proved = "proved against torch" if head.parity else "not proved against torch"
        say(f"{head.name}: a head over {head.trunk}, {head.card.tasks[0].name}, {proved}")
    return None if adapters or heads else say("no adapters")


@app.command()
def remove(bundle: BundleFolder, name: Name) -> None:
    """Take an adapter or a head out of a bundle."""
    from metier.export.bundle_edit import remove_adapter
    from metier.export.head_entries import remove_head
    from metier.runtime.bundle import read_manifest

    is_head = name in {head.name for head in read_manifest(bundle).heads}
    (remove_head if is_head else remove_adapter)(bundle, name)
    say(f"{name} is removed from {bundle}")


@app.command()
def verify(
    bundle: BundleFolder,
    prove: Annotated[
        bool, typer.Option("--prove", help="Compare with torch what was added without it; needs torch.")
    ] = False,
    json: Json = False,
) -> None:
    """Check every file, every frozen prompt, that each adapter's two forms say the same, and each head what it said."""
    from metier.export.bundle_edit import verify_adapters
    from metier.export.head_entries import verify_heads
    from metier.runtime.bundle import read_manifest

    if prove:
        from metier.export.adapter_bundle import prove_adapter

        for entry in read_manifest(bundle).adapters:
            if entry.parity is None and entry.card is not None:
                prove_adapter(bundle, entry.name)
        for head in read_manifest(bundle).heads:
            if head.parity is None:
                from metier.heads import prove_head

                prove_head(bundle, head.name)
    checked, heads = verify_adapters(bundle), verify_heads(bundle)
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
        told = [{"name": head.name, "parity": head.parity.model_dump() if head.parity else None} for head in heads]
        return emit_json({"bundle": str(bundle), "whole": True, "adapters": rows, "heads": told})
    for row in checked:
        proved = f"top-1 as peft {row.parity.top1_agreement:.1%}" if row.parity else "not proved against peft"
        say(f"{row.name}: rank {row.rank}, {row.bytes / 1e6:.1f} MB, {proved}")
    for head in heads:
        proved = f"labels as torch {head.parity.agreement:.1%}" if head.parity else "not proved against torch"
        say(f"{head.name}: a head over {head.trunk}, {proved}")
    return say(f"{bundle} is whole")
