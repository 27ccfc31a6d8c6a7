"""What every stage of `reward.py` builds on: the trade, its fine-tune, inputs, preferences and rewards.

**The preferences are simulated**: of two answers drawn from the fine-tune to one training input, the one that the
trade's checks find more wrong with is the rejected one; among such pairs those are taken that keep chosen and rejected
answers equally long on the whole, so that length alone carries no information. A quarter of the inputs is held out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import metier.bases.threads  # noqa: F401  before torch
from metier.contracts import Preference, RewardModelling, Sample

ANSWERS_PER_INPUT, PAIRS = 4, 2
"""Answers drawn to each training input for preferences, and how many pairs of them are kept at most."""
MOST_TOKENS = 96
"""Of an answer."""
MODELLING = RewardModelling(epochs=3, learning_rate=4e-4, checkpoint_seconds=45)


class Ground(NamedTuple):
    """The trade's task with the data and models that policies are trained and measured with."""

    task: Any
    checks: Any
    sft: Any
    """The fine-tune that the plugin packages."""
    base: Any
    train: list[Sample]
    held_out: list[Sample]
    bundle: Any
    rule: Any
    """Reward by the checks."""
    training_pairs: list[Preference]
    held_out_pairs: list[Preference]
    """Pairs of training inputs of which none is in `training_pairs`."""
    judge: Any
    """The reward model trained on `training_pairs`."""

    def samples(self, on: str) -> list[Sample]:
        """Samples to measure on: the held-out ones, or (`train`) the training samples of `held_out_pairs`."""
        if on == "held_out":
            return self.held_out
        inputs = {key(pair) for pair in self.held_out_pairs}
        return [sample for sample in self.train if key(sample) in inputs]


def ground(out: Path) -> Ground:
    """Load what `out` holds; draw the pairs and train the reward model where they are missing."""
    from metier.align import load_reward, read_preferences, rollout_bundle, rule_reward, split_pairs, train_reward
    from metier.bases import load_finetune, resolve
    from metier.data.training import training_data
    from metier.plugins import load_plugins

    vertical, task = load_plugins().task("adcopy.describe")
    checks = vertical.checks_for(task.name)
    (packaged,) = (f for f in vertical.fine_tunes if task.name in {t.name for t in f.card.tasks})
    sft = load_finetune(packaged.path)
    base = resolve(sft.card.base.id, revision=sft.card.base.revision)
    data = training_data(vertical, task)
    # The base reads no Chinese to speak of.
    train, held_out = (
        [s for s in found if s.input.get("language", "en") == "en"] for found in (data.train, data.held_out)
    )
    bundle, rule = rollout_bundle(base, progress=say), rule_reward(checks)
    file = out / "preferences.jsonl"
    if not file.exists():
        say("drawing answers for preferences")
        part = file.with_suffix(".part")
        pairs = simulated(draw(bundle, base, sft, task, train, times=ANSWERS_PER_INPUT, seed=7), rule)
        part.write_text("".join(p.model_dump_json() + "\n" for p in pairs), "utf-8")
        part.replace(file)
    training_pairs, held_out_pairs = split_pairs(read_preferences(file), 0.25, seed=0)
    train_reward(
        sft, training_pairs, held_out_pairs, out / "reward", MODELLING, base=base,
        progress=lambda p: say(f"reward model {p.step}/{p.steps} loss {p.loss:.3f}"),
    )  # fmt: skip
    judge = load_reward(out / "reward", base=base)
    return Ground(task, checks, sft, base, train, held_out, bundle, rule, training_pairs, held_out_pairs, judge)


def simulated(answers: Sequence[Any], rule: Any) -> list[Preference]:
    """Pairs of answers to one input that the rule scores differently.

    Args:
        answers: `ANSWERS_PER_INPUT` to each input, one after the other.
        rule: reward by the checks.
    """
    scores, found = rule(answers), list[Preference]()
    longer = 0  # characters that the chosen answers so far have more than the rejected ones
    for first in range(0, len(answers), ANSWERS_PER_INPUT):
        group = range(first, first + ANSWERS_PER_INPUT)
        ranked = [(a, b) for a, b in permutations(group, 2) if scores[a] > scores[b] and answers[b].output]
        for _ in range(min(PAIRS, len(ranked))):
            more = {(a, b): len(answers[a].text) - len(answers[b].text) for a, b in ranked}
            better, worse = min(ranked, key=lambda pair: abs(longer + more[pair]))
            ranked.remove((better, worse))
            longer += more[better, worse]
            found.append(
                Preference(
                    task=answers[better].task.name, input=answers[better].input,
                    chosen=answers[better].output, rejected=answers[worse].output,
                )
            )  # fmt: skip
    return found


def draw(
    bundle: Any,
    base: Any,
    finetune: Any,
    task: Any,
    samples: Sequence[Sample],
    *,
    times: int,
    seed: int,
    temperature: float = 1.0,
) -> list[Any]:
    """Answers to each distinct input of the samples, `times` to each, input by input."""
    from metier.align.rewards import RolloutAnswer
    from metier.align.rollout import RolloutEngine

    inputs = [sample for sample in distinct(samples) for _ in range(times)]
    with RolloutEngine(bundle, rows=16) as rollouts:
        rollouts.set_weights(policy(base, finetune))
        prompts = [rollouts.prompt(task, s.input, s.language) for s in inputs]
        drawn = rollouts.draw(prompts, max_tokens=MOST_TOKENS, seed=seed, temperature=temperature)
    return [
        RolloutAnswer(task=task, input=s.input, prompt=r.prompt, reply=r.reply, text=r.text, ended=r.ended)
        for s, r in zip(inputs, drawn, strict=True)
    ]


def policy(base: Any, begin: Any) -> Any:
    """A fine-tune in torch; of a recipe, the base, as a LoRA whose B is zero."""
    from metier.align.policy_init import trainable
    from metier.contracts import Ppo

    return trainable(base, begin, Ppo(precision="auto")).eval()


def key(sample: Sample | Preference) -> str:
    """Identifies an input."""
    return json.dumps(sample.input, sort_keys=True)


def distinct(samples: Sequence[Sample]) -> list[Sample]:
    """The first sample of each input."""
    return list({key(s): s for s in reversed(samples)}.values())[::-1]


def say(text: str) -> None:
    """Print to stderr, which `--json` leaves alone."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
