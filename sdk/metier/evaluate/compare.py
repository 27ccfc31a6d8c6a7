"""The evaluation itself: base bare and with worked samples against the fine-tune, on the same held-out inputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from metier.bases.resolve import LocalBase
from metier.contracts import Check, ContractError, FineTune, Sample, TaskContract, samples_sha256
from metier.evaluate.bootstrap import resample_weights
from metier.evaluate.cases import Case, cases_of
from metier.evaluate.choose import choose_measures
from metier.evaluate.figures import measured, reference_answers
from metier.evaluate.forgetting import Likelihood, forgetting, likelihoods
from metier.evaluate.results import (
    BASE_FEW_SHOT,
    BASE_ZERO_SHOT,
    BUNDLE,
    FINE_TUNE,
    Evaluation,
    Row,
    TrainingLog,
)
from metier.evaluate.systems import Answers, Progress, ask_bundle, ask_torch, few_shot_prompts, zero_shot_prompts
from metier.evaluate.training_log import read_training_log
from metier.plugins.metric import Metric
from metier.runtime.bundle import open_bundle
from metier.runtime.tokenizer import ChatTokenizer

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

    Decoding is greedy, and under the contract's grammar where it has one. Without a fine-tune only the base is asked.

    Args:
        task: the contract.
        samples: held-out samples; several outputs of one input are its references.
        base: the base on disk.
        finetune: LoRA weights of that base.
        bundle: an exported bundle of the same task, asked through the runtime.
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
        UsageError: no samples, an unknown metric, a fine-tune of another base, or a bundle without this task.
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
    tokenizer = ChatTokenizer.load(base.path)
    limit = max_tokens or task.max_reply_tokens
    zero = zero_shot_prompts(tokenizer, task, cases)
    _fits(zero, cases, base, limit)
    few, shown = few_shot_prompts(
        tokenizer, task, cases, train, count=few_shot, seed=seed, room=base.card.context_length - limit
    )
    # What cannot work is said before minutes are spent on the base.
    if finetune is not None:
        check_fits(base, finetune)
    opened = open_bundle(bundle) if bundle is not None else None
    if opened is not None:
        opened.task(task.name)
    place = choose_device(device)
    dtype = choose_dtype(precision, place)
    loaded = "float32" if (base.card.parameters or 0) <= FP32_UP_TO else dtype

    def ask(model: Any, prompts: Sequence[Sequence[int]], name: str, title: str, detail: str) -> Answers:
        return ask_torch(
            model, tokenizer, task, cases, prompts,
            name=name, title=title, detail=detail, max_tokens=limit, checks=checks, progress=told,
        )  # fmt: skip

    systems: list[Answers] = []
    told("Loading the base")
    model = load_torch(base, loaded, place)
    before = _likelihoods(model, tokenizer, general, told)
    model = model.to(dtype)
    systems.append(ask(model, zero, BASE_ZERO_SHOT, "Base, zero-shot", f"{base.card.id}, the task's prompt alone"))
    if shown:
        detail = f"{base.card.id}, {shown} worked samples in the prompt"
        systems.append(ask(model, few, BASE_FEW_SHOT, f"Base, {shown}-shot", detail))
    after = None
    if finetune is not None:
        told("Loading the fine-tune")
        del model
        free_memory()
        model = load_adapted(base, finetune, loaded, place, merge=True)
        after = _likelihoods(model, tokenizer, general, told)
        model = model.to(dtype)
        detail = f"{finetune.card.name}, LoRA rank {finetune.card.recipe.lora.rank}"
        systems.append(ask(model, zero, FINE_TUNE, "Fine-tune", detail))
    del model
    free_memory()
    if opened is not None:
        systems.append(
            ask_bundle(opened, task, cases, name=BUNDLE, max_tokens=max_tokens, checks=checks, progress=told)
        )
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
        few_shot=shown,
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


def _likelihoods(
    model: Any, tokenizer: ChatTokenizer, general: bool, progress: Progress
) -> dict[str, Likelihood] | None:
    if not general:
        return None
    progress("Perplexity on general text")
    return likelihoods(model, tokenizer)


def _fits(prompts: Sequence[Sequence[int]], cases: Sequence[Case], base: LocalBase, limit: int) -> None:
    for ids, case in zip(prompts, cases, strict=True):
        if len(ids) + limit > base.card.context_length:
            raise ContractError(
                f"the prompt takes {len(ids)} tokens and the reply up to {limit}, "
                f"but {base.card.id} holds {base.card.context_length}",
                where=case.place,
                remedy="shorten the input, lower max_tokens, or take a base with a longer context",
            )


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
