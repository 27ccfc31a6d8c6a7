"""The evaluation itself: base bare and with worked samples against the fine-tune, whether that writes or is a head, on
the same held-out inputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from metier.adapt.methods import method_of
from metier.adapt.text_method import TextModel
from metier.bases.resolve import LocalBase
from metier.contracts import (
    Check,
    FineTune,
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
    Progress,
    ask_bundle,
    ask_fine_tune,
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
    from metier.bases.torch_model import check_fits, load_torch

    begun = time.perf_counter()
    told: Progress = progress or (lambda *_, **__: None)
    cases = cases_of(task, samples)
    measures = choose_measures(task, wanted=metrics, checks=checks)
    limit = max_tokens or task.max_reply_tokens
    method = method_of(finetune.card.recipe) if finetune is not None else None
    generates = method is None or method.generates
    prompts = None
    if base.card.writes and (base.card.chat_template or generates):
        prompts = prompts_of(base, task, cases, train, few_shot, seed, limit)
    # What cannot work is said before minutes are spent on the base.
    if finetune is not None:
        check_fits(base, finetune)
    if not base.card.writes and finetune is None and bundle is None:
        raise UsageError(
            f"{base.card.id} is an encoder and cannot generate, and nothing else is given to evaluate",
            remedy="give a fine-tune whose recipe produces a head, or a bundle",
        )
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
                TextModel(model, tokenizer, task),
                task,
                cases,
                ids,
                name=name,
                title=title,
                detail=detail,
                max_tokens=limit,
                **common,
            )

        told("Loading the base")
        model = load_torch(base, loaded, place)
        before = _likelihoods(model, tokenizer, general and generates, told)
        model = model.to(dtype)
        systems.append(
            ask(model, prompts.zero, BASE_ZERO_SHOT, "Base, zero-shot", f"{base.card.id}, the task's prompt alone")
        )
        if shown:
            detail = f"{base.card.id}, {shown} worked samples in the prompt"
            systems.append(ask(model, prompts.few, BASE_FEW_SHOT, f"Base, {shown}-shot", detail))
        del model
        free_memory()
    elif (plain := most_frequent(task, cases, train, checks)) is not None:
        systems.append(plain)
    if finetune is not None and method is not None:
        told("Loading the fine-tune")
        trained = method.load(finetune, task, base, device=place, dtype=loaded)
        if prompts is not None:
            after = _likelihoods(trained.model, prompts.tokenizer, general and generates, told)
        trained.cast(dtype)
        systems.append(
            ask_fine_tune(
                trained,
                cases,
                name=FINE_TUNE,
                title=method.title,
                detail=method.describe(finetune.card),
                max_tokens=limit,
                **common,
            )
        )
        del trained
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
