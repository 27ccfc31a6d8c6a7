"""After supervised fine-tuning: preferences, reward models, PPO and GRPO. torch and trl load when they are used."""

from importlib import import_module
from typing import Any

import metier.bases.threads  # noqa: F401  before torch

_HOME = {
    "Watch": "watch",
    "judge": "preference",
    "keep_apart": "pairs",
    "load_reward": "reward_model",
    "model_reward": "rewards",
    "prefer": "preference",
    "read_judged": "pairs",
    "read_preferences": "pairs",
    "reinforce": "reinforcement",
    "rollout_bundle": "rollout",
    "rule_reward": "rewards",
    "split_pairs": "pairs",
    "train_reward": "reward_model",
    "watch_for": "watch",
    "weighted": "rewards",
}

__all__ = [
    "Watch",
    "judge",
    "keep_apart",
    "load_reward",
    "model_reward",
    "prefer",
    "read_judged",
    "read_preferences",
    "reinforce",
    "rollout_bundle",
    "rule_reward",
    "split_pairs",
    "train_reward",
    "watch_for",
    "weighted",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'metier.align' has no attribute {name!r}")
    return getattr(import_module(f"metier.align.{_HOME[name]}"), name)
