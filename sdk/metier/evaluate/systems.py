"""Puts the same inputs to each system and reads the answers: the base bare, the base with worked samples, the
fine-tune, which may be a head, a bundle. It knows prompts and replies; figures are made elsewhere.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from metier.contracts import Check, ContractError, Sample, TaskContract, Value
from metier.contracts.check import run_checks
from metier.decoding.tokenizer import ChatTokenizer
from metier.metrics.cases import Case
from metier.metrics.results import MOST_FREQUENT, Answer, SystemReport
from metier.prompting.reply import decode_reply, encode_reply, grammar_of
from metier.runtime.bundle import Bundle
from metier.runtime.input_bridges import skip_input_bridges

if TYPE_CHECKING:
    from metier.runtime.engine import Engine

Progress = Callable[..., None]
"""`progress(what, done, total)`."""

Predict = Callable[[Sequence[Value], Sequence[str]], Sequence[Value]]
"""Outputs of a head for inputs in languages, in order; such as `metier.heads.Headed.predict`."""


class Answers(NamedTuple):
    """All answers of one system, in the order of the cases."""

    report: SystemReport
    answers: list[Answer]


def ask_torch(
    model: Any,
    tokenizer: ChatTokenizer,
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
    """Greedy answers of a torch model, under the contract's grammar where it has one, as the runtime decodes."""
    from metier.evaluate.generate import generate

    guide = None
    if grammar_of(task) is not None:
        from metier.decoding.constraint import Constraint

        vocab_size = model.get_output_embeddings().weight.shape[0]

        def guide(case: int) -> Constraint:
            grammar = grammar_of(task.for_input(cases[case].input), cases[case].input) or ""
            return Constraint(tokenizer, grammar, max_tokens, vocab_size)

    begun = time.perf_counter()
    progress(title, 0, len(cases))
    replies = generate(
        model,
        prompts,
        eos_ids=tokenizer.eos_ids,
        max_tokens=max_tokens,
        no_repeat_ngram_size=task.no_repeat_ngram_size,
        guide=guide,
        on_done=lambda done: progress(title, done, len(cases)),
    )
    seconds = time.perf_counter() - begun
    answers = [
        read_answer(task, checks, case.input, tokenizer.decode(r.ids), len(r.ids), r.finished)
        for case, r in zip(cases, replies, strict=True)
    ]
    return Answers(_report(name, title, detail, seconds, answers), answers)


def ask_head(
    predict: Predict,
    task: TaskContract,
    cases: Sequence[Case],
    *,
    name: str,
    title: str,
    detail: str,
    checks: Sequence[Check],
    progress: Progress,
) -> Answers:
    """Answers of a head in torch. It writes nothing, so that they have no tokens."""
    begun = time.perf_counter()
    progress(title, 0, len(cases))
    outputs = predict([case.input for case in cases], [case.language for case in cases])
    seconds = time.perf_counter() - begun
    answers = answers_of(task, cases, outputs, checks)
    return Answers(_report(name, title, detail, seconds, answers), answers)


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

    with Engine(bundle) as engine:
        title = f"Bundle ({bundle.manifest.precision})"
        begun = time.perf_counter()
        progress(title, 0, len(cases))
        predictor = engine.predictor(task.name, adapter)
        head = None if predictor.writes else predictor.name
        if head is not None:
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
    """What an engine's head chooses for each case; the engine's recorder does not get these answers."""
    inputs = [skip_input_bridges(task, case.input) for case in cases]
    languages = [case.language for case in cases]
    return list(engine.run_many(task.name, inputs, adapter=head, language=languages, record=False))


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
            engine.request(
                task.name, skip_input_bridges(task, case.input), language=case.language, adapter=adapter, **limits
            )
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
    output, problem = None, None
    try:
        output = decode_reply(task.for_input(input), text)
    except ContractError as error:
        problem = error.what
    return Answer(
        text=text.strip(),
        output=output,
        problem=problem,
        findings=run_checks(checks, input, output),
        tokens=tokens,
        finished=finished,
    )


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
