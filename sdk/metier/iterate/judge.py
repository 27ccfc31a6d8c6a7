"""What a version does on the held-out data, and how two compare: answers from the running engine, as users would get
them, and likelihoods, which see smaller differences than any answer does: of replies from torch, of a head's choices
from the engine as well.

It measures; what is good enough is said in `gate`.
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
from metier.disk import write_whole
from metier.evaluate.figures import measured, reference_answers
from metier.evaluate.systems import Answers, answers_of, choices, read_answer
from metier.iterate.labels import label_losses, milliseconds, trunk_file
from metier.iterate.live_engine import wear
from metier.metrics.bootstrap import Array, interval, resample_weights
from metier.metrics.cases import Case, cases_of
from metier.metrics.results import Answer, Interval, MetricReport, SystemReport
from metier.metrics.selection import choose_measures
from metier.runtime.engine import Engine

CHAMPION, CHALLENGER = "champion", "challenger"

MEASURING = "2"
"""Of which kind a measurement is that is kept: one of another kind is not compared with. 2 reads replies packed."""

JUDGED = 64
"""Held-out samples whose likelihood is taken, distinct inputs first: 40 told versions apart by 0.03 nats a token."""

ERROR = 0.05
"""How often any of the metrics may seem to differ where none does."""

TIMED = 6
"""Inputs answered one after the other to compare speed: medians of less would be noise, of more a wait."""

GENERAL_CONFIDENCE = 0.99
"""Asked of the interval of the growth on general text: percentiles of a dozen passages are too narrow, and 99% of them
hold the truth 95 times in a hundred (simulated in `tests/iterate/test_gate.py`)."""

Progress = Callable[..., None]


class Measured(Data):
    """What one version does on the held-out data."""

    answers: tuple[Answer, ...]
    """One for each distinct input."""
    nats: tuple[float, ...]
    """Negative log likelihood of each judged sample's reply, or of the labels that a head should give."""
    tokens: tuple[int, ...]
    """Reply tokens of each, or labels."""
    general: float | None
    """Perplexity on the packaged general text: what the version has not forgotten. None of a head, whose base is
    frozen."""
    base_general: float | None
    """The same of the base, its adapter off."""
    general_nats: tuple[float, ...] = ()
    """Negative log likelihood of each passage of the general text; none of a head."""
    general_tokens: tuple[int, ...] = ()
    """Tokens of each."""
    bytes: int
    """Of the weights."""


class Comparison(Data):
    """A challenger against the champion, on the same inputs, resampled together."""

    inputs: int
    metrics: tuple[MetricReport, ...]
    """The task's metrics and the trade's checks, for the systems `champion` and `challenger`."""
    confidence: float
    """Of the metrics' intervals: so high that all of them together err one time in twenty (Bonferroni)."""
    loss: dict[str, float]
    """System → nats per reply token, or per label."""
    per: Literal["token", "label"] = "token"
    """What the losses are counted by: a head writes no tokens."""
    loss_difference: Interval
    """The challenger's less the champion's; below zero is better."""
    general: dict[str, float]
    """champion, challenger, base → perplexity on general text; empty for heads, whose base is frozen."""
    general_growth: Interval | None = None
    """Growth of that perplexity from champion to challenger, 0.1 being ten percent, over the passages; None where
    nothing could be forgotten."""
    milliseconds: dict[str, float]
    """System → median time of a whole answer, one request at a time, taken in turns."""
    per_token: dict[str, float]
    """System → median of an answer's time by its tokens: what does not change when answers grow longer. Empty for
    heads: of one recipe, on one trunk, they take the same time."""
    bytes: int
    """Of the challenger's weights."""


class Judge:
    """Everything that judging one task on one engine needs, made once."""

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
            held_out: what nothing was trained on.
            base: that of the bundle.
            checks: the trade's.
            cache: folder where measurements are kept, so that a champion is measured once.
        """
        self.engine, self.task, self.base, self.checks = engine, task, base, tuple(checks)
        self.held_out = list(held_out)
        self.cases = cases_of(task, self.held_out)
        self._cache = cache
        self._base_general: float | None = None

    def measure(self, finetune: FineTune, adapter: str, progress: Progress) -> Measured:
        """Ask a version for every held-out input. `adapter` is the name it gets in the engine."""
        wear(self.engine, adapter, finetune.path)
        if (known := self._known(finetune, adapter)) is not None and (found := _read(known)) is not None:
            self._base_general = found.base_general
            return found
        size = (finetune.path / finetune.card.weights).stat().st_size
        if adapter in self.engine.heads:
            progress(f"answers of {adapter}")
            outputs = choices(self.engine, adapter, self.task, self.cases)
            answers = answers_of(self.task, self.cases, outputs, self.checks)
            nats, labels = label_losses(self.engine, adapter, self.task, self.held_out)
            found = Measured(
                answers=tuple(answers), nats=nats, tokens=labels, general=None, base_general=None, bytes=size
            )
        else:
            answers = self._answers(adapter, progress)
            progress("likelihoods")
            likely = likelihoods_of(finetune, self.task, self.held_out, self.base, base_general=self._base_general)
            found = Measured(answers=tuple(answers), bytes=size, **likely)
        self._base_general = found.base_general
        if known is not None:
            write_whole(known, found.model_dump_json())
        return found

    def compare(
        self, before: Measured, after: Measured, adapters: tuple[str, str], *, seed: int = 0, resamples: int = 2000
    ) -> Comparison:
        """Champion and challenger side by side. `adapters` are their names in the engine, to take the time."""
        systems = [_system(name, m.answers) for name, m in ((CHAMPION, before), (CHALLENGER, after))]
        references = reference_answers(self.task, self.cases, self.checks)
        weights = resample_weights(len(self.cases), resamples, seed)
        loss = _losses(before, resamples, seed), _losses(after, resamples, seed)
        measures = choose_measures(self.task, checks=self.checks)
        confidence = 1 - ERROR / len(measures)
        times = self._times(adapters)
        headed = adapters[1] in self.engine.heads
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
            per="label" if headed else "token",
            general={name: value for name, value in general.items() if value is not None},
            general_growth=growth(*passages, resamples, seed) if all(passages) else None,
            milliseconds={name: float(np.median([spent for spent, _ in told])) for name, told in times.items()},
            per_token={
                name: float(np.median([spent / tokens for spent, tokens in told]))
                for name, told in times.items()
                if not headed
            },
            bytes=after.bytes,
        )

    def _answers(self, adapter: str, progress: Progress) -> list[Answer]:
        under_way = [self.engine.submit(self._request(case, adapter), wait=None) for case in self.cases]
        answers = []
        for done, (case, generation) in enumerate(zip(self.cases, under_way, strict=True), 1):
            text = generation.result()
            whole = generation.finish_reason != "length"
            answers.append(read_answer(self.task, self.checks, case.input, text, len(generation.ids), whole))
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
        begun = time.perf_counter()
        generation = self.engine.submit(self._request(case, adapter), wait=None)
        generation.result()
        return 1000 * (time.perf_counter() - begun), len(generation.ids) + 1

    def _request(self, case: Case, adapter: str) -> Any:
        return self.engine.request(self.task.name, case.input, language=case.language, adapter=adapter)

    def _known(self, finetune: FineTune, adapter: str) -> Path | None:
        """Where a measurement of these weights, on this data and this graph, is kept."""
        if self._cache is None:
            return None
        import hashlib

        manifest = self.engine.bundle.manifest
        headed = adapter in self.engine.heads
        graph = trunk_file(self.engine, adapter) if headed else manifest.decoder.file
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
    """`nats` and `tokens` of the judged samples' replies, and perplexities on general text, LoRA on and off.

    `base_general` is the latter, where it is known already: it is the same for every fine-tune of a base.
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
    examples = encode_samples(tokenizer, {task.name: task}, distinct_first(held_out)[:JUDGED], base.card.context_length)
    reader = TrainingModel(model, tokenizer.pad_id)
    with training_kernels(model):
        reader.choose_layout(sorted(examples, key=len)[:2])
        nats = reader.nats(examples)
    reader.finish()
    with torch.inference_mode():
        general = [passage for told in passages(model, tokenizer).values() for passage in told]
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
    """How much perplexity grows from one version to another, 0.1 being ten percent; bootstrapped over passages.

    Args:
        before, after: nats of each passage.
        tokens: of each.
    """
    weights = resample_weights(len(tokens), resamples, seed)
    change = (weights @ (np.array(after) - np.array(before))) / (weights @ np.array(tokens, dtype=np.float64))
    return interval(np.exp(change) - 1, GENERAL_CONFIDENCE)


def _read(known: Path) -> Measured | None:
    """A measurement that is kept; None where there is none, or one of an earlier Metier that did not measure all."""
    try:
        return Measured.model_validate_json(known.read_bytes())
    except (OSError, ValidationError):
        return None


def _losses(of: Measured, resamples: int, seed: int) -> Array:
    """Nats per reply token, `[1 + resamples]`, as it is first."""
    weights = resample_weights(len(of.nats), resamples, seed)
    return np.asarray((weights @ np.array(of.nats)) / (weights @ np.array(of.tokens, dtype=np.float64)))


def _system(name: str, answers: Sequence[Answer]) -> Answers:
    report = SystemReport(
        name=name,
        title=name,
        detail="",
        seconds=0.0,
        tokens=sum(answer.tokens for answer in answers),
        undecoded=sum(answer.output is None for answer in answers),
        cut=sum(not answer.finished for answer in answers),
    )
    return Answers(report, list(answers))
