"""Puts the same inputs to each system and reads the answers: the base bare, the base with worked samples, the
fine-tune, which may be a head, a bundle. It knows prompts and replies; figures are made elsewhere.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from metier.adapt.methods import LoadedModel, Prediction
from metier.adapt.text_method import TextModel, decoded
from metier.contracts import Check, Sample, TaskContract, Value
from metier.contracts.check import run_checks
from metier.metrics.cases import Case
from metier.metrics.results import MOST_FREQUENT, Answer, SystemReport
from metier.prompting.reply import decode_reply, encode_reply
from metier.runtime.bundle import Bundle
from metier.runtime.input_bridges import unread

if TYPE_CHECKING:
    from metier.runtime.engine import Engine

Progress = Callable[..., None]
"""`progress(what, done, total)`."""


class Answers(NamedTuple):
    """All answers of one system, in the order of the cases."""

    report: SystemReport
    answers: list[Answer]


def ask_torch(
    model: TextModel,
    task: TaskContract,
    cases: Sequence[Case],
    prompts: Sequence[Sequence[int]],
    *,
    name: str,
    title: str,
    detail: str,
    max_tokens: int,
    checks: Sequence[Check],
    progress: Progress,
) -> Answers:
    """Greedy answers of a torch model to given prompts, under the contract's grammar, as the runtime decodes."""
    begun = time.perf_counter()
    progress(title, 0, len(cases))
    inputs = [case.input for case in cases]
    predictions = model.reply(
        inputs, prompts, max_tokens=max_tokens, on_done=lambda done: progress(title, done, len(cases))
    )
    seconds = time.perf_counter() - begun
    answers = _checked(checks, inputs, predictions)
    return Answers(_report(name, title, detail, seconds, answers), answers)


def ask_fine_tune(
    model: LoadedModel,
    cases: Sequence[Case],
    *,
    name: str,
    title: str,
    detail: str,
    max_tokens: int,
    checks: Sequence[Check],
    progress: Progress,
) -> Answers:
    """Answers of a fine-tune in torch, whatever it produces."""
    begun = time.perf_counter()
    progress(title, 0, len(cases))
    inputs = [case.input for case in cases]
    predictions = model.predict(
        inputs,
        [case.language for case in cases],
        max_tokens=max_tokens,
        on_done=lambda done: progress(title, done, len(cases)),
    )
    seconds = time.perf_counter() - begun
    answers = _checked(checks, inputs, predictions)
    return Answers(_report(name, title, detail, seconds, answers), answers)


def _checked(checks: Sequence[Check], inputs: Sequence[Value], predictions: Sequence[Prediction]) -> list[Answer]:
    return [
        Answer(
            text=prediction.text,
            output=prediction.output,
            problem=prediction.problem,
            findings=run_checks(checks, value, prediction.output),
            tokens=prediction.tokens,
            finished=prediction.finished,
        )
        for value, prediction in zip(inputs, predictions, strict=True)
    ]


def most_frequent(
    task: TaskContract, cases: Sequence[Case], train: Sequence[Sample], checks: Sequence[Check]
) -> Answers | None:
    """The training samples' most frequent label, the first of equals, as the answer to every input: what a head must
    beat where no base can be prompted. None where the task has no labels, or there are no samples of it."""
    counted = Counter(encode_reply(task, sample.output) for sample in train if sample.task == task.name)
    if not task.labels or not counted:
        return None
    label, count = counted.most_common(1)[0]
    answers = answers_of(task, cases, [decode_reply(task, label)] * len(cases), checks)
    detail = f"{label}: {count} of {counted.total()} training samples"
    return Answers(_report(MOST_FREQUENT, "Most frequent answer", detail, 0.0, answers), answers)


def ask_bundle(
    bundle: Bundle,
    task: TaskContract,
    cases: Sequence[Case],
    *,
    name: str,
    adapter: str | None = None,
    max_tokens: int | None,
    checks: Sequence[Check],
    progress: Progress,
) -> Answers:
    """Answers of an exported bundle through the runtime, as a product gets them, whether it writes or a head chooses.

    Args:
        bundle: has the task.
        task: the contract.
        cases: the inputs.
        name: of the system.
        adapter: LoRA adapter or head of the bundle; None takes the one that was trained for the task.
        max_tokens: longest reply; None takes the contract's.
        checks: the trade's.
        progress: called as `progress(what, done, total)`.

    Raises:
        UsageError: several were trained for the task and none is named.
    """
    from metier.runtime.engine import Engine
    from metier.runtime.routing import head_for

    with Engine(bundle) as engine:
        title = f"Bundle ({bundle.manifest.precision})"
        begun = time.perf_counter()
        progress(title, 0, len(cases))
        if (head := head_for(engine, task.name, adapter)) is not None:
            answers = answers_of(task, cases, choices(engine, head, task, cases), checks)
        else:
            answers = _written(
                engine, adapter, task, cases, max_tokens, checks, lambda n: progress(title, n, len(cases))
            )
        seconds = time.perf_counter() - begun
        named = f", the head {head}" if head else ""
        detail = f"{bundle.manifest.name}{named}, ONNX Runtime on {engine.device}"
    return Answers(_report(name, title, detail, seconds, answers), answers)


def choices(engine: Engine, head: str, task: TaskContract, cases: Sequence[Case]) -> list[Value]:
    """What an engine's head chooses for each case. No recorder hears of it: these are no users' questions."""
    found: dict[int, Value] = {}
    for language in dict.fromkeys(case.language for case in cases):
        places = [i for i, case in enumerate(cases) if case.language == language]
        whole = (engine.whole(task.name, unread(task, cases[i].input)) for i in places)
        made = engine.heads.answers(head, task.name, whole, options={"language": language})
        found.update({i: chosen.answer.output for i, chosen in zip(places, made, strict=True)})
    return [found[i] for i in range(len(cases))]


def answers_of(
    task: TaskContract, cases: Sequence[Case], outputs: Sequence[Value], checks: Sequence[Check]
) -> list[Answer]:
    """A head's outputs as answers, each with the text that says the same, of no tokens."""
    return [
        Answer(
            text=encode_reply(task, output).strip(),
            output=output,
            findings=run_checks(checks, case.input, output),
            tokens=0,
        )
        for case, output in zip(cases, outputs, strict=True)
    ]


def _written(
    engine: Engine,
    adapter: str | None,
    task: TaskContract,
    cases: Sequence[Case],
    max_tokens: int | None,
    checks: Sequence[Check],
    on_done: Callable[[int], None],
) -> list[Answer]:
    limits: dict[str, Any] = {} if max_tokens is None else {"max_tokens": max_tokens}
    under_way = [
        engine.submit(
            engine.request(task.name, unread(task, case.input), language=case.language, adapter=adapter, **limits)
        )
        for case in cases
    ]
    answers = []
    for done, (case, generation) in enumerate(zip(cases, under_way, strict=True), 1):
        text = generation.result()
        finished = generation.finish_reason != "length"
        answers.append(read_answer(task, checks, case.input, text, len(generation.ids), finished))
        on_done(done)
    return answers


def read_answer(
    task: TaskContract, checks: Sequence[Check], input: Value, text: str, tokens: int, finished: bool
) -> Answer:
    """A reply's text as an answer: its output where it has one, and what the checks find."""
    (answer,) = _checked(checks, [input], [decoded(task, input, text, tokens, finished)])
    return answer


def _report(name: str, title: str, detail: str, seconds: float, answers: list[Answer]) -> SystemReport:
    return SystemReport(
        name=name,
        title=title,
        detail=detail,
        seconds=seconds,
        tokens=sum(a.tokens for a in answers),
        undecoded=sum(a.output is None for a in answers),
        cut=sum(not a.finished for a in answers),
    )
