"""Fine-tunes of any method as one bundle: text as merged weights or adapters, heads beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metier.adapt.method import ExportOptions
from metier.adapt.methods import method_of
from metier.contracts import FineTune, UsageError
from metier.disk import scratch_folder
from metier.export.head_entries import join_heads
from metier.export.precision import PRECISIONS, check_target, default_precision
from metier.runtime.bundle import Bundle, open_bundle


def export_bundle(finetunes: Sequence[FineTune], out: str | Path, options: ExportOptions | None = None) -> Bundle:
    """Write one bundle of fine-tunes.

    A single text fine-tune is merged; several are adapters of one base with slots. Heads are stored beside them, with
    trunks of their own, or alone.

    Args:
        finetunes: at least one.
        out: folder to write; an earlier bundle there is replaced once the new one is complete.
        options: precision, target, slots. Without a precision, text takes the default of its base, and trunks take
            fp16; beside a base of less than 16 bits, trunks are fp16.

    Raises:
        UsageError: there is no fine-tune. Otherwise as `export`, `export_slots` and `export_heads`.
    """
    if not finetunes:
        raise UsageError("there is no fine-tune", remedy="give at least one")
    options = options or ExportOptions()
    text = [finetune for finetune in finetunes if method_of(finetune.card.recipe).generates]
    heads = [finetune for finetune in finetunes if finetune not in text]
    if not text or not heads:
        return method_of(finetunes[0].card.recipe).export(finetunes, Path(out), options)
    precision = options.precision or default_precision(text[0].card.base, options.target)
    check_target(precision, options.target)
    path = Path(out).expanduser().absolute()
    trunks = PRECISIONS[precision].trunk
    beside = replace(options, precision=trunks, slots=False, inputs_variant=False)
    with scratch_folder(path) as scratch:
        # Heads come first, so that one that cannot be proved leaves the folder as it was.
        method_of(heads[0].card.recipe).export(heads, scratch / "heads", beside)
        method_of(text[0].card.recipe).export(text, path, replace(options, precision=precision))
        join_heads(path, scratch / "heads")
    return open_bundle(path)
