"""Heads of fine-tunes → bundle: a trunk that several may share, a small graph each, both proved against torch."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from metier.bases.checksum import entries_of
from metier.bases.progress import Progress
from metier.bases.resolve import LocalBase
from metier.contracts import ExportError, FineTune, Manifest, Sample, UsageError
from metier.contracts.bundle import MANIFEST, Precision, Target
from metier.contracts.finetune import HEAD
from metier.contracts.heads import HEAD_FILE, TRUNK_FILE, HeadEntry, HeadParity, TrunkEntry
from metier.decoding.adapter_store import check_name
from metier.disk import atomic_folder
from metier.export.bundle_edit import edited, write_manifest
from metier.export.bundle_steps import library_versions
from metier.export.entry_names import names_of
from metier.export.head_entries import FOLDER, TRUNKS, golden_of, write_head_files
from metier.export.proof_samples import samples_of
from metier.heads.head_graphs import write_head, write_trunk
from metier.heads.head_model import HeadModel, load_head
from metier.runtime.bundle import Bundle, open_bundle, rows_of
from metier.runtime.head_set import HeadSet

TOLERANCE: dict[str, dict[str, float]] = {
    # fp32: only the order of additions differs. Cosines, times a sharpness of some 20.
    "fp32": {"max_abs": 1e-2, "agreement": 1.0},
    # fp16: weights are rounded to 11 bits.
    "fp16": {"max_abs": 0.25, "agreement": 0.98},
}
"""Bounds of a head's logits by the precision of its trunk: `max_abs` from above, `agreement` from below. A wrong
weight, mask or pooling misses them by an order of magnitude."""

PROOF = 64
"""Samples that parity is proved on, at most."""


def export_heads(
    finetunes: Sequence[FineTune],
    out: str | Path,
    *,
    names: Sequence[str] = (),
    precision: Precision = "fp16",
    target: Target = "cpu",
    base: LocalBase | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Write a bundle of heads, and open it. Those on an untouched base share one trunk; a head that was trained
    together with its base brings that base.

    Args:
        finetunes: at least one, each of a recipe that produces a head.
        out: folder to write; a bundle that is there is replaced once the new one is complete.
        names: of the heads; the fine-tunes' own where not given.
        precision: of the trunks' weights on disk; they compute in fp32.
        target: which device `auto` shall take.
        base: what all of them were trained on; None resolves each card's.
        progress: called with (stage, done, total).

    Raises:
        ExportError: parity is missed, or there is no sample to prove it on. UsageError: no fine-tunes, two of one name,
            or of weights that are not the base's. In all cases nothing was written.
    """
    if precision not in TOLERANCE:
        raise UsageError(
            f"a trunk is not stored in {precision}: heads read hidden states, which 4-bit weights change too much",
            remedy="precision: fp16 or fp32",
        )
    if not finetunes:
        raise UsageError("there is no fine-tune", remedy="give at least one whose recipe produces a head")
    report = progress or (lambda stage, done, total: None)
    stages = 2 * len(finetunes) + 1
    with atomic_folder(Path(out), "a bundle", MANIFEST) as part:
        head_model = [load_head(finetune.path, base=base) for finetune in finetunes]
        if not names:
            names = names_of(finetunes)
            for name in names:
                check_name(name)
        entries = [_entry(*each) for each in zip(head_model, finetunes, names, strict=True)]
        trunks: dict[str, TrunkEntry] = {}
        for own, finetune, entry in zip(head_model, finetunes, entries, strict=True):
            if entry.trunk not in trunks:
                report(f"write the trunk {entry.trunk}", len(trunks), stages)
                layers = sorted({layer for other in entries if other.trunk == entry.trunk for layer in other.layers})
                trunks[entry.trunk] = _write_trunk(part, own, entry, layers, precision)
            with tempfile.TemporaryDirectory(dir=part) as scratch:
                write_head(own.head, Path(scratch) / HEAD_FILE)
                write_head_files(part, entry, Path(scratch) / HEAD_FILE, finetune)
        manifest = Manifest(
            name=entries[0].card.name,
            created=datetime.now(UTC),
            base=entries[0].card.base,
            licence=entries[0].card.base.licence,
            precision=precision,
            target=target,
            tasks=(),
            trunks=tuple(trunks.values()),
            heads=tuple(entries),
            versions=library_versions(),
            files=entries_of(part),
        )
        heads = HeadSet(Bundle(part, manifest, None, rows_of(part, manifest)), "cpu")
        proved: list[HeadEntry] = []
        for own, finetune, entry in zip(head_model, finetunes, entries, strict=True):
            report(f"prove {entry.name} against torch", len(trunks) + len(proved), stages)
            proved.append(prove(heads, entry, own, proof_of_head(finetune), TOLERANCE[precision]))
        write_manifest(part, manifest.model_copy(update={"heads": tuple(proved)}))
        report("verify the bundle", stages - 1, stages)
        bundle = open_bundle(part)
    report("done", stages, stages)
    return replace(bundle, path=Path(out))


def prove_head(bundle: str | Path, name: str, *, base: LocalBase | None = None) -> HeadParity:
    """Prove a head that was added without torch against torch, on its packaged inputs; record the parity.

    Raises:
        UsageError: there is no such head, or its tensors are not in the bundle. ExportError: parity is missed.
    """
    with edited(Path(bundle)) as (part, manifest):
        entry = next((entry for entry in manifest.heads if entry.name == name), None)
        if entry is None or not (part / entry.path / HEAD).is_file():
            raise UsageError(f"there is no head {name} to prove", where=str(bundle), remedy="see `metier bundle list`")
        trunk = next(trunk for trunk in manifest.trunks if trunk.name == entry.trunk)
        task = entry.card.tasks[0].name
        samples = [Sample(task=task, input=g.input, language=g.language, output=g.output) for g in entry.golden]
        heads = HeadSet(Bundle(part, manifest, None, rows_of(part, manifest)), "cpu")
        proved = prove(heads, entry, load_head(part / entry.path, base=base), samples, TOLERANCE[trunk.precision])
        others = tuple(proved if other.name == name else other for other in manifest.heads)
        write_manifest(part, manifest.model_copy(update={"heads": others}))
        open_bundle(part)
    assert proved.parity is not None
    return proved.parity


def prove(
    heads: HeadSet, entry: HeadEntry, head_model: HeadModel, samples: Sequence[Sample], bounds: dict[str, float]
) -> HeadEntry:
    """A head's entry with its parity, and a few inputs with their tokens and outputs.

    Args:
        heads: of the bundle that is being written.
        entry: its entry there.
        head_model: the same in torch.
        samples: real ones of its task.
        bounds: of `TOLERANCE`.

    Raises:
        ExportError: a bound is missed.
    """
    head = heads[entry.name]
    scored = head.scores([head.item(sample.input, sample.language) for sample in samples])
    largest, agreed, things = 0.0, 0, 0
    for sample, found in zip(samples, scored, strict=True):
        if not len(found.logits):
            continue
        with head_model.evaluating():
            expected = head_model.head(head_model.features([head_model.input_item(sample)])).cpu().numpy()
        largest = max(largest, float(np.abs(expected - found.logits).max()))
        agreed += int((expected.argmax(-1) == found.logits.argmax(-1)).sum())
        things += len(expected)
    agreement = agreed / things if things else 0.0
    parity = HeadParity(samples=len(samples), things=things, max_abs=largest, agreement=agreement, tolerance=bounds)
    if missed := misses(parity):
        raise ExportError(
            f"the head {entry.name} differs too much from torch over {things} labelled things: {'; '.join(missed)}",
            remedy="export at fp32; if that fails too, report the architecture",
        )
    return entry.model_copy(update={"parity": parity, "golden": golden_of(heads, entry, samples)})


def proof_of_head(finetune: FineTune) -> list[Sample]:
    """Held-out samples of a fine-tune, else those it was trained on.

    Raises:
        ExportError: there are none.
    """
    found = samples_of(finetune, "held_out") or samples_of(finetune, "train")
    if not found:
        raise ExportError(
            "there is no sample to prove the head on",
            where=str(finetune.path),
            remedy="keep held_out.jsonl or train.jsonl beside it, as `metier adapt` wrote them",
        )
    return found[:PROOF]


def misses(parity: HeadParity) -> list[str]:
    """Each bound that is missed, in words."""
    bounds_met = {
        "max_abs": parity.max_abs <= parity.tolerance["max_abs"],
        "agreement": parity.agreement >= parity.tolerance["agreement"],
    }
    return [
        f"{name} is {getattr(parity, name):.4g}, the bound is {parity.tolerance[name]:g}"
        for name, fine in bounds_met.items()
        if not fine
    ]


def _entry(head_model: HeadModel, finetune: FineTune, name: str) -> HeadEntry:
    base = re.sub(r"[^a-z0-9_.-]+", "-", finetune.card.base.id.rstrip("/").split("/")[-1].lower()).strip("-._")
    frozen = head_model.recipe.method == "features"
    # The hash of the weights distinguishes two bases of one name.
    digest = (finetune.card.base.sha256 or "0" * 8)[:8]
    return HeadEntry(
        name=name,
        path=f"{FOLDER}/{name}",
        trunk=f"{base}-{digest}" if frozen else name,
        layers=head_model.trunk.read,
        card=finetune.card,
    )


def _write_trunk(
    part: Path, head_model: HeadModel, entry: HeadEntry, layers: Sequence[int], precision: Precision
) -> TrunkEntry:
    folder = part / TRUNKS / entry.trunk
    folder.mkdir(parents=True)
    write_trunk(head_model.trunk, layers, folder / TRUNK_FILE, halve=precision == "fp16")
    shutil.copyfile(head_model.base.path / "tokenizer.json", folder / "tokenizer.json")
    return TrunkEntry(
        name=entry.trunk,
        path=f"{TRUNKS}/{entry.trunk}",
        base=entry.card.base,
        trained=None if head_model.recipe.method == "features" else entry.card.weights_sha256,
        precision="fp32" if precision == "fp32" else "fp16",
        count=head_model.trunk.count,
        layers=tuple(layers),
        width=head_model.trunk.width,
    )
