"""Group-relative policy optimisation by TRL, its answers drawn by our engine and judged by our rewards.

TRL recomputes the old log-probabilities in torch where several steps share one round of answers. What graph and torch
differ by it weighs out only for vLLM: here that distance is measured and told, and not weighed out as in `ppo`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from metier.align.policy import Policy, padded
from metier.align.ppo import Drawn
from metier.align.trainer import arguments, quiet, tokenizer_of, train
from metier.align.updates import Tell, Update, keep_until, record
from metier.bases.resolve import LocalBase
from metier.contracts import Grpo, RecipeError
from metier.training.loop import Progress, State, Watching
from metier.training.lora_setup import ADAPTER


def group_relative(
    adapted: Any,
    desk: Any,
    settings: Grpo,
    base: LocalBase,
    folder: Path,
    log: Path,
    progress: Tell | None,
    watch: Watching | None = None,
) -> State:
    """Run TRL's GRPOTrainer over the desk's inputs.

    The reference is the policy as it began, of which TRL keeps a frozen copy.

    Raises:
        RecipeError: rollouts are no multiple of group and of batch_size.
    """
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    if settings.rollouts % settings.group or settings.rollouts % settings.batch_size:
        raise RecipeError(
            f"rollouts: {settings.rollouts} is no multiple of group, {settings.group}, and batch_size,"
            f" {settings.batch_size}",
            remedy="choose rollouts that both divide",
        )
    rounds = settings.rollouts // settings.batch_size
    steps = rounds * settings.epochs  # optimiser steps per update
    inputs = settings.rollouts // settings.group
    tokenizer = tokenizer_of(base)
    onlooker = Policy(adapted, tokenizer.pad_token_id, "start")
    drawing: dict[str, Any] = {}

    def draw(_: list[str], trainer: Any) -> dict[str, Any]:
        """TRL hands over its prompts; answered are the inputs whose turn it is, `group` times each."""
        number = trainer.state.global_step // steps
        asked = [one for one in desk.of(number, inputs) for _ in range(settings.group)]
        drawn, answers = desk.draw(adapted, asked, settings.seed + number)
        drawing.update(update=_seen(onlooker, drawn, number + 1, settings), answers=answers, scores=drawn.scores)
        keep_until(log, number)
        return {
            "prompt_ids": [list(example.prompt) for example in drawn.examples],
            "completion_ids": [list(example.reply) for example in drawn.examples],
            "logprobs": [list(row) for row in drawn.logprobs],
            "drawn_score": list(drawn.scores),
        }

    def score(drawn_score: list[float | None], **_: Any) -> list[float | None]:
        return drawn_score

    def tell(event: Progress) -> None:
        if event.step % steps == 0:
            update = replace(drawing["update"], watched=event.answers)
            record(log, update, drawing["answers"], drawing["scores"])
            if progress:
                progress(update, settings.updates)

    with quiet():
        config = arguments(
            GRPOConfig, settings, folder, adapted.device, lr_scheduler_type="constant",
            num_generations=settings.group, steps_per_generation=rounds, num_iterations=settings.epochs,
            max_steps=settings.updates * steps, max_completion_length=settings.max_length,
            beta=settings.kl_weight, epsilon=settings.clip, temperature=1.0, shuffle_dataset=False,
            disable_dropout=True,
            loss_type=settings.loss_type, scale_rewards="none" if settings.loss_type == "dr_grpo" else "group",
        )  # fmt: skip
        rows = Dataset.from_dict({"prompt": [str(i) for i in range(inputs)]})
        trainer = GRPOTrainer(
            adapted, reward_funcs=score, args=config, train_dataset=rows, processing_class=tokenizer, rollout_func=draw
        )
    asked = partial(watch, adapted) if watch else None
    state = train(trainer, folder, settings.checkpoint_seconds, tell, whole=steps, watch=asked)
    if "ref" in adapted.peft_config:
        adapted.delete_adapter("ref")
        adapted.set_adapter(ADAPTER)
    return state


def _seen(onlooker: Policy, drawn: Drawn, number: int, settings: Grpo) -> Update:
    """KL to the reference and distance of graph and torch, as PPO measures them."""
    with torch.no_grad():
        logprobs, _, _, mask = onlooker.look(drawn.examples, settings.batch_size)
        with onlooker.reference.in_place():
            reference = onlooker.look(drawn.examples, settings.batch_size).logprobs
    drift = (logprobs - padded(drawn.logprobs, mask)).abs() * mask
    return Update(
        update=number,
        score=sum(drawn.scores) / len(drawn.scores),
        kl=float(((logprobs - reference) * mask).sum(1).mean()),
        beta=settings.kl_weight,
        length=float(mask.sum() / len(mask)),
        drift=float(drift.sum() / mask.sum()),
    )
