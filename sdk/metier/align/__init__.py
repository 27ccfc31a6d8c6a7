"""After supervised fine-tuning: preferences, reward models, PPO and GRPO. torch and trl load when they are used."""

import metier.bases.threads  # noqa: F401  before torch
from metier._lazy import lazy_names

__all__, __getattr__ = lazy_names(
    __name__,
    {
        "metier.align.eval_callback": "Watch watch_for",
        "metier.align.pairs": "keep_apart read_judged read_preferences split_pairs",
        "metier.align.preference": "judge prefer",
        "metier.align.reinforcement": "reinforce",
        "metier.align.reward_model": "load_reward train_reward",
        "metier.align.rewards": "model_reward rule_reward weighted",
        "metier.align.rollout": "rollout_bundle",
    },
)
