"""What `reward.py` measures of a policy, and of the reward model.

Besides the rewards, what would show that they are gamed, none of which is rewarded: chrF against the references,
length, how much of the copy is brackets or keys taken over, how many answers are the same or begin alike, and
what the base itself thinks of the text (nats a token).
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from reward_ground import Ground, draw, key, policy

DRAWN = 6
"""Answers drawn to each input: one says little of a policy."""
SAMPLES = 3
"""Inputs of which the greedy answers are kept, to be read."""
SIDES = ("chosen", "rejected")


def measure(setup: Ground, finetune: Any, on: str) -> dict[str, Any]:
    """Figures of a policy's answers to the samples of `on`, drawn at temperature 1 and greedy; None is the base."""
    from metier.evaluate.forgetting import likelihoods

    begin, samples = finetune or setup.sft.card.recipe, setup.samples(on)
    adapted = policy(setup.base, begin)
    report: dict[str, Any] = {}
    for kind, times, temperature in (("drawn", DRAWN, 1.0), ("greedy", 1, 0.0)):
        answers = draw(
            setup.bundle, setup.base, begin, setup.task, samples, times=times, seed=13, temperature=temperature
        )
        rewards = np.reshape(setup.rule(answers), (-1, times)).mean(1)  # [inputs]
        report[kind] = {"rewards": rewards.round(4).tolist(), **figures(setup, answers, samples)}
        if kind == "drawn":
            report["kl_to_sft"] = round(nats(adapted, answers) - nats(policy(setup.base, setup.sft), answers), 3)
    tokens = sum(len(answer.reply) for answer in answers)
    bare = nats(policy(setup.base, setup.sft.card.recipe), answers) * len(answers)
    report["greedy"]["not_rewarded"]["base_nats_per_token"] = round(-bare / tokens, 3)
    report["samples"] = [
        {"input": a.input["facts"], "text": a.text, "wrong": wrong(setup, a)} for a in answers[:SAMPLES]
    ]
    general = likelihoods(adapted.float(), setup.bundle.tokenizer)
    report["general_perplexity"] = {language: round(found.perplexity, 2) for language, found in general.items()}
    return report


def figures(setup: Ground, answers: Sequence[Any], samples: Sequence[Any]) -> dict[str, Any]:
    """Figures of answers, whichever system gave them."""
    from sacrebleu.metrics import CHRF

    from metier.contracts import run_checks

    references: dict[str, list[str]] = {}
    for s in samples:
        references.setdefault(key(s), []).append(s.output["text"])
    own = [references[key(a)] for a in answers]
    aligned = [[refs[min(k, len(refs) - 1)] for refs in own] for k in range(max(map(len, own)))]
    texts = [a.text for a in answers]
    found = [run_checks(setup.checks, a.input, a.output) for a in answers]
    openings = Counter(" ".join(text.split()[:3]) for text in texts)

    def share(of: Sequence[Any]) -> float:
        return round(sum(map(bool, of)) / len(of), 3)

    return {
        "answers": len(answers),
        "reward_by_rule": round(statistics.mean(setup.rule(answers)), 4),
        "reward_model": round(statistics.mean(setup.judge.standard([[*a.prompt, *a.reply] for a in answers])), 3),
        "ended": share([a.ended for a in answers]),
        "passes": {check.name: share([not one[check.name] for one in found]) for check in setup.checks},
        "not_rewarded": {
            "chrf": round(CHRF().corpus_score(texts, aligned).score, 1),
            "characters": round(statistics.mean(map(len, texts)), 1),
            "characters_of_references": round(statistics.mean(len(ref) for refs in own for ref in refs), 1),
            "with_brackets": share([re.search(r"[\[\]]", text) for text in texts]),
            "distinct_answers": round(len(set(texts)) / len(texts), 3),
            "commonest_opening": round(openings.most_common(1)[0][1] / len(texts), 3),
            "distinct_bigrams": round(distinct_bigrams(texts), 3),
        },
    }


def interval(rewards: Sequence[float], before: Sequence[float]) -> dict[str, float]:
    """Mean difference of two policies' rewards on the same inputs, with its 95% interval over inputs (bootstrap)."""
    more = np.subtract(rewards, before)
    picked = np.random.default_rng(0).integers(0, len(more), (10_000, len(more)))
    low, high = np.quantile(more[picked].mean(1), [0.025, 0.975])
    return {"mean": round(float(more.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def nats(adapted: Any, answers: Sequence[Any]) -> float:
    """Log-probability of an answer on the mean, in nats."""
    import torch

    from metier.align.policy import Policy
    from metier.training.examples import Example

    with torch.no_grad():
        logprobs, _, _, mask = Policy(adapted, 0, "start").evaluate([Example(a.prompt, a.reply) for a in answers], 16)
    return float((logprobs * mask).sum(1).mean())


def wrong(setup: Ground, answer: Any) -> list[str]:
    """What the checks find in an answer."""
    from metier.contracts import run_checks

    found = run_checks(setup.checks, answer.input, answer.output)
    return [f"{name}: {finding.message}" for name, findings in found.items() for finding in findings]


def distinct_bigrams(texts: Sequence[str]) -> float:
    """Different pairs of neighbouring words over all pairs: falls when answers become one template."""
    pairs = [pair for text in texts for pair in zip(text.split(), text.split()[1:], strict=False)]
    return len(set(pairs)) / max(1, len(pairs))


def judged(setup: Ground) -> dict[str, Any]:
    """The reward model on the held-out pairs, with 95% intervals over their inputs, and what length has to do with
    it."""
    from metier.align.calibration import pair_figures
    from metier.align.pairs import encode_pairs

    card, held_out_pairs = setup.judge.card, setup.held_out_pairs
    pairs = encode_pairs(setup.bundle.tokenizer, {setup.task.name: setup.task}, held_out_pairs, 512)
    chosen, rejected = (setup.judge.score([[*p.prompt, *getattr(p, side)] for p in pairs]) for side in SIDES)
    margins = np.subtract(chosen, rejected)
    inputs = np.unique([key(p) for p in held_out_pairs], return_inverse=True)[1]
    chance, drawn = np.random.default_rng(0), []
    for _ in range(2000):
        picked = chance.integers(0, inputs.max() + 1, inputs.max() + 1)
        drawn.append(pair_figures(np.concatenate([margins[inputs == one] for one in picked]).tolist()))
    lengths = {side: [len(getattr(p, side)["text"]) for p in held_out_pairs] for side in SIDES}
    return {
        "settings": card.settings.model_dump(),
        "pairs": card.count,
        "held_out": card.held_out.model_dump(),
        "held_out_inputs": int(inputs.max()) + 1,
        "intervals": {
            name: [round(float(q), 3) for q in np.quantile([getattr(d, name) for d in drawn], [0.025, 0.975])]
            for name in ("accuracy", "ece", "brier")
        },
        "characters": {
            side: round(
                statistics.mean(len(getattr(p, side)["text"]) for p in [*setup.training_pairs, *held_out_pairs]), 1
            )
            for side in SIDES
        },
        "correlation_with_length": round(
            float(np.corrcoef([*chosen, *rejected], lengths["chosen"] + lengths["rejected"])[0, 1]), 3
        ),
        **card.training,
    }
