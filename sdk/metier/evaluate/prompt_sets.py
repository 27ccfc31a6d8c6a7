"""The prompts of a base that generates text: each held-out input alone, and after worked samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metier.bases.resolve import LocalBase
from metier.contracts import ContractError, Sample, TaskContract
from metier.decoding.tokenizer import ChatTokenizer
from metier.metrics.cases import Case, pick_shots
from metier.prompting.prompt import prompt_ids


class Prompts(NamedTuple):
    """Token ids case by case, and their tokenizer."""

    tokenizer: ChatTokenizer
    zero: list[list[int]]
    few: list[list[int]]
    shown: int
    """Worked samples in `few`, at most."""


def prompts_of(
    base: LocalBase,
    task: TaskContract,
    cases: Sequence[Case],
    train: Sequence[Sample],
    few_shot: int,
    seed: int,
    limit: int,
) -> Prompts:
    """The prompts of all cases.

    Args:
        base: a base that generates text.
        task: the contract.
        cases: the inputs.
        train: where worked samples are taken from.
        few_shot: how many, where they fit.
        seed: of their choice.
        limit: tokens of the longest reply.

    Raises:
        ContractError: a prompt and its reply do not fit the base's context.
    """
    tokenizer = ChatTokenizer.load(base.path)
    zero = zero_shot_prompts(tokenizer, task, cases)
    _fits(zero, cases, base, limit)
    room = base.card.context_length - limit
    few, shown = few_shot_prompts(tokenizer, task, cases, train, count=few_shot, seed=seed, room=room)
    return Prompts(tokenizer, zero, few, shown)


def zero_shot_prompts(tokenizer: ChatTokenizer, task: TaskContract, cases: Sequence[Case]) -> list[list[int]]:
    """The prompt of each case, as the runtime renders it."""
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

    Samples are dropped until the longest prompt fits `room` tokens.
    """
    prompts: list[list[int]] = [[] for _ in cases]
    shown = 0
    for language in dict.fromkeys(case.language for case in cases):
        places = [i for i, case in enumerate(cases) if case.language == language]
        shots = pick_shots(task, train, cases, language, count, seed)
        while True:
            rendered = [prompt_ids(tokenizer, task, cases[i].input, language=language, shots=shots) for i in places]
            if not shots or max(map(len, rendered)) <= room:
                break
            shots = shots[:-1]
        shown = max(shown, len(shots))
        for i, ids in zip(places, rendered, strict=True):
            prompts[i] = ids
    return prompts, shown


def _fits(prompts: Sequence[Sequence[int]], cases: Sequence[Case], base: LocalBase, limit: int) -> None:
    for ids, case in zip(prompts, cases, strict=True):
        if len(ids) + limit > base.card.context_length:
            raise ContractError(
                f"the prompt takes {len(ids)} tokens and the reply up to {limit}, "
                f"but {base.card.id} holds {base.card.context_length}",
                where=case.place,
                remedy="shorten the input, lower max_tokens, or use a base with a longer context",
            )
