"""Measures a version on the held-out data, and compares two versions: answers from the running engine, as users would
get them, and likelihoods, which are more sensitive: of replies from torch, of a head's labels from the engine as well.

It measures; `gate` decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import exp
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from metier.bases.resolve import LocalBase
from metier.contracts import Check, FineTune, Sample, TaskContract, samples_sha256
from metier.contracts.schema import Data
from metier.disk import write_atomic
from metier.evaluate.figures import measured, reference_answers
from metier.evaluate.systems import SystemAnswers, answers_of, head_outputs, report_answer
from metier.iterate.labels import label_losses, milliseconds, trunk_file
from metier.iterate.live_engine import load_version
from metier.metrics.bootstrap import Array, interval, resample_weights
from metier.metrics.cases import Case, cases_of
from metier.metrics.results import Interval, MetricReport, ReportedAnswer, SystemReport
from metier.metrics.selection import choose_measures
from metier.runtime.engine import Engine
from metier.runtime.input_bridges import skip_input_bridges

CHAMPION, CHALLENGER = "champion", "challenger"

MEASURING = "2"
"""Version of the cached measurements: those of another version are measured again. 2 reads replies packed."""

LIKELIHOOD_SAMPLES = 64
"""Held-out samples whose likelihood is measured, distinct inputs first; 40 distinguished 0.03 nats a token."""

ERROR = 0.05
"""Probability that any of the metrics seems to differ where none does."""

TIMED = 6
"""Inputs answered one after the other to compare speed: medians of fewer are noisy, of more slow."""

GENERAL_CONFIDENCE = 0.99
"""Confidence of the interval of the growth on general text: percentiles of a dozen passages are too narrow; those of
99% hold the true value 95 times in a hundred (simulated in `tests/iterate/test_gate.py`)."""

Progress = Callable[..., None]


class Measured(Data):
    """The measurements of one version on the held-out data."""

    answers: tuple[ReportedAnswer, ...]
    """One for each distinct input."""
    nats: tuple[float, ...]
    """Negative log-likelihood of each measured sample's reply, or of the right labels of a head."""
    tokens: tuple[int, ...]
    """Reply tokens of each, or labels."""
    general: float | None
    """Perplexity on the packaged general text, which measures forgetting; None for a head, whose base is frozen."""
    base_general: float | None
    """The same for the base without the adapter."""
    general_nats: tuple[float, ...] = ()
    """Negative log-likelihood of each passage of the general text; empty for a head."""
    general_tokens: tuple[int, ...] = ()
    """Tokens of each."""
    bytes: int
    """Of the weights."""


class Comparison(Data):
    """A challenger compared with the champion, on the same inputs, resampled together."""

    inputs: int
    metrics: tuple[MetricReport, ...]
    """The task's metrics and the trade's checks, for the systems `champion` and `challenger`."""
    confidence: float
    """Of the metrics' intervals: so high that all of them together err one time in twenty (Bonferroni)."""
    loss: dict[str, float]
    """System → nats per reply token, or per label."""
    per: Literal["token", "label"] = "token"
    """Unit of the losses: a head generates no tokens."""
    loss_difference: Interval
    """The challenger's less the champion's; below zero is better."""
    general: dict[str, float]
    """champion, challenger, base → perplexity on general text; empty for heads, whose base is frozen."""
    general_growth: Interval | None = None
    """Growth of that perplexity from champion to challenger over the passages (0.1 is ten percent); None for heads."""
    milliseconds: dict[str, float]
    """System → median time of a complete answer, one request at a time, alternating between the systems."""
    per_token: dict[str, float]
    """System → median time of an answer per token, which does not depend on the answers' length. Empty for heads: with
    one recipe and one trunk they take the same time."""
    bytes: int
    """Of the challenger's weights."""


class Judge:
    """Measures versions of one task on one engine; what they share is prepared once."""

    def __init__(
        self,
        engine: Engine,
        task: TaskContract,
        held_out: Sequence[Sample],
        base: LocalBase,
        *,
        checks: Sequence[Check] = (),
        cache: Path | None = None,
    ) -> None:
        """
        Args:
            engine: of a bundle with slots, or for heads with the base as a trunk.
            task: the contract.
            held_out: samples that no version was trained on.
            base: of the bundle.
            checks: the trade's.
            cache: folder of measurements, so that a champion is measured once.
        """
        self.engine, self.task, self.base, self.checks = engine, task, base, tuple(checks)
        self.held_out = list(held_out)
        self.cases = cases_of(task, self.held_out)
        self._cache = cache
        self._base_general: float | None = None

    def measure(self, finetune: FineTune, adapter: str, progress: Progress) -> Measured:
        """Answer every held-out input with a version. `adapter` is its name in the engine."""
        load_version(self.engine, adapter, finetune.path)
        if (file := self._cache_file(finetune, adapter)) is not None and (measured := _read(file)) is not None:
            self._base_general = measured.base_general
            return measured
        size = (finetune.path / finetune.card.weights).stat().st_size
        if adapter in self.engine.heads:
            progress(f"answers of {adapter}")
            outputs = head_outputs(self.engine, adapter, self.task, self.cases)
            answers = answers_of(self.task, self.cases, outputs, self.checks)
            nats, labels = label_losses(self.engine, adapter, self.task, self.held_out)
            result = Measured(
                answers=tuple(answers), nats=nats, tokens=labels, general=None, base_general=None, bytes=size
            )
        else:
            answers = self._answers(adapter, progress)
            progress("likelihoods")
            likely = likelihoods_of(finetune, self.task, self.held_out, self.base, base_general=self._base_general)
            result = Measured(answers=tuple(answers), bytes=size, **likely)
        self._base_general = result.base_general
        if file is not None:
            write_atomic(file, result.model_dump_json())
        return result

    def compare(
        self, before: Measured, after: Measured, adapters: tuple[str, str], *, seed: int = 0, resamples: int = 2000
    ) -> Comparison:
        """Compare champion and challenger. `adapters` are their names in the engine, for the timing."""
        systems = [_system(name, m.answers) for name, m in ((CHAMPION, before), (CHALLENGER, after))]
        references = reference_answers(self.task, self.cases, self.checks)
        weights = resample_weights(len(self.cases), resamples, seed)
        loss = _losses(before, resamples, seed), _losses(after, resamples, seed)
        measures = choose_measures(self.task, checks=self.checks)
        confidence = 1 - ERROR / len(measures)
        times = self._times(adapters)
        is_head = adapters[1] in self.engine.heads
        passages = before.general_nats, after.general_nats, before.general_tokens
        general = {CHAMPION: before.general, CHALLENGER: after.general, "base": before.base_general}
        return Comparison(
            inputs=len(self.cases),
            metrics=tuple(
                measured(measure, self.cases, systems, references, weights, confidence) for measure in measures
            ),
            confidence=confidence,
            loss={CHAMPION: float(loss[0][0]), CHALLENGER: float(loss[1][0])},
            loss_difference=interval(loss[1] - loss[0]),
            per="label" if is_head else "token",
            general={name: value for name, value in general.items() if value is not None},
            general_growth=growth(*passages, resamples, seed) if all(passages) else None,
            milliseconds={name: float(np.median([spent for spent, _ in timed])) for name, timed in times.items()},
            per_token={
                name: float(np.median([spent / tokens for spent, tokens in timed]))
                for name, timed in times.items()
                if not is_head
            },
            bytes=after.bytes,
        )

    def _answers(self, adapter: str, progress: Progress) -> list[ReportedAnswer]:
        generations = [self.engine.submit(self._request(case, adapter), wait=None) for case in self.cases]
        answers = []
        for done, (case, generation) in enumerate(zip(self.cases, generations, strict=True), 1):
            text = generation.result()
            finished = generation.finish_reason != "length"
            answers.append(report_answer(self.task, self.checks, case.input, text, len(generation.ids), finished))
            progress(f"answers of {adapter}", done, len(self.cases))
        return answers

    def _times(self, adapters: tuple[str, str]) -> dict[str, list[tuple[float, int]]]:
        """Milliseconds and tokens of each answer, prompt included."""
        spent: dict[str, list[tuple[float, int]]] = {CHAMPION: [], CHALLENGER: []}
        for case in self.cases[:TIMED]:
            for name, adapter in zip(spent, adapters, strict=True):
                spent[name].append(self._timed(case, adapter))
        return spent

    def _timed(self, case: Case, adapter: str) -> tuple[float, int]:
        if adapter in self.engine.heads:
            return milliseconds(self.engine, adapter, self.task, case), 1
        started = time.perf_counter()
        generation = self.engine.submit(self._request(case, adapter), wait=None)
        generation.result()
        return 1000 * (time.perf_counter() - started), len(generation.ids) + 1

    def _request(self, case: Case, adapter: str) -> Any:
        value = skip_input_bridges(self.task, case.input)
        return self.engine.request(self.task.name, value, language=case.language, adapter=adapter)

    def _cache_file(self, finetune: FineTune, adapter: str) -> Path | None:
        """Cache file of a measurement of these weights, on this data and this graph; None without a cache."""
        if self._cache is None:
            return None
        import hashlib

        manifest = self.engine.bundle.manifest
        is_head = adapter in self.engine.heads
        graph = trunk_file(self.engine, adapter) if is_head else manifest.decoder.file
        parts = [
            MEASURING,
            finetune.card.weights_sha256,
            samples_sha256(self.held_out),
            manifest.files[graph].sha256,
            self.task.model_dump_json(),
            *(check.name for check in self.checks),
        ]
        return self._cache / f"{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}.json"


def likelihoods_of(
    finetune: FineTune,
    task: TaskContract,
    held_out: Sequence[Sample],
    base: LocalBase,
    *,
    base_general: float | None = None,
) -> dict[str, Any]:
    """`nats` and `tokens` of the measured samples' replies, and perplexities on general text with and without LoRA.

    Args:
        finetune, task, held_out, base: the version and its data.
        base_general: perplexity without LoRA, where it is known: it is the same for every fine-tune of a base.
    """
    import torch

    from metier.adapt.sft import distinct_first
    from metier.bases.hardware import choose_dtype
    from metier.bases.torch_model import load_adapted
    from metier.decoding.tokenizer import ChatTokenizer
    from metier.evaluate.forgetting import forgetting, likelihoods, passages
    from metier.training.examples import encode_samples
    from metier.training.lora_setup import training_kernels
    from metier.training.training_model import TrainingModel

    tokenizer = ChatTokenizer.load(base.path)
    model = load_adapted(base, finetune, choose_dtype("auto", torch.device("cpu")))
    examples = encode_samples(
        tokenizer, {task.name: task}, distinct_first(held_out)[:LIKELIHOOD_SAMPLES], base.card.context_length
    )
    reader = TrainingModel(model, tokenizer.pad_id)
    with training_kernels(model):
        reader.choose_layout(sorted(examples, key=len)[:2])
        nats = reader.nats(examples)
    reader.finish()
    with torch.inference_mode():
        general = [passage for texts in passages(model, tokenizer).values() for passage in texts]
        if base_general is None:
            with model.disable_adapter():
                base_general = forgetting(likelihoods(model, tokenizer), None).before
    return {
        "nats": tuple(nats),
        "tokens": tuple(len(example.reply) for example in examples),
        "general": exp(sum(p.nats for p in general) / sum(p.tokens for p in general)),
        "base_general": base_general,
        "general_nats": tuple(p.nats for p in general),
        "general_tokens": tuple(p.tokens for p in general),
    }


def growth(
    before: Sequence[float], after: Sequence[float], tokens: Sequence[int], resamples: int = 2000, seed: int = 0
) -> Interval:
    """Growth of perplexity from one version to another, 0.1 being ten percent; bootstrapped over passages.

    Args:
        before, after: nats of each passage.
        tokens: of each.
    """
    weights = resample_weights(len(tokens), resamples, seed)
    change = (weights @ (np.array(after) - np.array(before))) / (weights @ np.array(tokens, dtype=np.float64))
    return interval(np.exp(change) - 1, GENERAL_CONFIDENCE)


def _read(file: Path) -> Measured | None:
    """A cached measurement; None where there is none, or one of an earlier Metier that lacks a value."""
    try:
        return Measured.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _losses(of: Measured, resamples: int, seed: int) -> Array:
    """Nats per reply token, `[1 + resamples]`: first without resampling."""
    weights = resample_weights(len(of.nats), resamples, seed)
    return np.asarray((weights @ np.array(of.nats)) / (weights @ np.array(of.tokens, dtype=np.float64)))


def _system(name: str, answers: Sequence[ReportedAnswer]) -> SystemAnswers:
    report = SystemReport(
        name=name,
        title=name,
        detail="",
        seconds=0.0,
        tokens=sum(answer.tokens for answer in answers),
        undecoded=sum(answer.output is None for answer in answers),
        cut=sum(not answer.finished for answer in answers),
    )
    return SystemAnswers(report, list(answers))
