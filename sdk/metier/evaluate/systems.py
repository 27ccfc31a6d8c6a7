"""Puts the same inputs to each system and reads the answers: the base bare, the base with worked samples, the
fine-tune, a bundle. It knows prompts and replies; figures are made elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from metier.contracts import Check, ContractError, Sample, TaskContract, Value
from metier.contracts.check import run_checks
from metier.evaluate.cases import Case, pick_shots
from metier.evaluate.results import Answer, SystemReport
from metier.runtime.bundle import Bundle
from metier.runtime.prompt import prompt_ids
from metier.runtime.reply import decode_reply, grammar_of
from metier.runtime.tokenizer import ChatTokenizer

Progress = Callable[..., None]
"""`progress(what, done, total)`."""


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
        from metier.runtime.constraint import Constraint

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


def ask_bundle(
    bundle: Bundle,
    task: TaskContract,
    cases: Sequence[Case],
    *,
    name: str,
    max_tokens: int | None,
    checks: Sequence[Check],
    progress: Progress,
) -> Answers:
    """Answers of an exported bundle through the runtime, as a product gets them."""
    from metier.runtime.engine import Engine
    from metier.runtime.reading import unread

    with Engine(bundle) as engine:
        title = f"Bundle ({bundle.manifest.precision})"
        begun = time.perf_counter()
        progress(title, 0, len(cases))
        limits: dict[str, Any] = {} if max_tokens is None else {"max_tokens": max_tokens}
        under_way = [
            engine.submit(engine.request(task.name, unread(task, case.input), language=case.language, **limits))
            for case in cases
        ]
        answers = []
        for done, (case, generation) in enumerate(zip(cases, under_way, strict=True), 1):
            text = generation.result()
            finished = generation.finish_reason != "length"
            answers.append(read_answer(task, checks, case.input, text, len(generation.ids), finished))
            progress(title, done, len(cases))
        seconds = time.perf_counter() - begun
        detail = f"{bundle.manifest.name}, ONNX Runtime on {engine.device}"
    return Answers(_report(name, title, detail, seconds, answers), answers)


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


def zero_shot_prompts(tokenizer: ChatTokenizer, task: TaskContract, cases: Sequence[Case]) -> list[list[int]]:
    """The prompt of each case as the runtime puts it."""
    return [prompt_ids(tokenizer, task, case.input, language=case.language) for case in cases]


def few_shot_prompts(
    tokenizer: ChatTokenizer,
    task: TaskContract,
    cases: Sequence[Case],
    train: Sequence[Sample],
    *,
    count: int,
    seed: int,
    room: int,
) -> tuple[list[list[int]], int]:
    """Prompts with worked samples in front, the same for all cases of a language, and how many of them at most.

    As many are shown as leave the longest prompt within `room` tokens.
    """
    prompts: list[list[int]] = [[] for _ in cases]
    shown = 0
    for language in dict.fromkeys(case.language for case in cases):
        places = [i for i, case in enumerate(cases) if case.language == language]
        shots = pick_shots(task, train, cases, language, count, seed)
        while True:
            told = [prompt_ids(tokenizer, task, cases[i].input, language=language, shots=shots) for i in places]
            if not shots or max(map(len, told)) <= room:
                break
            shots = shots[:-1]
        shown = max(shown, len(shots))
        for i, ids in zip(places, told, strict=True):
            prompts[i] = ids
    return prompts, shown


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
