"""The evaluation itself: base bare and with worked samples against the fine-tune, whether that writes or is a head, on
the same held-out inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from metier.bases.resolve import LocalBase
from metier.contracts import (
    Check,
    FineTune,
    FineTuneCard,
    Sample,
    TaskContract,
    UsageError,
    samples_sha256,
)
from metier.decoding.tokenizer import ChatTokenizer
from metier.evaluate.figures import measured, reference_answers
from metier.evaluate.forgetting import Likelihood, forgetting, likelihoods
from metier.evaluate.prompt_sets import prompts_of
from metier.evaluate.systems import (
    Answers,
    Predict,
    Progress,
    ask_bundle,
    ask_head,
    ask_torch,
    most_frequent,
)
from metier.evaluate.training_log import read_training_log
from metier.metrics.bootstrap import resample_weights
from metier.metrics.cases import Case, cases_of
from metier.metrics.results import (
    BASE_FEW_SHOT,
    BASE_ZERO_SHOT,
    BUNDLE,
    FINE_TUNE,
    Evaluation,
    Row,
    TrainingLog,
)
from metier.metrics.selection import choose_measures
from metier.plugins.metric import Metric
from metier.runtime.bundle import Bundle, open_bundle

FP32_UP_TO = 1_000_000_000
"""Parameters up to which weights are loaded, and LoRA folded in, in fp32 before they are rounded."""


def evaluate(
    task: TaskContract,
    samples: Sequence[Sample],
    *,
    base: LocalBase,
    finetune: FineTune | None = None,
    head: Callable[[], Predict] | None = None,
    bundle: Path | None = None,
    few_shot: int = 4,
    train: Sequence[Sample] = (),
    metrics: Sequence[str | Metric] = (),
    checks: Sequence[Check] = (),
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    device: str = "auto",
    max_tokens: int | None = None,
    general: bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask base and fine-tune for the same held-out inputs, and measure the answers.

    Decoding is greedy, and under the contract's grammar where it has one. Without a fine-tune only the base is asked. A
    base that cannot be prompted, an encoder, or under a head a decoder without a chat template, is not asked itself:
    the most frequent label stands in its place. Forgetting is not measured of a head: it leaves its base as it is, or
    takes a copy along that writes nothing.

    Args:
        task: the contract.
        samples: held-out samples; several outputs of one input are its references.
        base: the base on disk.
        finetune: of that base.
        head: opens the fine-tune's head, where its recipe says produces: head; heads live in a room above this one:
            `lambda: metier.heads.load_head(run, base=base).predict`.
        bundle: an exported bundle of the same task, asked through the runtime: by the LoRA or head that is the
            fine-tune, where it has that.
        few_shot: worked samples in the few-shot prompt; 0 leaves that system out.
        train: where worked samples are taken from. Other tasks' are passed over, and those that are held out.
        metrics: names, or a plugin's metric objects; empty takes the contract's, else the kind's own.
        checks: the trade's checks for this task.
        seed: of worked samples and resampling.
        resamples: of the bootstrap.
        confidence: of the intervals.
        precision: of torch decoding; `auto` takes bf16 where the hardware multiplies it natively.
        device: `auto`, `cpu` or `cuda`.
        max_tokens: longest reply; None takes the contract's.
        general: measure forgetting on the packaged general text.
        progress: called as `progress(what, done, total)`.

    Raises:
        UsageError: no samples, an unknown metric, a fine-tune of another base, a bundle without this task, or nobody
            who could answer.
        BundleError: the bundle is damaged.
        ContractError: a sample does not satisfy the contract, or a prompt does not fit the base's context.
        DeviceError: the device asked for is not active.
    """
    from metier.bases.hardware import choose_device, choose_dtype, free_memory
    from metier.bases.torch_model import check_fits, load_adapted, load_torch

    begun = time.perf_counter()
    told: Progress = progress or (lambda *_, **__: None)
    cases = cases_of(task, samples)
    measures = choose_measures(task, wanted=metrics, checks=checks)
    limit = max_tokens or task.max_reply_tokens
    writing = finetune if finetune is not None and finetune.card.recipe.produces == "text" else None
    prompts = None
    if base.card.writes and (base.card.chat_template or finetune is None or writing is not None):
        prompts = prompts_of(base, task, cases, train, few_shot, seed, limit)
    # What cannot work is said before minutes are spent on the base.
    if finetune is not None:
        check_fits(base, finetune)
    _somebody_answers(base, finetune, head, bundle)
    opened = open_bundle(bundle) if bundle is not None else None
    if opened is not None:
        opened.task(task.name)
    place = choose_device(device)
    dtype = choose_dtype(precision, place)
    loaded = "float32" if (base.card.parameters or 0) <= FP32_UP_TO else dtype
    common: dict[str, Any] = {"checks": checks, "progress": told}

    systems: list[Answers] = []
    before = after = None
    if prompts is not None:
        tokenizer, shown = prompts.tokenizer, prompts.shown

        def ask(model: Any, ids: Sequence[Sequence[int]], name: str, title: str, detail: str) -> Answers:
            return ask_torch(
                model, tokenizer, task, cases, ids, name=name, title=title, detail=detail, max_tokens=limit, **common
            )

        told("Loading the base")
        model = load_torch(base, loaded, place)
        before = _likelihoods(model, tokenizer, general and (finetune is None or writing is not None), told)
        model = model.to(dtype)
        systems.append(
            ask(model, prompts.zero, BASE_ZERO_SHOT, "Base, zero-shot", f"{base.card.id}, the task's prompt alone")
        )
        if shown:
            detail = f"{base.card.id}, {shown} worked samples in the prompt"
            systems.append(ask(model, prompts.few, BASE_FEW_SHOT, f"Base, {shown}-shot", detail))
        del model
        free_memory()
        if writing is not None:
            told("Loading the fine-tune")
            model = load_adapted(base, writing, loaded, place, merge=True)
            after = _likelihoods(model, tokenizer, general, told)
            model = model.to(dtype)
            systems.append(ask(model, prompts.zero, FINE_TUNE, "Fine-tune", _made_of(writing.card)))
            del model
            free_memory()
    elif (plain := most_frequent(task, cases, train, checks)) is not None:
        systems.append(plain)
    if finetune is not None and writing is None and head is not None:
        told("Loading the fine-tune")
        detail = _made_of(finetune.card)
        systems.append(ask_head(head(), task, cases, name=FINE_TUNE, title="Fine-tune (head)", detail=detail, **common))
        free_memory()
    if opened is not None:
        same = _named_in(opened, finetune) if finetune is not None else None
        systems.append(ask_bundle(opened, task, cases, name=BUNDLE, adapter=same, max_tokens=max_tokens, **common))
    told("Measuring", 0, len(measures))
    references = reference_answers(task, cases, checks)
    weights = resample_weights(len(cases), resamples, seed)
    return Evaluation(
        task=task.name,
        title=task.title or task.name,
        base=base.card,
        fine_tune=finetune.card if finetune else None,
        inputs=len(cases),
        references=len(samples),
        held_out_sha256=samples_sha256(samples),
        languages=_count([case.language for case in cases]),
        few_shot=prompts.shown if prompts else 0,
        seed=seed,
        resamples=resamples,
        confidence=confidence,
        precision=str(dtype).removeprefix("torch."),
        systems=tuple(s.report for s in systems),
        metrics=tuple(measured(m, cases, systems, references, weights, confidence) for m in measures),
        rows=_rows(cases, systems),
        forgetting=forgetting(before, after) if before else None,
        training=read_training_log(finetune.path) if finetune else TrainingLog(),
        versions={name: version(name) for name in ("torch", "transformers", "sacrebleu", "rouge_score")},
        seconds=time.perf_counter() - begun,
        created=datetime.now(UTC),
    )


def _somebody_answers(
    base: LocalBase, finetune: FineTune | None, head: Callable[[], Predict] | None, bundle: Path | None
) -> None:
    if finetune is not None and finetune.card.recipe.produces == "head" and head is None:
        raise UsageError(
            f"{finetune.card.name} answers by a head, and none was given",
            where=str(finetune.path),
            remedy="give head=lambda: metier.heads.load_head(path).predict",
        )
    if not base.card.writes and finetune is None and bundle is None:
        raise UsageError(
            f"{base.card.id} reads and does not write, so that there is nobody to ask",
            remedy="give a fine-tune whose way is head, or a bundle",
        )


def _made_of(card: FineTuneCard) -> str:
    """A fine-tune in words: what of its base learnt, and whether a head answers."""
    recipe = card.recipe
    if recipe.produces == "text":
        learnt = f"LoRA rank {recipe.lora.rank}" if recipe.method == "lora" else "the base's own weights"
        return f"{card.name}, {learnt}"
    if recipe.method == "features":
        return f"{card.name}, a head over the frozen base"
    learnt = f"by LoRA of rank {recipe.lora.rank}" if recipe.method == "lora" else "in its own weights"
    return f"{card.name}, a head over the base, which learnt with it {learnt}"


def _named_in(bundle: Bundle, finetune: FineTune) -> str | None:
    """What a bundle calls the very weights of a fine-tune; None where they are merged into it, or not there."""
    digest = finetune.card.weights_sha256
    named = (entry for entry in bundle.manifest.named if entry.card and entry.card.weights_sha256 == digest)
    return next((entry.name for entry in named), None)


def _likelihoods(
    model: Any, tokenizer: ChatTokenizer, general: bool, progress: Progress
) -> dict[str, Likelihood] | None:
    if not general:
        return None
    progress("Perplexity on general text")
    return likelihoods(model, tokenizer)


def _rows(cases: Sequence[Case], systems: Sequence[Answers]) -> tuple[Row, ...]:
    return tuple(
        Row(
            input=case.input,
            language=case.language,
            references=case.references,
            reference_texts=case.reference_texts,
            answers={system.report.name: system.answers[i] for system in systems},
            place=case.place,
        )
        for i, case in enumerate(cases)
    )


def _count(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in dict.fromkeys(names)}
