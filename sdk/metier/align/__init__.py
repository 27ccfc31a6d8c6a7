"""Alignment after supervised fine-tuning: preferences, reward models, PPO and GRPO. torch and trl load on use."""

import metier.bases.threads  # noqa: F401  before torch
from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.align.eval_callback": "EvalCallback eval_callback_for",
        "metier.align.pairs": "read_judged read_preferences split_pairs without_held_out",
        "metier.align.preference": "prefer prefer_judged",
        "metier.align.reinforcement": "reinforce",
        "metier.align.reward_model": "load_reward train_reward",
        "metier.align.rewards": "model_reward rule_reward weighted",
        "metier.align.rollout": "rollout_bundle",
    },
)
