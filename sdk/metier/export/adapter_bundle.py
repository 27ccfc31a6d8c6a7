"""Base → bundle with LoRA slots: one graph that takes every fine-tune of the base, each proved against peft."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from metier.bases.checksum import entries_of
from metier.bases.finetune import check_is_lora
from metier.bases.progress import Progress, silent
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import check_fits, load_torch, with_lora
from metier.contracts import BaseError, FineTune, FineTuneCard, Manifest, Sample, UsageError
from metier.contracts.bundle import MANIFEST, Parity, Precision, Target
from metier.decoding.lora import lay_out, read_folder
from metier.decoding.tokenizer import ChatTokenizer
from metier.disk import atomic_folder, scratch_folder
from metier.export.bundle_edit import edited, install, write_manifest
from metier.export.bundle_steps import GraphSource, library_versions, write_graph
from metier.export.entry_names import names_of
from metier.export.lora_slots import add_slots, linear_shapes, write_inputs_variant
from metier.export.parity import Texts, prove
from metier.export.precision import PRECISIONS, check_target, default_precision
from metier.export.proof_samples import calibration_of, golden_of, proof_of, texts_of
from metier.runtime.bundle import Bundle, open_bundle

STAGES = 7

PROOF_TEXT = "A short text to compare two models on: twelve words of plain English, then 3 numbers."
"""Proves an adapter in a bundle without frozen prompts; logits can be compared on any text."""


def export_slots(
    finetunes: Sequence[FineTune],
    out: str | Path,
    *,
    names: Sequence[str] = (),
    precision: Precision | None = None,
    target: Target = "cpu",
    base: LocalBase | None = None,
    inputs_variant: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write a bundle whose graph has a LoRA slot for every projection, with these fine-tunes as adapters.

    Further ones are added in seconds, without torch: `metier.export.bundle_edit.add_adapter`.

    Args:
        finetunes: at least one, all of one base; their samples calibrate the 4-bit weights and prove the graph.
        out: folder to write; a bundle that is there is replaced once the new one is complete.
        names: of the adapters; None given takes the fine-tunes' own.
        precision: of the weights, as `export` takes it. Slots are fp32, or fp16 in a graph that computes so.
        target: cpu, or cuda, which can be built on a machine without CUDA.
        base: what they were trained on; None resolves the first card's.
        inputs_variant: write model_inputs.onnx as well, whose slots are plain inputs (for onnxruntime-web).
        progress: called with (stage, done, total).

    Raises:
        ExportError: parity is missed by the base or an adapter, or the graph has no place for a slot.
        UsageError: as `export`; or a fine-tune is of another base, or cannot be a slot.
    """
    check_target(precision, target)
    if not finetunes:
        raise UsageError("there is no fine-tune", remedy="give at least one, to calibrate and prove the base with")
    report = progress or silent
    proofs = [proof_of(finetune, None) for finetune in finetunes]
    report("load the base", 0, STAGES)
    card = finetunes[0].card.base
    base = base or resolve(card.id, revision=card.revision)
    for finetune in finetunes:
        check_fits(base, finetune)
        check_is_lora(finetune)
    source = _source(finetunes, proofs, base, precision or default_precision(base.card, target), target)
    with atomic_folder(Path(out), "a bundle", MANIFEST) as part, scratch_folder(Path(out)) as scratch:
        graph = write_graph(source, part, scratch, report, STAGES)
        report("place the slots", 3, STAGES)
        slots = add_slots(part / graph.file, linear_shapes(scratch))
        if inputs_variant:
            write_inputs_variant(part / graph.file, slots)
        report("prove parity with torch", 4, STAGES)
        manifest = Manifest(
            name=base.card.id.rstrip("/").split("/")[-1],
            created=datetime.now(UTC),
            base=card,
            licence=card.licence,
            precision=source.precision.name,
            target=target,
            tasks=(),
            graph=graph,
            slots=slots,
            parity=prove(source.model, part, graph, source.texts, source.precision.tolerance, slots=slots),
            versions=library_versions(),
            files=entries_of(part),
        )
        for finetune, proof, name in zip(finetunes, proofs, names or names_of(finetunes), strict=True):
            report(f"prove {name} against peft", 5, STAGES)
            manifest = _with_adapter(part, manifest, finetune, proof, name, source)
        write_manifest(part, manifest)
        report("verify the bundle", 6, STAGES)
        open_bundle(part)
    report("done", STAGES, STAGES)
    return Bundle(Path(out), manifest, source.tokenizer)


def _source(
    finetunes: Sequence[FineTune],
    proofs: Sequence[list[Sample]],
    base: LocalBase,
    precision: Precision,
    target: Target,
) -> GraphSource:
    """The base's graph, proved on a few samples of every fine-tune and calibrated on all of their training samples."""
    tokenizer = ChatTokenizer.load(base.path)
    tasks = {task.name: task for finetune in finetunes for task in finetune.card.tasks}
    first = [sample for proof in proofs for sample in proof[: max(1, 8 // len(proofs))]]

    def calibration() -> Texts:
        samples = [s for f, proof in zip(finetunes, proofs, strict=True) for s in calibration_of(f, proof)]
        return texts_of(tokenizer, tasks, samples)

    texts = texts_of(tokenizer, tasks, first)
    return GraphSource(load_torch(base), base, tokenizer, PRECISIONS[precision], target, texts, calibration)


def _with_adapter(
    part: Path, manifest: Manifest, finetune: FineTune, proof: Sequence[Sample], name: str, source: GraphSource
) -> Manifest:
    """The manifest with a fine-tune as an adapter, proved against peft, its files and frozen prompts written."""
    tasks = {task.name: task for task in finetune.card.tasks}
    parity = _parity(part, manifest, finetune.path, source.base, texts_of(source.tokenizer, tasks, proof))
    manifest = install(part, manifest, finetune.path, name, parity=parity)
    others = tuple(golden for golden in manifest.golden if golden.task not in tasks)
    own = tuple(golden_of(source.tokenizer, tasks, sample) for sample in proof)
    return manifest.model_copy(update={"golden": (*others, *own)})


def prove_adapters(bundle: str | Path) -> dict[str, str]:
    """Prove every adapter of a bundle that is not proved yet, and record it; name → why an adapter was skipped.

    Adapters of plain PEFT are skipped where the bundle's base is not available.

    Raises:
        BaseError: the base of a fine-tune with a card is not available, or torch is not installed.
        ExportError: parity is missed; nothing is recorded for that adapter.
    """
    manifest = open_bundle(bundle).manifest
    unproved = [entry for entry in manifest.adapters if entry.parity is None]
    if not unproved:
        return {}
    try:
        base = _base_of(manifest)
    except BaseError as error:
        if any(entry.card for entry in unproved):
            raise
        return {entry.name: f"skipped, the base is not available: {error.what}" for entry in unproved}
    for entry in unproved:
        prove_adapter(bundle, entry.name, base=base)
    return {}


def prove_adapter(bundle: str | Path, name: str, *, base: LocalBase | None = None) -> Parity:
    """Prove an adapter that was added without torch against peft, on the bundle's frozen prompts, and record it.

    Args:
        bundle: folder with LoRA slots.
        name: of the adapter: a fine-tune, or plain PEFT's.
        base: the bundle's own; None resolves it.

    Raises:
        UsageError: there is no such adapter.
        BaseError: the base is not available, or has other weights than the bundle's.
        ExportError: parity is missed; nothing is recorded.
    """
    with edited(Path(bundle)) as (part, manifest):
        entry = next((entry for entry in manifest.adapters if entry.name == name), None)
        if entry is None:
            raise UsageError(f"there is no adapter {name}", where=str(bundle), remedy="see `metier bundle list`")
        base = base or _base_of(manifest)
        parity = _parity(part, manifest, part / entry.path, base, _frozen_texts(part, manifest, entry.card))
        proved = entry.model_copy(update={"parity": parity})
        adapters = tuple(proved if other.name == name else other for other in manifest.adapters)
        write_manifest(part, manifest.model_copy(update={"adapters": adapters}))
        open_bundle(part)
    return parity


def _frozen_texts(part: Path, manifest: Manifest, card: FineTuneCard | None) -> Texts:
    """Frozen prompts of the adapter's own tasks, else those of all tasks, else a packaged text."""
    tasks = {task.name for task in card.tasks} if card else set()
    own = [golden for golden in manifest.golden if golden.task in tasks]
    if prompts := own or list(manifest.golden):
        return [(golden.token_ids, ()) for golden in prompts]
    ids = ChatTokenizer.load(part).encode(PROOF_TEXT)
    return [(ids[: len(ids) // 2], ids[len(ids) // 2 :])]


def _base_of(manifest: Manifest) -> LocalBase:
    """The bundle's base in torch's form.

    Raises:
        BaseError: no source has it, or what it has are other weights.
    """
    base = resolve(manifest.base.id, revision=manifest.base.revision)
    if manifest.base.sha256 and manifest.base.sha256 != base.sha256:
        raise BaseError(
            f"{base.card.id} has other weights here ({base.sha256[:12]}…) than in the bundle "
            f"({manifest.base.sha256[:12]}…)",
            where=str(base.path),
            remedy="fetch the base that the bundle was exported from",
        )
    return base


def _parity(part: Path, manifest: Manifest, lora: Path, base: LocalBase, texts: Texts) -> Parity:
    """The graph with the LoRA in a PEFT folder bound, against peft's own model."""
    return prove(
        with_lora(load_torch(base), lora),
        part,
        manifest.decoder,
        texts,
        PRECISIONS[manifest.precision].tolerance,
        slots=manifest.slots,
        lora=lay_out(read_folder(lora), manifest.slots, str(lora)),
    )
