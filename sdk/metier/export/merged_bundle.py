"""FineTune → bundle with the LoRA merged into the weights, proved against torch and written atomically."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from metier.bases.checksum import entries_of
from metier.bases.progress import Progress, silent
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import load_adapted
from metier.contracts import FineTune, Manifest, Sample
from metier.contracts.bundle import MANIFEST, Precision, Target
from metier.decoding.tokenizer import ChatTokenizer
from metier.disk import atomic_folder, scratch_folder
from metier.export.bundle_edit import write_manifest
from metier.export.bundle_steps import GraphSource, library_versions, write_graph
from metier.export.parity import prove
from metier.export.precision import PRECISIONS, check_target, default_precision
from metier.export.proof_samples import calibration_of, golden_of, proof_of, texts_of
from metier.runtime.bundle import Bundle, open_bundle

STAGES = 6


def export(
    finetune: FineTune,
    out: str | Path,
    *,
    precision: Precision | None = None,
    target: Target = "cpu",
    base: LocalBase | None = None,
    samples: Sequence[Sample] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Write a bundle with the fine-tune's LoRA merged into the weights, and open it.

    Args:
        finetune: from `load_finetune`.
        out: folder to write; a bundle that is there is replaced once the new one is complete.
        precision: fp32, fp16, int8 or int4 weights; None takes `default_precision` of base and target.
        target: cpu, or cuda, which can be built on a machine without CUDA.
        base: what it was trained on; None resolves the card's.
        samples: packaged with the bundle: parity is proved on them and their prompts are frozen. None takes eight
            held-out samples of the fine-tune's folder, or of its trade, its tasks taking turns.
        progress: called with (stage, done, total).

    Raises:
        ExportError: parity is missed, there is no sample to prove it on, or the graph cannot be built.
        UsageError: unknown precision or target, base of other weights, or `out` is no bundle.
        ResourceError: memory or disk is full. In all cases nothing was written.
    """
    check_target(precision, target)
    report = progress or silent
    proof = proof_of(finetune, samples)
    report("merge the LoRA", 0, STAGES)
    card = finetune.card
    base = base or resolve(card.base.id, revision=card.base.revision)
    entry = PRECISIONS[precision or default_precision(base.card, target)]
    tokenizer = ChatTokenizer.load(base.path)
    tasks = {task.name: task for task in card.tasks}
    texts = texts_of(tokenizer, tasks, proof)
    model = load_adapted(base, finetune, merge=True)
    source = GraphSource(
        model, base, tokenizer, entry, target, texts,
        calibration=lambda: texts_of(tokenizer, tasks, calibration_of(finetune, proof)),
    )  # fmt: skip
    with atomic_folder(Path(out), "a bundle", MANIFEST) as part, scratch_folder(Path(out)) as merged:
        graph = write_graph(source, part, merged, report, STAGES)
        report("prove parity with torch", 3, STAGES)
        parity = prove(model, part, graph, texts, entry.tolerance)
        report("compute checksums", 4, STAGES)
        manifest = Manifest(
            name=card.name,
            created=datetime.now(UTC),
            base=card.base,
            licence=card.base.licence,
            precision=entry.name,
            target=target,
            tasks=card.tasks,
            card=card,
            graph=graph,
            golden=tuple(golden_of(tokenizer, tasks, sample) for sample in proof),
            parity=parity,
            metrics=card.metrics,
            versions=library_versions(),
            files=entries_of(part),
        )
        write_manifest(part, manifest)
        report("verify the bundle", 5, STAGES)
        open_bundle(part)
    report("done", 6, STAGES)
    return Bundle(Path(out), manifest, tokenizer)
