"""Batched greedy decoding gives what each prompt gives alone."""

import random
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def model(tiny_base: Path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype="float32").eval()


def alone(model, prompt: list[int], eos: int, max_tokens: int) -> list[int]:
    """The reference: transformers' own greedy generate at batch 1."""
    import torch

    ids = torch.tensor([prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=eos,
        pad_token_id=0,
    )
    reply = out[0, len(prompt) :].tolist()
    return reply[: reply.index(eos)] if eos in reply else reply


def frequent_token(model, prompts: list[list[int]]) -> int:
    """A token that some replies contain early, so that rows finish at different steps."""
    replies = [alone(model, p, 10_000, 12) for p in prompts]
    return replies[0][4]


@pytest.mark.parametrize("shared", [0, 1, 23])
def test_ragged_prompts_with_and_without_a_shared_prefix_reply_as_they_do_alone(model, shared: int) -> None:
    from metier.adapt.generate import generate

    rng = random.Random(shared)
    prefix = [rng.randrange(3, 300) for _ in range(shared)]
    prompts = [prefix + [rng.randrange(3, 300) for _ in range(rng.randrange(1, 30))] for _ in range(13)]
    eos = frequent_token(model, prompts)
    replies = generate(model, prompts, eos_ids=[eos], max_tokens=20)
    assert [r.ids for r in replies] == [alone(model, p, eos, 20) for p in prompts]
    assert {r.finished for r in replies} == {True, False}, "the case must hold both finished and cut replies"
    assert all(len(r.ids) == 20 for r in replies if not r.finished)


def test_a_prompt_that_begins_another_one_is_answered_from_its_own_last_token(model) -> None:
    from metier.adapt.generate import generate

    long = [9, 41, 7, 100, 101, 102]
    prompts = [long, long[:3], long[:1]]
    replies = generate(model, prompts, eos_ids=[1], max_tokens=6)
    assert [r.ids for r in replies] == [alone(model, p, 1, 6) for p in prompts]


def test_batches_are_cut_by_the_tokens_they_hold(model, monkeypatch: pytest.MonkeyPatch) -> None:
    from metier.adapt import generate as module

    seen: list[int] = []
    original = module._batch
    monkeypatch.setattr(module, "BATCH_TOKENS", 60)
    monkeypatch.setattr(
        module, "_batch", lambda model, prompts, *rest: seen.append(len(prompts)) or original(model, prompts, *rest)
    )
    prompts = [[5] * n for n in (30, 10, 10, 10, 70)]
    done: list[int] = []
    replies = module.generate(model, prompts, eos_ids=[1], max_tokens=10, on_done=done.append)
    assert seen == [3, 1, 1] and done == [3, 4, 5]
    assert [r.ids for r in replies] == [alone(model, p, 1, 10) for p in prompts]


def test_a_guide_decides_which_tokens_may_come(model) -> None:
    from metier.adapt.generate import generate

    class OnlyTens:
        def __init__(self) -> None:
            self.taken: list[int] = []

        def allowed(self) -> np.ndarray:
            mask = np.zeros(model.config.vocab_size, dtype=bool)
            mask[10:20] = True
            return mask

        def accept(self, token: int) -> int:
            self.taken.append(token)
            return token

        @property
        def done(self) -> bool:
            return len(self.taken) == 3

    replies = generate(model, [[5, 6], [7]], eos_ids=[1], max_tokens=9, guide=lambda _: OnlyTens())
    assert all(len(r.ids) == 3 and r.finished and all(10 <= t < 20 for t in r.ids) for r in replies)


def test_a_growing_cache_holds_what_was_put_in(model) -> None:
    import torch

    from metier.adapt.kv_cache import GrowingLayer

    layer, parts = GrowingLayer(), [torch.randn(2, 3, n, 4) for n in (5, 1, 1, 90, 1)]
    for part in parts:
        keys, values = layer.update(part, part + 1)
    assert torch.equal(keys, torch.cat(parts, dim=2)) and torch.equal(values, keys + 1)
    layer.take_rows(torch.tensor([1, 1, 0]))
    assert torch.equal(layer.keys, torch.cat(parts, dim=2)[[1, 1, 0]])


def test_no_ngram_repeats_in_a_reply_though_it_may_occur_in_the_prompt(model) -> None:
    from metier.adapt.generate import generate

    prompts = [[5, 6, 7, 5, 6, 7], [9, 41], [100] * 8]
    for size in (1, 2, 3):
        for reply in generate(model, prompts, eos_ids=[10_000], max_tokens=40, no_repeat_ngram_size=size):
            runs = list(zip(*(reply.ids[k:] for k in range(size)), strict=False))
            assert len(reply.ids) == 40 and len(runs) == len(set(runs))
    free = generate(model, prompts, eos_ids=[10_000], max_tokens=40)
    assert any(len(set(r.ids)) < len(r.ids) for r in free), "the case must repeat where it may"
