"""Trains a fine-tune on rewards of its own answers: prompts, rollouts and checkpoints around PPO or GRPO."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metier.align.eval_callback import evaluation_steps
from metier.align.job import Job, digest
from metier.align.policy import Policy
from metier.align.policy_init import Begin, base_of, contracts_of, trainable
from metier.align.ppo import Drawn, KlController, optimise, optimiser_of
from metier.align.rewards import Reward, RolloutAnswer
from metier.align.rollout import RolloutEngine, rollout_bundle
from metier.align.updates import LOG, OnUpdate, figures_of, keep_until, read, record
from metier.bases.resolve import LocalBase
from metier.contracts import DataError, FineTune, Grpo, Ppo, Sample, TaskContract, UsageError
from metier.training import checkpoint
from metier.training.examples import Example
from metier.training.loop import State, Watching
from metier.training.lora_setup import training_kernels


def reinforce(
    begin: Begin,
    samples: Sequence[Sample],
    reward: Reward,
    out: str | Path,
    settings: Ppo | Grpo | None = None,
    *,
    tasks: Sequence[TaskContract] = (),
    held_out: Sequence[Sample] = (),
    base: LocalBase | None = None,
    resume: bool = True,
    progress: OnUpdate | None = None,
    device: str = "auto",
    watch: Watching | None = None,
) -> FineTune:
    """Learn from rewards on the policy's own answers to the samples' inputs; the samples' outputs are not used.

    A killed run resumes from its last checkpoint when it is called again with the same arguments.

    Args:
        begin: the fine-tune to train further, or a recipe for fresh LoRA weights on its base.
        samples: their inputs are answered.
        reward: scores answers.
        out: folder of the new fine-tune; created if missing.
        settings: `Ppo` or `Grpo`; None is PPO with its defaults.
        tasks: contracts of the samples; the fine-tune's own where not given.
        held_out: samples to keep with the fine-tune, for export and evaluation.
        base: a resolved base; None resolves the one that `begin` names.
        resume: False discards an earlier run in `out`.
        progress: called after every update.
        device: of the policy in torch; rollouts run on the CPU.
        watch: such as `EvalCallback`: called four times, evenly spaced; its figures are written to updates.jsonl and
            do not influence the training.

    Raises:
        UsageError: no samples, another task's, a reward model of another base, or `out` belongs to another run or a
            running one.
        DataError: a prompt leaves no room for a reply.
        BaseError, DeviceError, ExportError, ResourceError: as `adapt` and `export`.
    """
    settings = settings or Ppo()
    base, contracts = base or base_of(begin), contracts_of(begin, tasks)
    if strange := [read.id for read in reward.bases if read.sha256 and read.sha256 != base.sha256]:
        raise UsageError(
            f"the reward model is of the base {strange[0]}, whose token ids differ from those of {base.card.id}",
            remedy="train the reward model on the base of the fine-tune",
        )
    data = digest(*(s.model_dump_json(include={"task", "input", "language"}) for s in samples), reward.name)
    job = Job(Path(out), begin, base, contracts, settings, data, len(samples))
    if resume and (done := job.finished()):
        return done
    with job.claimed(resume=resume) as folder:
        bundle = rollout_bundle(base)
        with RolloutEngine(bundle, rows=min(16, settings.rollouts), max_len=settings.max_length) as rollouts:
            source = RolloutSource(contracts, samples, reward, rollouts, settings)
            adapted = trainable(base, begin, settings, device)
            if isinstance(settings, Grpo):
                from metier.align.grpo import group_relative

                state = group_relative(adapted, source, settings, base, folder, job.out / LOG, progress, watch)
            else:
                with training_kernels(adapted):
                    state = _ppo(adapted, source, settings, folder, job, bundle.tokenizer.pad_id, progress, watch)
        return job.finish(adapted, state, train=samples, held_out=held_out, figures=figures_of(read(job.out / LOG)))


@dataclass(frozen=True)
class PromptRequest:
    """The prompt of one sample, and the most tokens that its answer may have."""

    task: TaskContract
    sample: Sample
    prompt: tuple[int, ...]
    max_tokens: int


class RolloutSource:
    """Draws and rewards answers. The order of the inputs is seeded; each is used once before any is used again."""

    def __init__(
        self,
        contracts: Any,
        samples: Sequence[Sample],
        reward: Reward,
        rollouts: RolloutEngine,
        settings: Ppo | Grpo,
    ) -> None:
        if not samples:
            raise UsageError("there are no inputs to answer", remedy="give at least one sample")
        self.reward, self.rollouts, self.settings = reward, rollouts, settings
        self._requests = [self._request(contracts, sample, number) for number, sample in enumerate(samples, 1)]

    def requests(self, update: int, count: int) -> list[PromptRequest]:
        """The requests of an update. They depend on its number only: a resumed run draws the same ones."""
        found, total = [], len(self._requests)
        for place in range(update * count, (update + 1) * count):
            epoch, at = divmod(place, total)
            found.append(self._requests[int(np.random.default_rng([self.settings.seed, epoch]).permutation(total)[at])])
        return found

    def draw(self, adapted: Any, requests: Sequence[PromptRequest], seed: int) -> tuple[Drawn, list[RolloutAnswer]]:
        """One answer of the current policy to each request, with its reward."""
        self.rollouts.set_weights(adapted)
        bounds = [request.max_tokens for request in requests]
        drawn = self.rollouts.draw([request.prompt for request in requests], max_tokens=bounds, seed=seed)
        answers = [
            RolloutAnswer(q.task, q.sample.input, prompt=r.prompt, reply=r.reply, text=r.text, ended=r.ended)
            for q, r in zip(requests, drawn, strict=True)
        ]
        examples = [Example(r.prompt, r.reply) for r in drawn]
        return Drawn(examples, [r.logprobs for r in drawn], self.reward(answers)), answers

    def _request(self, contracts: Any, sample: Sample, number: int) -> PromptRequest:
        where = str(sample.provenance) if sample.provenance else f"sample {number}"
        if sample.task not in contracts:
            raise UsageError(f"the sample is of task {sample.task}", where=where, remedy=f"add the task {sample.task}")
        task = contracts[sample.task]
        prompt = self.rollouts.prompt(task, sample.input, sample.language)
        most = min(self.settings.max_tokens or task.max_reply_tokens, self.settings.max_length - len(prompt))
        if most < 1:
            raise DataError(
                f"the prompt's {len(prompt)} tokens leave no room for a reply within max_length,"
                f" {self.settings.max_length}",
                where=where,
                remedy="raise max_length, or shorten the input",
            )
        return PromptRequest(task, sample, prompt, most)


def _ppo(
    adapted: Any,
    source: RolloutSource,
    settings: Ppo,
    folder: Path,
    job: Job,
    pad_id: int,
    progress: OnUpdate | None,
    watch: Watching | None,
) -> State:
    policy = Policy(adapted, pad_id, settings.reference)
    optimiser = optimiser_of(policy, settings)
    controller = KlController(settings.kl_weight, settings.kl_target, settings.kl_horizon)
    state = _restore(policy, optimiser, controller, folder, job.run)
    log, last = job.out / LOG, dict[str, Any]()
    keep_until(log, state.step)

    def draw(update: int) -> Drawn:
        drawn, last["answers"] = source.draw(
            adapted, source.requests(update, settings.rollouts), settings.seed + update
        )
        last["scores"] = drawn.scores
        state.tokens += sum(len(example) for example in drawn.examples)
        return drawn

    saved = begun = time.monotonic()
    before = state.seconds
    for made in optimise(policy, draw, optimiser, settings, controller, first=state.step):
        watched = watch is not None and made.update in evaluation_steps(settings.updates)
        update = replace(made, watched=watch(adapted)) if watch and watched else made
        state.step, state.seconds = update.update, before + time.monotonic() - begun
        state.step_seconds = state.seconds
        state.losses.append(update.policy_loss or 0.0)
        record(log, update, last["answers"], last["scores"])
        if time.monotonic() - saved >= settings.checkpoint_seconds and update.update < settings.updates:
            _save(policy, optimiser, controller, folder, job.run, state)
            saved = time.monotonic()
        if progress:
            progress(update, settings.updates)
    return state


def _save(policy: Policy, optimiser: Any, controller: KlController, folder: Path, run: str, state: State) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for i, weight in enumerate(policy.weights):
        moments = optimiser.state[weight]
        tensors |= {f"weight.{i}": weight, f"first.{i}": moments["exp_avg"], f"second.{i}": moments["exp_avg_sq"]}
    steps = float(optimiser.state[policy.weights[0]]["step"])
    checkpoint.save(folder, tensors, {"run": run, "steps": steps, "beta": controller.beta, "state": asdict(state)})


def _restore(policy: Policy, optimiser: Any, controller: KlController, folder: Path, run: str) -> State:
    found = checkpoint.load(folder)
    if found is None or found[1]["run"] != run:
        return State()
    tensors, facts = found
    with torch.no_grad():
        for i, weight in enumerate(policy.weights):
            weight.copy_(tensors[f"weight.{i}"])
            optimiser.state[weight] = {
                "step": torch.tensor(facts["steps"]),
                "exp_avg": tensors[f"first.{i}"].to(weight.device),
                "exp_avg_sq": tensors[f"second.{i}"].to(weight.device),
            }
    controller.beta = facts["beta"]
    return State(**facts["state"])
