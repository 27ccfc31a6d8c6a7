"""Runs each system on the same held-out inputs: a torch model, a head, a bundle, or the most frequent label.

It knows prompts and replies; figures are computed elsewhere.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from metier.adapt.method import LoadedModel, Prediction
from metier.adapt.text_method import TextModel, decoded
from metier.contracts import Check, Sample, TaskContract, Value
from metier.contracts.check import run_checks
from metier.metrics.cases import Case
from metier.metrics.results import BUNDLE, MOST_FREQUENT, ReportedAnswer, SystemReport
from metier.prompting.reply import decode_reply, encode_reply
from metier.runtime.bundle import Bundle
from metier.runtime.input_bridges import skip_input_bridges

if TYPE_CHECKING:
    from metier.runtime.engine import Engine

Progress = Callable[..., None]
"""`progress(what, done, total)`."""


def silent(*_: Any, **__: Any) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class HeldOut:
    """What every system of an evaluation has in common."""

    task: TaskContract
    cases: Sequence[Case]
    checks: Sequence[Check] = ()
    """The trade's."""
    progress: Progress = silent


class Label(NamedTuple):
    """How a report refers to a system."""

    name: str
    title: str
    detail: str = ""


class SystemAnswers(NamedTuple):
    """All answers of one system, in the order of the cases."""

    report: SystemReport
    answers: list[ReportedAnswer]


def report_answer(
    task: TaskContract,
    checks: Sequence[Check],
    input: Value,
    reply: str | Value,
    tokens: int = 0,
    finished: bool = True,
) -> ReportedAnswer:
    """A reply decoded, validated and checked.

    Args:
        task: the contract.
        checks: the trade's.
        input: what the reply answers.
        reply: the text that a model generated, or the output that a head chose.
        tokens: of the text; a head generates none.
        finished: False where the text was cut at its token limit.
    """
    if isinstance(reply, str):
        return _checked(checks, input, decoded(task, input, reply, tokens, finished))
    return _checked(checks, input, Prediction(encode_reply(task, reply).strip(), reply))


def _checked(checks: Sequence[Check], input: Value, prediction: Prediction) -> ReportedAnswer:
    return ReportedAnswer(
        text=prediction.text,
        output=prediction.output,
        problem=prediction.problem,
        findings=run_checks(checks, input, prediction.output),
        tokens=prediction.tokens,
        finished=prediction.finished,
    )


def answers_of(
    task: TaskContract, cases: Sequence[Case], outputs: Sequence[Value], checks: Sequence[Check]
) -> list[ReportedAnswer]:
    """A head's outputs as answers, case by case."""
    return [report_answer(task, checks, case.input, out) for case, out in zip(cases, outputs, strict=True)]


def prompted_answers(
    model: TextModel, held_out: HeldOut, prompts: Sequence[Sequence[int]], label: Label, *, max_tokens: int
) -> SystemAnswers:
    """Greedy answers of a torch model to given prompts, under the contract's grammar where it has one.

    Args:
        model: of the task.
        held_out: the cases.
        prompts: token ids, case by case.
        label: of the system.
        max_tokens: longest reply.
    """
    inputs = [case.input for case in held_out.cases]
    return _timed(held_out, label, lambda done: model.reply(inputs, prompts, max_tokens=max_tokens, on_done=done))


def fine_tune_answers(model: LoadedModel, held_out: HeldOut, label: Label, *, max_tokens: int) -> SystemAnswers:
    """Answers of a fine-tune in torch, whatever it produces."""
    inputs = [case.input for case in held_out.cases]
    languages = [case.language for case in held_out.cases]
    return _timed(held_out, label, lambda done: model.predict(inputs, languages, max_tokens=max_tokens, on_done=done))


def _timed(
    held_out: HeldOut, label: Label, predict: Callable[[Callable[[int], None]], Sequence[Prediction]]
) -> SystemAnswers:
    """Predictions of all cases, timed and checked; `predict` takes the callback for finished cases."""
    total = len(held_out.cases)
    held_out.progress(label.title, 0, total)
    started = time.perf_counter()
    predictions = predict(lambda done: held_out.progress(label.title, done, total))
    seconds = time.perf_counter() - started
    pairs = zip(held_out.cases, predictions, strict=True)
    return system_answers(label, [_checked(held_out.checks, case.input, made) for case, made in pairs], seconds)


def most_frequent(held_out: HeldOut, train: Sequence[Sample]) -> SystemAnswers | None:
    """The training samples' most frequent label, the first of equals, as the answer to every input: what a head must
    beat where no base can be prompted. None where the task has no labels, or there are no samples of it."""
    task = held_out.task
    counts = Counter(encode_reply(task, sample.output) for sample in train if sample.task == task.name)
    if not task.labels or not counts:
        return None
    text, count = counts.most_common(1)[0]
    outputs = [decode_reply(task, text)] * len(held_out.cases)
    label = Label(MOST_FREQUENT, "Most frequent answer", f"{text}: {count} of {counts.total()} training samples")
    return system_answers(label, answers_of(task, held_out.cases, outputs, held_out.checks), 0.0)


def bundle_answers(
    bundle: Bundle, held_out: HeldOut, *, adapter: str | None = None, max_tokens: int | None = None
) -> SystemAnswers:
    """Answers of an exported bundle through the runtime, as a product gets them.

    Args:
        bundle: has the task.
        held_out: the cases.
        adapter: LoRA adapter or head of the bundle; None takes the one that was trained for the task.
        max_tokens: longest reply; None takes the contract's.

    Raises:
        UsageError: several were trained for the task and none is named.
    """
    from metier.runtime.engine import Engine

    task, cases = held_out.task, held_out.cases
    title = f"Bundle ({bundle.manifest.precision})"
    with Engine(bundle) as engine:
        started = time.perf_counter()
        held_out.progress(title, 0, len(cases))
        predictor = engine.predictor(task.name, adapter)
        head = None if predictor.writes else predictor.name
        if head is not None:
            answers = answers_of(task, cases, head_outputs(engine, head, task, cases), held_out.checks)
        else:
            answers = _generated(engine, held_out, title, adapter, max_tokens)[0]
        seconds = time.perf_counter() - started
        named = f", the head {head}" if head else ""
        detail = f"{bundle.manifest.name}{named}, ONNX Runtime on {engine.device}"
    return system_answers(Label(BUNDLE, title, detail), answers, seconds)


def head_outputs(engine: Engine, head: str, task: TaskContract, cases: Sequence[Case]) -> list[Value]:
    """The output of an engine's head for each case. Nothing is recorded: the requests are not a user's."""
    inputs = [skip_input_bridges(task, case.input) for case in cases]
    languages = [case.language for case in cases]
    return list(engine.run_many(task.name, inputs, adapter=head, language=languages, record=False))


def adapter_answers(
    engine: Engine,
    held_out: HeldOut,
    label: Label,
    *,
    adapter: str,
    prompts: Sequence[Sequence[int]] | None = None,
    max_tokens: int | None = None,
) -> SystemAnswers:
    """Greedy answers of a bundle with LoRA slots, as its base or as one of its adapters, through the runtime.

    Args:
        engine: of the bundle, which has the task.
        held_out: the cases.
        label: of the system.
        adapter: its name; `base` is none.
        prompts: token ids, case by case, in place of the task's own prompt.
        max_tokens: longest reply; None takes the contract's.
    """
    answers, seconds = _generated(engine, held_out, label.title, adapter, max_tokens, prompts)
    return system_answers(label, answers, seconds)


def _generated(
    engine: Engine,
    held_out: HeldOut,
    title: str,
    adapter: str | None,
    max_tokens: int | None,
    prompts: Sequence[Sequence[int]] | None = None,
) -> tuple[list[ReportedAnswer], float]:
    """The answers, and the seconds that they took."""
    task, cases = held_out.task, held_out.cases
    limits: dict[str, Any] = {} if max_tokens is None else {"max_tokens": max_tokens}
    started = time.perf_counter()
    generations = []
    for number, case in enumerate(cases):
        input = skip_input_bridges(task, case.input)
        request = engine.request(task.name, input, language=case.language, adapter=adapter, **limits)
        if prompts is not None:
            request = replace(request, ids=tuple(prompts[number]))
        generations.append(engine.submit(request, wait=None))
    answers = []
    for done, (case, generation) in enumerate(zip(cases, generations, strict=True), 1):
        text = generation.result()
        finished = generation.finish_reason != "length"
        answers.append(report_answer(task, held_out.checks, case.input, text, len(generation.ids), finished))
        held_out.progress(title, done, len(cases))
    return answers, time.perf_counter() - started


def system_answers(label: Label, answers: Sequence[ReportedAnswer], seconds: float = 0.0) -> SystemAnswers:
    """Answers with their totals."""
    report = SystemReport(
        name=label.name,
        title=label.title,
        detail=label.detail,
        seconds=seconds,
        tokens=sum(answer.tokens for answer in answers),
        undecoded=sum(answer.output is None for answer in answers),
        cut=sum(not answer.finished for answer in answers),
    )
    return SystemAnswers(report, list(answers))
