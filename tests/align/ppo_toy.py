"""A toy task for PPO whose optimum is known, as tests and `tests/benchmarks/ppo_seeds.py` run it."""

from pathlib import Path
from typing import Any

import torch

from metier.align.policy import Policy
from metier.align.policy_init import trainable
from metier.align.ppo import Drawn, KlController, optimise, optimiser_of
from metier.align.rollout import RolloutEngine, rollout_bundle
from metier.bases.resolve import LocalBase
from metier.contracts import Ppo, Recipe
from metier.training.examples import Example

PROMPT = (5, 6, 7, 8)


class Toy:
    """A tiny policy that is rewarded for one token, its rollouts drawn by the engine.

    Answers and the order of minibatches follow `settings.seed`, the LoRA's first weights `recipe.seed`.
    """

    def __init__(self, base: LocalBase, recipe: Recipe, cache: Path, settings: Ppo, tokens: int) -> None:
        self.adapted = trainable(base, recipe, settings)
        self.policy = Policy(self.adapted, pad_id=0, reference="base")
        with torch.no_grad():
            logits = self.adapted(input_ids=torch.tensor([PROMPT])).logits[0, -1]
        self.begun = logits.softmax(-1)
        self.target = int(self.begun.argsort(descending=True)[2])
        self.settings, self.tokens = settings, tokens
        self.rollouts = RolloutEngine(rollout_bundle(base, cache=cache, precision="fp32"), rows=32, max_len=32)

    def draw(self, update: int) -> Drawn:
        """Answers to one prompt, and the share of their tokens that are the rewarded one."""
        self.rollouts.set_weights(self.adapted)
        seed = 1000 * self.settings.seed + update
        drawn = self.rollouts.draw([PROMPT] * self.settings.rollouts, max_tokens=self.tokens, seed=seed)
        scores = [sum(t == self.target for t in r.reply) / self.tokens for r in drawn]
        return Drawn([Example(r.prompt, r.reply) for r in drawn], [r.logprobs for r in drawn], scores)

    def train(self) -> list[Any]:
        """What every update came to."""
        s = self.settings
        optimiser = optimiser_of(self.policy, s)
        controller = KlController(s.kl_weight, s.kl_target, s.kl_horizon)
        with self.rollouts:
            return list(optimise(self.policy, self.draw, optimiser, s, controller))

    def now(self) -> float:
        """The rewarded token's probability as the first one."""
        with torch.no_grad():
            return float(self.adapted(input_ids=torch.tensor([PROMPT])).logits[0, -1].softmax(-1)[self.target])
