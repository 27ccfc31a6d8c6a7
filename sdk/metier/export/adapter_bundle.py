"""Base → bundle with LoRA slots: one graph that takes every fine-tune of the base, each proved against peft."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from metier.bases.checksum import entries_of
from metier.bases.finetune import check_is_lora, load_finetune
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import check_fits, load_adapted, load_torch
from metier.contracts import ExportError, FineTune, Manifest, TaskContract, UsageError
from metier.contracts.bundle import MANIFEST, Parity, Precision, Target
from metier.decoding.lora import lay_out, read_folder
from metier.decoding.tokenizer import ChatTokenizer
from metier.disk import scratch_beside, whole_folder
from metier.export.bundle_edit import edited, install, write_manifest
from metier.export.decoder_graph import build_graph, precision_for
from metier.export.lora_slots import add_slots, linear_shapes, write_inputs_variant
from metier.export.merged_bundle import (
    Progress,
    calibration_of,
    check_form,
    copy_tokenizer,
    golden_of,
    library_versions,
    proof_of,
    quantise_graph,
    save_model,
    texts_of,
)
from metier.export.parity import SAME_WEIGHTS, TOLERANCE, prove
from metier.runtime.bundle import Bundle, open_bundle

STAGES = 7


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
        out: folder to write; a bundle that is there is replaced once the new one is whole.
        names: of the adapters; the fine-tunes' own where not given.
        precision: of the weights, as `export` takes it. Slots are fp32, or fp16 in a graph that computes so.
        target: cpu, or cuda, which can be built on a machine without CUDA.
        base: what they were trained on; None resolves the first card's.
        inputs_variant: write model_inputs.onnx as well, whose slots are plain inputs (for onnxruntime-web).
        progress: called with (stage, done, total).

    Raises:
        ExportError: parity is missed by the base or an adapter, or the graph has no place for a slot.
        UsageError: as `export`; or a fine-tune is of another base, or cannot be a slot.
    """
    check_form(precision, target)
    if not finetunes:
        raise UsageError("there is no fine-tune", remedy="give at least one, to calibrate and prove the base with")
    say = progress or (lambda stage, done, total: None)
    proofs = [proof_of(finetune, None) for finetune in finetunes]
    card = finetunes[0].card.base
    say("load the base", 0, STAGES)
    base = base or resolve(card.id, revision=card.revision)
    for finetune in finetunes:
        check_fits(base, finetune)
        check_is_lora(finetune)
    precision = precision or precision_for(base.card, target)
    tokenizer = ChatTokenizer.load(base.path)
    tasks = {task.name: task for finetune in finetunes for task in finetune.card.tasks}
    first = [sample for proof in proofs for sample in proof[: max(1, 8 // len(proofs))]]
    texts = texts_of(tokenizer, tasks, first)
    model = load_torch(base)
    with (
        whole_folder(Path(out), "a bundle", MANIFEST) as part,
        scratch_beside(Path(out)) as whole,
    ):
        save_model(model, base, whole)
        say(f"build the {precision} graph", 1, STAGES)
        graph = build_graph(whole, part, precision, target)
        if precision == "int4":
            say("choose 4-bit codes (GPTQ)", 2, STAGES)
            samples = [s for f, proof in zip(finetunes, proofs, strict=True) for s in calibration_of(f, proof)]
            rounded = quantise_graph(model, part, graph.file, texts_of(tokenizer, tasks, samples), say)
            prove(rounded, part, graph, texts, SAME_WEIGHTS)
            del rounded
        say("place the slots", 3, STAGES)
        slots = add_slots(part / graph.file, linear_shapes(whole))
        if inputs_variant:
            write_inputs_variant(part / graph.file, slots)
        copy_tokenizer(base.path, part)
        graph = graph.model_copy(update={"eos_token_ids": tokenizer.eos_ids})
        say("prove parity with torch", 4, STAGES)
        manifest = Manifest(
            name=base.card.id.rstrip("/").split("/")[-1],
            created=datetime.now(UTC),
            base=card,
            licence=card.licence,
            precision=precision,
            target=target,
            tasks=(),
            graph=graph,
            slots=slots,
            parity=prove(model, part, graph, texts, TOLERANCE[precision], slots=slots),
            versions=library_versions(),
            files=entries_of(part),
        )
        del model
        for finetune, proof, name in zip(finetunes, proofs, names or _names(finetunes), strict=True):
            say(f"prove {name} against peft", 5, STAGES)
            own = {task.name: task for task in finetune.card.tasks}
            parity = _parity(part, manifest, finetune, base, proof_texts(tokenizer, own, finetune))
            manifest = install(part, manifest, finetune.path, name, parity=parity)
            golden = tuple(golden_of(tokenizer, own, sample) for sample in proof)
            manifest = manifest.model_copy(update={"golden": (*_of_others(manifest, own), *golden)})
        write_manifest(part, manifest)
        say("verify the bundle", 6, STAGES)
        open_bundle(part)
    say("done", STAGES, STAGES)
    return Bundle(Path(out), manifest, tokenizer)


def prove_adapter(bundle: str | Path, name: str, *, base: LocalBase | None = None) -> Parity:
    """Prove an adapter that was added without torch against peft, on the bundle's frozen prompts; record it.

    Raises:
        UsageError: there is no such adapter, or it has no card that names its base.
        ExportError: parity is missed; nothing is recorded.
    """
    with edited(Path(bundle)) as (part, manifest):
        entry = next((entry for entry in manifest.adapters if entry.name == name), None)
        if entry is None or entry.card is None:
            raise UsageError(
                f"there is no adapter {name} with a card", where=str(bundle), remedy="see `metier bundle list`"
            )
        finetune = load_finetune(part / entry.path)
        base = base or resolve(entry.card.base.id, revision=entry.card.base.revision)
        tasks = {task.name for task in entry.card.tasks}
        texts = [(golden.token_ids, ()) for golden in manifest.golden if golden.task in tasks]
        if not texts:
            raise ExportError("there is no frozen prompt to prove it on", where=str(bundle), remedy="add it again")
        parity = _parity(part, manifest, finetune, base, texts)
        proved = entry.model_copy(update={"parity": parity})
        adapters = tuple(proved if other.name == name else other for other in manifest.adapters)
        write_manifest(part, manifest.model_copy(update={"adapters": adapters}))
        open_bundle(part)
    return parity


def proof_texts(
    tokenizer: ChatTokenizer, tasks: dict[str, TaskContract], finetune: FineTune
) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Token ids of a fine-tune's packaged samples."""
    return list(texts_of(tokenizer, tasks, proof_of(finetune, None)))


def _parity(
    part: Path,
    manifest: Manifest,
    finetune: FineTune,
    base: LocalBase,
    texts: Sequence[tuple[Sequence[int], Sequence[int]]],
) -> Parity:
    """The graph with the adapter bound, against peft's model."""
    lora = lay_out(read_folder(finetune.path), manifest.slots, str(finetune.path))
    return prove(
        load_adapted(base, finetune),
        part,
        manifest.decoder,
        texts,
        TOLERANCE[manifest.precision],
        slots=manifest.slots,
        lora=lora,
    )


def _of_others(manifest: Manifest, tasks: dict[str, TaskContract]) -> tuple[object, ...]:
    return tuple(golden for golden in manifest.golden if golden.task not in tasks)


def _names(finetunes: Sequence[FineTune]) -> list[str]:
    names = [finetune.card.name.lower().replace(" ", "-") for finetune in finetunes]
    if len(set(names)) < len(names):
        raise UsageError("several fine-tunes have one name", remedy="give `names`")
    return names
