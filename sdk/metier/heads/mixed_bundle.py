"""Fine-tunes of either way → one bundle: those that write as merged weights or adapters, heads beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.bases.progress import Progress
from metier.contracts import FineTune
from metier.contracts.bundle import Precision, Target
from metier.disk import scratch_folder
from metier.export.adapter_bundle import export_slots
from metier.export.head_entries import join_heads
from metier.export.merged_bundle import export
from metier.export.precision import PRECISIONS, check_target, default_precision
from metier.heads.export_heads import export_heads
from metier.runtime.bundle import Bundle, open_bundle


def export_together(
    finetunes: Sequence[FineTune],
    out: str | Path,
    *,
    precision: Precision | None = None,
    target: Target = "cpu",
    slots: bool = False,
    inputs_variant: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write one bundle of any fine-tunes: a single one that writes is merged, several are adapters of one base with
    slots, heads stand beside them with trunks of their own, or alone.

    Args:
        finetunes: at least one.
        out: folder to write; a bundle that is there is replaced once the new one is whole.
        precision: of the weights; None is `default_precision` a base that writes, and fp16 for trunks. Beside a base of
            less than 16 bits, trunks are fp16.
        target: cpu or cuda.
        slots: give a single fine-tune that writes as an adapter as well.
        inputs_variant: as `export_slots`.
        progress: called with (stage, done, total).

    Raises:
        as `export`, `export_slots` and `export_heads`.
    """
    heads = [finetune for finetune in finetunes if finetune.card.recipe.produces == "head"]
    writing = [finetune for finetune in finetunes if finetune.card.recipe.produces == "text"]
    if heads and not writing:
        return export_heads(heads, out, precision=precision or "fp16", target=target, progress=progress)
    wanted: Precision = precision or default_precision(writing[0].card.base, target)
    check_target(wanted, target)
    path = Path(out).expanduser().absolute()
    with scratch_folder(path) as scratch:
        beside = scratch / "heads"
        if heads:  # first, so that a head that cannot be proved leaves what was there before
            export_heads(heads, beside, precision=PRECISIONS[wanted].trunk, target=target, progress=progress)
        if slots or len(writing) > 1:
            export_slots(
                writing, path, precision=wanted, target=target, inputs_variant=inputs_variant, progress=progress
            )
        else:
            export(writing[0], path, precision=wanted, target=target, progress=progress)
        if heads:
            join_heads(path, beside)
    return open_bundle(path)
