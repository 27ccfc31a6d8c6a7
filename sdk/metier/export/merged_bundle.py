"""FineTune → bundle: merge the LoRA, build the graph, prove it against torch, freeze the prompts, write all at once."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, get_args

from metier.bases.checksum import entries_of
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import load_adapted
from metier.contracts import ExportError, FineTune, Manifest, Sample, TaskContract, UsageError
from metier.contracts.bundle import MANIFEST, Golden, Precision, Target
from metier.data.samples_file import samples_in
from metier.data.training import packaged
from metier.decoding.tokenizer import ChatTokenizer
from metier.disk import scratch_beside, whole_folder
from metier.export.decoder_graph import build_graph, precision_for, silence
from metier.export.gptq import quantise
from metier.export.int4_weights import replace_weights
from metier.export.parity import SAME_WEIGHTS, TOLERANCE, Texts, prove
from metier.plugins.registry import load_plugins
from metier.prompting.prompt import prompt_ids
from metier.prompting.reply import encode_reply
from metier.runtime.bundle import Bundle, open_bundle

Progress = Callable[[str, int, int | None], None]
"""(stage in words, done, total), as in bases."""

PROOF = 8
"""Samples that parity is proved on, and whose prompts are frozen: some 300 reply tokens, a few seconds."""

CALIBRATION = 256
"""Training samples that 4-bit codes are calibrated on, at most. E2E, 240 samples, torch's fine-tune at BLEU 63.0: codes
from 64 samples gave 58.7, from all 240 63.5, for 40 s and about 100 s of export on two cores."""

STAGES = 6

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
VERSIONS = ("metier", "onnxruntime-genai-cuda", "onnxruntime-genai", "torch", "transformers", "peft", "tokenizers")


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
        out: folder to write; a bundle that is there is replaced once the new one is whole.
        precision: fp32, fp16, int8 or int4 weights; None takes `precision_for` the base and the target.
        target: cpu, or cuda, which can be built on a machine without CUDA.
        base: what it was trained on; None resolves the card's.
        samples: packaged with the bundle: parity is proved on them and their prompts are frozen. None takes
            eight held-out samples that the fine-tune's folder kept, or that its trade packages, its tasks taking turns.
        progress: called with (stage, done, total).

    Raises:
        ExportError: parity is missed, there is no sample to prove it on, or the graph cannot be built.
        UsageError: unknown precision or target, base of other weights, or `out` is no bundle.
        ResourceError: memory or disk is full. In all cases nothing was written.
    """
    check_form(precision, target)
    say = progress or (lambda stage, done, total: None)
    proof = proof_of(finetune, samples)
    say("merge the LoRA", 0, STAGES)
    base = base or resolve(finetune.card.base.id, revision=finetune.card.base.revision)
    precision = precision or precision_for(base.card, target)
    tokenizer = ChatTokenizer.load(base.path)
    tasks = {task.name: task for task in finetune.card.tasks}
    texts = texts_of(tokenizer, tasks, proof)
    model = load_adapted(base, finetune, merge=True)
    with (
        whole_folder(Path(out), "a bundle", MANIFEST) as part,
        scratch_beside(Path(out)) as merged,
    ):
        save_model(model, base, merged)
        say(f"build the {precision} graph", 1, STAGES)
        graph = build_graph(merged, part, precision, target)
        if precision == "int4":
            say("choose 4-bit codes (GPTQ)", 2, STAGES)
            rounded = quantise_graph(
                model, part, graph.file, texts_of(tokenizer, tasks, calibration_of(finetune, proof)), say
            )
            prove(rounded, part, graph, texts, SAME_WEIGHTS)
            del rounded
        copy_tokenizer(base.path, part)
        graph = graph.model_copy(update={"eos_token_ids": tokenizer.eos_ids})
        say("prove parity with torch", 3, STAGES)
        parity = prove(model, part, graph, texts, TOLERANCE[precision])
        say("compute checksums", 4, STAGES)
        manifest = Manifest(
            name=finetune.card.name,
            created=datetime.now(UTC),
            base=finetune.card.base,
            licence=finetune.card.base.licence,
            precision=precision,
            target=target,
            tasks=finetune.card.tasks,
            card=finetune.card,
            graph=graph,
            golden=tuple(golden_of(tokenizer, tasks, sample) for sample in proof),
            parity=parity,
            metrics=finetune.card.metrics,
            versions=library_versions(),
            files=entries_of(part),
        )
        (part / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
        say("verify the bundle", 5, STAGES)
        open_bundle(part)
    say("done", 6, STAGES)
    return Bundle(Path(out), manifest, tokenizer)


def check_form(precision: str | None, target: str) -> None:
    """Raise UsageError where there is no such precision or target, or not the two together."""
    for name, value, known in (("precision", precision, get_args(Precision)), ("target", target, get_args(Target))):
        if value is not None and value not in known:
            raise UsageError(f"there is no {name} {value}", remedy=f"{name}: {', '.join(known)}")
    if (precision, target) == ("fp32", "cuda"):
        raise UsageError(
            "there is no fp32 bundle for cuda: ONNX Runtime's CUDA attention over shared KV computes in 16 bits",
            remedy="export fp16, int8 or int4 for cuda, or fp32 for cpu",
        )


def proof_of(finetune: FineTune, samples: Sequence[Sample] | None) -> list[Sample]:
    """The samples to package: those given, else held-out ones, or those that were learnt where none were held out; the
    tasks taking turns."""
    found = list(samples) if samples is not None else samples_of(finetune, "held_out") or samples_of(finetune, "train")
    of_task = [[sample for sample in found if sample.task == task.name] for task in finetune.card.tasks]
    found = [sample for turn in zip_longest(*of_task) for sample in turn if sample][:PROOF]
    if not found:
        raise ExportError(
            "there is no sample to prove the graph on",
            where=str(finetune.path),
            remedy=f"pass a few samples of {', '.join(task.name for task in finetune.card.tasks)}",
        )
    return found


def calibration_of(finetune: FineTune, proof: list[Sample]) -> list[Sample]:
    """Training samples, so that parity is proved on others than those that the codes were fitted to."""
    names = {task.name for task in finetune.card.tasks}
    samples = [sample for sample in samples_of(finetune, "train") if sample.task in names]
    return samples[:: max(1, len(samples) // CALIBRATION)][:CALIBRATION] or proof


def samples_of(finetune: FineTune, part: Literal["train", "held_out"]) -> list[Sample]:
    """What the fine-tune's folder kept of its samples; one that a plugin ships keeps none, and its trade has them."""
    if found := samples_in(finetune.path / f"{part}.jsonl"):
        return found
    verticals = load_plugins().verticals
    return [
        sample
        for task in finetune.card.tasks
        if (vertical := verticals.get(task.vertical)) is not None and task.name in vertical.samples
        for sample in packaged(vertical, vertical.task(task.name), part)
    ]


def quantise_graph(model: Any, folder: Path, file: str, texts: Texts, say: Progress) -> Any:
    """Replace the builder's 4-bit rounding; a copy of `model` that computes with the same 4-bit weights."""
    rounded = copy.deepcopy(model)
    whole = [[*prompt, *reply] for prompt, reply in texts]
    codes = quantise(rounded, whole, lambda done, total: say("4-bit codes", done, total))
    if kept := replace_weights(folder, file, codes):
        raise ExportError(f"no module was found for the graph's {', '.join(kept[:3])}", remedy="export fp16 or fp32")
    return rounded


def texts_of(tokenizer: ChatTokenizer, tasks: dict[str, TaskContract], samples: Sequence[Sample]) -> Texts:
    """Prompt and reply ids of samples."""
    return [
        (
            prompt_ids(tokenizer, tasks[s.task], s.input, language=s.language),
            tokenizer.encode(encode_reply(tasks[s.task], s.output)),
        )
        for s in samples
    ]


def golden_of(tokenizer: ChatTokenizer, tasks: dict[str, TaskContract], sample: Sample) -> Golden:
    """A sample's prompt, frozen."""
    ids = prompt_ids(tokenizer, tasks[sample.task], sample.input, language=sample.language)
    return Golden(task=sample.task, input=sample.input, language=sample.language, token_ids=tuple(ids))


def save_model(model: Any, base: LocalBase, folder: Path) -> None:
    """The merged model as a Hugging Face folder: the form that the builder reads."""
    with silence():
        model.save_pretrained(folder)
    for file in base.path.iterdir():
        if (
            file.is_file()
            and file.suffix in {".json", ".jinja", ".model", ".txt"}
            and not (folder / file.name).exists()
        ):
            shutil.copy2(file, folder / file.name)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config.pop("quantization_config", None) is not None:
        (folder / "config.json").write_text(json.dumps(config), "utf-8")


def copy_tokenizer(source: Path, part: Path) -> None:
    """The base's own tokenizer files, byte for byte: what training used is what the product ships."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, part / name)


def library_versions() -> dict[str, str]:
    """Versions of what makes bundles, of what is installed."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
