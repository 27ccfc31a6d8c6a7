"""The evaluation itself: the base, bare and with worked samples, against the fine-tune, on the same held-out inputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from metier.adapt.methods import method_of
from metier.adapt.text_method import TextModel
from metier.bases.hardware import choose_device, choose_dtype, free_memory
from metier.bases.resolve import LocalBase
from metier.bases.torch_model import check_fits, load_torch
from metier.contracts import (
    Check,
    FineTune,
    Sample,
    TaskContract,
    UsageError,
    samples_sha256,
)
from metier.evaluate.figures import measured, reference_answers
from metier.evaluate.forgetting import Likelihood, forgetting, likelihoods
from metier.evaluate.prompt_sets import Prompts, prompts_of
from metier.evaluate.systems import (
    HeldOut,
    Label,
    Progress,
    SystemAnswers,
    adapter_answers,
    bundle_answers,
    fine_tune_answers,
    most_frequent,
    prompted_answers,
    silent,
)
from metier.evaluate.training_log import read_training_log
from metier.metrics.bootstrap import resample_weights
from metier.metrics.cases import Case, cases_of
from metier.metrics.measures import Measure
from metier.metrics.results import (
    BASE_FEW_SHOT,
    BASE_ZERO_SHOT,
    FINE_TUNE,
    Evaluation,
    MetricReport,
    Row,
    TrainingLog,
)
from metier.metrics.selection import choose_measures
from metier.plugins.metric import Metric
from metier.runtime.bundle import Bundle, open_bundle

FP32_UP_TO = 1_000_000_000
"""Parameters up to which weights are loaded, and LoRA merged, in fp32 before they are rounded."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How an evaluation measures."""

    few_shot: int = 4
    """Worked samples in the few-shot prompt; 0 leaves that system out."""
    metrics: Sequence[str | Metric] = ()
    """Names, or a plugin's metric objects; empty takes the contract's, else the kind's own."""
    seed: int = 0
    """Of worked samples and resampling."""
    resamples: int = 1000
    """Of the bootstrap."""
    confidence: float = 0.95
    """Of the intervals."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of torch decoding; `auto` takes bf16 where the hardware multiplies it natively."""
    device: str = "auto"
    """`auto`, `cpu` or `cuda`."""
    max_tokens: int | None = None
    """Longest reply; None takes the contract's."""
    general: bool = True
    """Measure forgetting on the packaged general text."""
    runtime: Literal["torch", "onnx"] = "torch"
    """What computes base and fine-tune. `onnx` takes both from a bundle with LoRA slots that has the fine-tune as an
    adapter: much faster on a CPU, the weights as they ship, and no forgetting."""


DEFAULTS = EvaluationOptions()


def evaluate(
    task: TaskContract,
    samples: Sequence[Sample],
    *,
    base: LocalBase,
    finetune: FineTune | None = None,
    bundle: Path | None = None,
    train: Sequence[Sample] = (),
    checks: Sequence[Check] = (),
    options: EvaluationOptions = DEFAULTS,
    progress: Progress = silent,
) -> Evaluation:
    """Measure base and fine-tune on the same held-out inputs.

    Decoding is greedy, and under the contract's grammar where it has one. Without a fine-tune only the base is
    measured. A base that cannot be prompted (an encoder, or under a head a decoder without a chat template) is replaced
    by the most frequent label. Forgetting is not measured for a head: it does not change its base, or brings its own
    copy, which generates no text.

    Args:
        task: the contract.
        samples: held-out samples; several outputs of one input are its references.
        base: the base on disk.
        finetune: of that base.
        bundle: an exported bundle of the same task, measured through the runtime: with the LoRA or head that is the
            fine-tune, where it has that.
        train: where worked samples are taken from. Samples of other tasks and held-out ones are left out.
        checks: the trade's checks for this task.
        options: how to measure.
        progress: called as `progress(what, done, total)`.

    Raises:
        UsageError: no samples, an unknown metric, a fine-tune of another base, a bundle without this task, or no system
            that can answer.
        BundleError: the bundle is damaged.
        ContractError: a sample does not satisfy the contract, or a prompt does not fit the base's context.
        DeviceError: the requested device is not active.
    """
    started = time.perf_counter()
    held_out = HeldOut(task, cases_of(task, samples), tuple(checks), progress)
    measures = choose_measures(task, wanted=options.metrics, checks=checks)
    method = method_of(finetune.card.recipe) if finetune is not None else None
    generates = method is None or method.generates
    limit = options.max_tokens or task.max_reply_tokens
    prompts = None
    if base.card.writes and (base.card.chat_template or generates):
        prompts = prompts_of(base, task, held_out.cases, train, options.few_shot, options.seed, limit)
    # Errors of the arguments come before minutes are spent on the base.
    if finetune is not None:
        check_fits(base, finetune)
    elif not base.card.writes and bundle is None:
        raise UsageError(
            f"{base.card.id} cannot generate text, and there is no other system to evaluate",
            remedy="give a fine-tune whose recipe produces a head, or a bundle",
        )
    opened = open_bundle(bundle) if bundle is not None else None
    if opened is not None:
        opened.task(task.name)
    torch = TorchSettings.of(base, options)
    before = after = None
    if options.runtime == "onnx":
        systems = _adapter_systems(held_out, prompts, opened, finetune, options, limit)
    else:
        general = options.general and generates
        systems, before, after = _torch_systems(held_out, prompts, base, finetune, train, torch, limit, general)
        if opened is not None:
            adapter = _name_in(opened, finetune) if finetune is not None else None
            systems.append(bundle_answers(opened, held_out, adapter=adapter, max_tokens=options.max_tokens))
    progress("Measuring", 0, len(measures))
    return Evaluation(
        task=task.name,
        title=task.title or task.name,
        base=base.card,
        fine_tune=finetune.card if finetune else None,
        inputs=len(held_out.cases),
        references=len(samples),
        held_out_sha256=samples_sha256(samples),
        languages=_count([case.language for case in held_out.cases]),
        few_shot=prompts.shown if prompts else 0,
        seed=options.seed,
        resamples=options.resamples,
        confidence=options.confidence,
        precision=torch.dtype if options.runtime == "torch" or opened is None else opened.manifest.precision,
        systems=tuple(s.report for s in systems),
        metrics=_metrics(measures, held_out, systems, options),
        rows=_rows(held_out.cases, systems),
        forgetting=forgetting(before, after) if before else None,
        training=read_training_log(finetune.path) if finetune else TrainingLog(),
        versions={name: version(name) for name in ("torch", "transformers", "sacrebleu", "rouge_score")},
        seconds=time.perf_counter() - started,
        created=datetime.now(UTC),
    )


def _metrics(
    measures: Sequence[Measure], held_out: HeldOut, systems: Sequence[SystemAnswers], options: EvaluationOptions
) -> tuple[MetricReport, ...]:
    references = reference_answers(held_out.task, held_out.cases, held_out.checks)
    weights = resample_weights(len(held_out.cases), options.resamples, options.seed)
    return tuple(measured(m, held_out.cases, systems, references, weights, options.confidence) for m in measures)


def _torch_systems(
    held_out: HeldOut,
    prompts: Prompts | None,
    base: LocalBase,
    finetune: FineTune | None,
    train: Sequence[Sample],
    torch: TorchSettings,
    limit: int,
    general: bool,
) -> tuple[list[SystemAnswers], dict[str, Likelihood] | None, dict[str, Likelihood] | None]:
    """Answers of the base, or of the most frequent label, and of the fine-tune, both in torch; and the likelihood of
    general text before and after the fine-tune, where that is measured."""
    systems: list[SystemAnswers] = []
    before = after = None
    if prompts is not None:
        systems, before = _base_answers(held_out, prompts, base, torch, limit, general)
    elif (constant := most_frequent(held_out, train)) is not None:
        systems.append(constant)
    if finetune is not None:
        shown = prompts if before else None
        answers, after = _fine_tune_answers(held_out, finetune, base, torch, limit, shown)
        systems.append(answers)
    return systems, before, after


def _adapter_systems(
    held_out: HeldOut,
    prompts: Prompts | None,
    bundle: Bundle | None,
    finetune: FineTune | None,
    options: EvaluationOptions,
    limit: int,
) -> list[SystemAnswers]:
    """Answers of base and fine-tune, both from one bundle with LoRA slots.

    Raises:
        UsageError: there is no such bundle, or it does not have the fine-tune.
    """
    from metier.decoding.adapter_store import BASE
    from metier.runtime.engine import Engine

    adapter = _name_in(bundle, finetune) if bundle is not None and finetune is not None else None
    if bundle is None or finetune is None or adapter is None or prompts is None:
        raise UsageError(
            "runtime onnx needs a bundle with LoRA slots that has the fine-tune as an adapter",
            remedy="export it with `metier export --slots`, or evaluate with torch",
        )
    id, precision = finetune.card.base.id, bundle.manifest.precision
    bare = Label(BASE_ZERO_SHOT, "Base, zero-shot", f"{id} ({precision}), the task's prompt alone")
    tuned = Label(FINE_TUNE, "Fine-tune", f"the adapter {adapter} on {id} ({precision}), ONNX Runtime")
    with Engine(bundle) as engine:
        found = [adapter_answers(engine, held_out, bare, adapter=BASE, max_tokens=limit)]
        if shown := prompts.shown:
            label = Label(
                BASE_FEW_SHOT, f"Base, {shown}-shot", f"{id} ({precision}), {shown} worked samples in the prompt"
            )
            few = prompts.few
            found.append(adapter_answers(engine, held_out, label, adapter=BASE, prompts=few, max_tokens=limit))
        found.append(adapter_answers(engine, held_out, tuned, adapter=adapter, max_tokens=limit))
    return found


class TorchSettings(NamedTuple):
    """Where and in which number formats torch computes."""

    device: Any
    dtype: str
    """While decoding."""
    loaded: str
    """While weights are loaded, and LoRA is merged."""

    @classmethod
    def of(cls, base: LocalBase, options: EvaluationOptions) -> TorchSettings:
        """The settings for a base on this machine.

        Raises:
            DeviceError: the requested device is not active.
        """
        device = choose_device(options.device)
        dtype = str(choose_dtype(options.precision, device)).removeprefix("torch.")
        small = (base.card.parameters or 0) <= FP32_UP_TO
        return cls(device, dtype, "float32" if small else dtype)


def _base_answers(
    held_out: HeldOut, prompts: Prompts, base: LocalBase, settings: TorchSettings, limit: int, general: bool
) -> tuple[list[SystemAnswers], dict[str, Likelihood] | None]:
    """Answers of the base, bare and with worked samples, and its likelihood of general text where that is measured."""
    import torch

    held_out.progress("Loading the base")
    loaded = load_torch(base, settings.loaded, settings.device)
    before = _likelihoods(loaded, prompts, held_out) if general else None
    model = TextModel(loaded.to(getattr(torch, settings.dtype)), prompts.tokenizer, held_out.task)
    bare = Label(BASE_ZERO_SHOT, "Base, zero-shot", f"{base.card.id}, the task's prompt alone")
    systems = [prompted_answers(model, held_out, prompts.zero, bare, max_tokens=limit)]
    if shown := prompts.shown:
        detail = f"{base.card.id}, {shown} worked samples in the prompt"
        label = Label(BASE_FEW_SHOT, f"Base, {shown}-shot", detail)
        systems.append(prompted_answers(model, held_out, prompts.few, label, max_tokens=limit))
    del loaded, model
    free_memory()
    return systems, before


def _fine_tune_answers(
    held_out: HeldOut,
    finetune: FineTune,
    base: LocalBase,
    settings: TorchSettings,
    limit: int,
    prompts: Prompts | None,
) -> tuple[SystemAnswers, dict[str, Likelihood] | None]:
    """Answers of the fine-tune, and with `prompts` its likelihood of general text."""
    import torch

    held_out.progress("Loading the fine-tune")
    method = method_of(finetune.card.recipe)
    trained = method.load(finetune, held_out.task, base, device=settings.device, dtype=settings.loaded)
    after = _likelihoods(trained.model, prompts, held_out) if prompts is not None else None
    trained.cast(getattr(torch, settings.dtype))
    label = Label(FINE_TUNE, method.title, method.describe(finetune.card))
    answers = fine_tune_answers(trained, held_out, label, max_tokens=limit)
    del trained
    free_memory()
    return answers, after


def _likelihoods(model: Any, prompts: Prompts, held_out: HeldOut) -> dict[str, Likelihood]:
    held_out.progress("Perplexity on general text")
    return likelihoods(model, prompts.tokenizer)


def _name_in(bundle: Bundle, finetune: FineTune) -> str | None:
    """The bundle's entry with a fine-tune's weights; None where they are merged into it, or absent."""
    digest = finetune.card.weights_sha256
    named = (entry for entry in bundle.manifest.named if entry.card and entry.card.weights_sha256 == digest)
    return next((entry.name for entry in named), None)


def _rows(cases: Sequence[Case], systems: Sequence[SystemAnswers]) -> tuple[Row, ...]:
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
