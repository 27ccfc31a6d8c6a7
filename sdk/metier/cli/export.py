"""`metier export`: a fine-tune becomes the folder that a product ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metier.contracts import FineTune, UsageError
from metier.contracts.bundle import Manifest, Target
from metier.terminal.options import BaseName, Json, PrecisionOption
from metier.terminal.progress import progress
from metier.terminal.screen import emit_json, say


def export(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…",
            help="Folder that `metier adapt` wrote; a trade, for its packaged fine-tunes; with --base and --task, a "
            "folder that PEFT saved.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="BUNDLE", help="Folder of the bundle.")],
    precision: PrecisionOption = None,
    target: Annotated[Target, typer.Option(help="What it will run on; cuda can be built without a GPU.")] = "cpu",
    slots: Annotated[
        bool,
        typer.Option("--slots", help="Keep RUN an adapter beside the base, as for several; `bundle add` adds more."),
    ] = False,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="With --slots: also a variant with plain inputs, for onnxruntime-web.")
    ] = False,
    documents: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Markdown and HTML that ship in it, for a task that answers from passages."
        ),
    ] = None,
    base: BaseName = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="TASK", help="Task that a PEFT folder was trained for; may be given again."),
    ] = None,
    json: Json = False,
) -> None:
    """Export a fine-tune as an ONNX bundle. Nothing is written unless its parity with torch is proved."""
    from metier.adapt import ExportOptions, export_bundle
    from metier.export.documents import add_documents, check_documents
    from metier.runtime.bundle import read_manifest

    finetunes = [finetune for run in runs for finetune in _fine_tunes(run, base, task or [])]
    if documents is not None:
        check_documents(documents, [task for finetune in finetunes for task in finetune.card.tasks])
    with progress(json) as tick:
        options = ExportOptions(precision, target, slots=slots, inputs_variant=inputs, progress=tick)
        bundle = export_bundle(finetunes, out, options)
    passages = add_documents(out, documents) if documents is not None else 0
    if json:
        return emit_json(read_manifest(out))
    size = sum(entry.size for entry in bundle.manifest.files.values())
    say(f"{bundle.path}: {bundle.manifest.precision}, {size / 1e6:.0f} MB{_proved(bundle.manifest)}")
    if documents is not None:
        say(f"{passages} passages of {documents}")
    return say(f"next: metier run {out} --input-text '…'")


def _proved(manifest: Manifest) -> str:
    """How close the graphs are to torch, in words."""
    text = ""
    if manifest.parity is not None:
        text += f", the same most likely token as torch at {manifest.parity.top1_agreement:.1%} of positions"
    proofs = [head.parity for head in manifest.heads if head.parity is not None]
    if things := sum(proof.things for proof in proofs):
        agreed = sum(proof.things * proof.agreement for proof in proofs) / things
        text += f", heads give the same label as torch at {agreed:.1%} of {things} places"
    return text


def _fine_tunes(run: str, base: str | None, tasks: list[str]) -> list[FineTune]:
    """The fine-tune in a folder, or those that an installed trade of that name ships."""
    from metier.export.peft_folder import is_peft_folder

    if is_peft_folder(Path(run)):
        return [_peft_fine_tune(Path(run), base, tasks)]
    from metier.bases import load_finetune
    from metier.plugins import load_plugins

    vertical = None if Path(run).exists() else load_plugins().verticals.get(run)
    if vertical is None:
        return [load_finetune(run, produces=None)]
    if not vertical.fine_tunes:
        raise UsageError(f"{run} ships no fine-tune", remedy=f"metier adapt {run} --out runs/{run}, then export that")
    return [load_finetune(finetune.path, produces=None) for finetune in vertical.fine_tunes]


def _peft_fine_tune(folder: Path, base: str | None, tasks: list[str]) -> FineTune:
    """A folder that PEFT saved, as a fine-tune of the base and tasks that the options name."""
    from metier.bases import resolve
    from metier.export.peft_folder import read_peft
    from metier.plugins import load_plugins

    if base is None or not tasks:
        raise UsageError(
            "PEFT saved this adapter, and there is no card.json that names its base and task",
            where=str(folder),
            remedy="name them: --base BASE --task TASK",
        )
    registry = load_plugins()
    local = resolve(base, sources=tuple(registry.base_sources.values()))
    return read_peft(folder, local, [registry.task(name)[1] for name in tasks])
