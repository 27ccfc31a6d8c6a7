"""Group-relative policy optimisation by TRL, with answers from our engine and our rewards.

TRL recomputes the old log-probabilities in torch where several steps share one round of answers. It corrects the
difference between graph and torch for vLLM only: here it is measured and reported, and not corrected as in `ppo`.
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
from metier.align.updates import OnUpdate, Update, keep_until, record
from metier.bases.resolve import LocalBase
from metier.contracts import Grpo, RecipeError
from metier.training.loop import Progress, State, Watching
from metier.training.lora_setup import ADAPTER


def group_relative(
    adapted: Any,
    source: Any,
    settings: Grpo,
    base: LocalBase,
    folder: Path,
    log: Path,
    progress: OnUpdate | None,
    watch: Watching | None = None,
) -> State:
    """Run TRL's GRPOTrainer over the inputs.

    The reference is the initial policy; TRL keeps a frozen copy of it.

    Raises:
        RecipeError: rollouts are not a multiple of group and of batch_size.
    """
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    if settings.rollouts % settings.group or settings.rollouts % settings.batch_size:
        raise RecipeError(
            f"rollouts: {settings.rollouts} is not a multiple of group, {settings.group}, and batch_size,"
            f" {settings.batch_size}",
            remedy="set rollouts to a multiple of both",
        )
    rounds = settings.rollouts // settings.batch_size
    steps = rounds * settings.epochs  # optimiser steps per update
    inputs = settings.rollouts // settings.group
    tokenizer = tokenizer_of(base)
    measured_policy = Policy(adapted, tokenizer.pad_token_id, "start")
    drawing: dict[str, Any] = {}

    def draw(_: list[str], trainer: Any) -> dict[str, Any]:
        """Answer the inputs of this update, `group` times each; the prompts that TRL passes are ignored."""
        number = trainer.state.global_step // steps
        requests = [request for request in source.requests(number, inputs) for _ in range(settings.group)]
        drawn, answers = source.draw(adapted, requests, settings.seed + number)
        drawing.update(
            update=_measure(measured_policy, drawn, number + 1, settings), answers=answers, scores=drawn.scores
        )
        keep_until(log, number)
        return {
            "prompt_ids": [list(example.prompt) for example in drawn.examples],
            "completion_ids": [list(example.reply) for example in drawn.examples],
            "logprobs": [list(row) for row in drawn.logprobs],
            "drawn_score": list(drawn.scores),
        }

    def score(drawn_score: list[float | None], **_: Any) -> list[float | None]:
        return drawn_score

    def on_step(event: Progress) -> None:
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
    evaluate = partial(watch, adapted) if watch else None
    state = train(trainer, folder, settings.checkpoint_seconds, on_step, group_steps=steps, evaluate=evaluate)
    if "ref" in adapted.peft_config:
        adapted.delete_adapter("ref")
        adapted.set_adapter(ADAPTER)
    return state


def _measure(policy: Policy, drawn: Drawn, number: int, settings: Grpo) -> Update:
    """KL to the reference and distance between graph and torch, measured as in PPO."""
    with torch.no_grad():
        logprobs, _, _, mask = policy.evaluate(drawn.examples, settings.batch_size)
        with policy.reference.in_place():
            reference = policy.evaluate(drawn.examples, settings.batch_size).logprobs
    drift = (logprobs - padded(drawn.logprobs, mask)).abs() * mask
    return Update(
        update=number,
        score=sum(drawn.scores) / len(drawn.scores),
        kl=float(((logprobs - reference) * mask).sum(1).mean()),
        beta=settings.kl_weight,
        length=float(mask.sum() / len(mask)),
        drift=float(drift.sum() / mask.sum()),
    )
