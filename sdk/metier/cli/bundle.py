"""`metier bundle`: the LoRA adapters and heads of a bundle. Loads no torch, except for `verify --prove`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.contracts.finetune import CARD, HEAD
from metier.terminal.options import Json
from metier.terminal.screen import emit_json, say

if TYPE_CHECKING:
    from metier.contracts.heads import HeadEntry
    from metier.export.bundle_edit import VerifiedAdapter

app = typer.Typer(help="Adapters and heads of a bundle: add, list, verify.", no_args_is_help=True)

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that `metier export` wrote.")]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the adapter or head.")]
OwnName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Name by which requests select it; an entry of that name is replaced.  [default: its card's or folder's]",
    ),
]


@app.command()
def add(
    bundle: BundleFolder,
    finetune: Annotated[
        Path, typer.Argument(metavar="FINETUNE", help="Folder of `metier adapt`, or one that PEFT saved.")
    ],
    name: OwnName = None,
    any_base: Annotated[
        bool, typer.Option("--any-base", help="Accept a PEFT folder that names another base; shapes must fit.")
    ] = False,
    json: Json = False,
) -> None:
    """Add a fine-tune to a bundle, in seconds and without torch. Adapters need slots, heads their frozen base."""
    from metier.export.bundle_edit import add_adapter
    from metier.export.head_entries import add_head

    if (finetune / HEAD).is_file():
        head = add_head(bundle, finetune, name)
        if json:
            return emit_json(head)
        return say(
            f"{head.name}: a head over {head.trunk}, added; `metier bundle verify {bundle} --prove` compares to torch"
        )
    entry = add_adapter(bundle, finetune, name, any_base=any_base)
    if json:
        return emit_json(entry)
    condition = "" if (finetune / CARD).is_file() else ", where the bundle's base is available"
    return say(
        f"{entry.name}: rank {entry.rank}, added to {bundle}; `metier bundle verify {bundle} --prove` compares it with "
        f"peft{condition}"
    )


@app.command("list")
def list_(bundle: BundleFolder, json: Json = False) -> None:
    """List the adapters and heads of a bundle."""
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
    """Remove an adapter or a head from a bundle."""
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
        bool, typer.Option("--prove", help="Compare with torch what was added without it; needs torch and the base.")
    ] = False,
    json: Json = False,
) -> None:
    """Verify every file, frozen prompt, adapter and head of a bundle."""
    from metier.export.bundle_edit import verify_adapters
    from metier.export.head_entries import verify_heads

    skipped = _prove(bundle) if prove else {}
    adapters, heads = verify_adapters(bundle), verify_heads(bundle)
    if json:
        return emit_json(_verified(bundle, adapters, heads, skipped))
    for row in adapters:
        state = skipped.get(row.name, "not proved against peft")
        proved = f"top-1 as peft {row.parity.top1_agreement:.1%}" if row.parity else state
        say(f"{row.name}: rank {row.rank}, {row.bytes / 1e6:.1f} MB, {proved}")
    for head in heads:
        proved = f"labels as torch {head.parity.agreement:.1%}" if head.parity else "not proved against torch"
        say(f"{head.name}: a head over {head.trunk}, {proved}")
    return say(f"{bundle} is intact")


def _prove(bundle: Path) -> dict[str, str]:
    """Prove what is not proved yet; name → why an adapter was skipped."""
    from metier.export.adapter_bundle import prove_adapters
    from metier.runtime.bundle import read_manifest

    skipped = prove_adapters(bundle)
    for head in read_manifest(bundle).heads:
        if head.parity is None:
            from metier.heads import prove_head

            prove_head(bundle, head.name)
    return {name: f"not proved against peft: {reason}" for name, reason in skipped.items()}


def _verified(
    bundle: Path, adapters: list[VerifiedAdapter], heads: list[HeadEntry], skipped: dict[str, str]
) -> dict[str, object]:
    rows = [
        {
            "name": row.name,
            "rank": row.rank,
            "bytes": row.bytes,
            "fold_error": row.fold_error,
            "parity": row.parity.model_dump() if row.parity else None,
            "skipped": skipped.get(row.name),
        }
        for row in adapters
    ]
    proofs = [{"name": head.name, "parity": head.parity.model_dump() if head.parity else None} for head in heads]
    return {"bundle": str(bundle), "intact": True, "adapters": rows, "heads": proofs}
