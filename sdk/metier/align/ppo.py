"""Proximal policy optimisation of a language model: arXiv 1707.06347, as arXiv 1909.08593 and 2203.02155 use it.

An answer is an episode: a state is the prompt and the tokens so far, an action the next token, and the episode ends
with the end token or the cut. What is ours, and not in the papers:

1. answers are drawn by another program than the one that learns (an ONNX graph), so the policy recomputes their
   log-probabilities, its ratio is to those, and what the two programs differ by enters as an importance weight,
   truncated at 2;
2. the value is a linear head on the policy's last hidden state, whose loss does not reach the trunk: neither shared, as
   in the first paper's equation 9, nor a model of its own, as in the others. Each has its own clip of gradients;
3. the reference is the same model with other LoRA weights in it, not a second model;
4. the value loss is not clipped by default (arXiv 2006.05990, section 3.2, finds that it hurts), and an update's epochs
   may end early, when the policy has moved far enough (`kl_stop`, as in OpenAI's Spinning Up);
5. the weight of the entropy falls evenly from update to update, to nothing after the last: what is best is first looked
   for, and then done.

Shapes: [N, T] is N answers of at most T tokens; `mask` is 1 where there is a token.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metier.align.policy import Policy, padded
from metier.align.updates import Update
from metier.contracts import Ppo
from metier.training.examples import Example

TRUNCATION = 2.0
"""Largest importance weight of a token: beyond it, a rare disagreement of two programs would outweigh a whole batch."""


@dataclass(frozen=True)
class Drawn:
    """Answers of the policy as they were drawn."""

    examples: Sequence[Example]
    logprobs: Sequence[Sequence[float]]
    """Of each token, under the program that drew it."""
    scores: Sequence[float]
    """Reward of each whole answer."""


@dataclass(frozen=True)
class Experience:
    """What an update learns from, all [N, T] and without gradient."""

    mask: Tensor
    old_logprobs: Tensor
    old_values: Tensor
    advantages: Tensor
    returns: Tensor
    weights: Tensor
    """Importance weights of the tokens: the policy's probability over that of the program that drew them."""


class KlController:
    """The weight of the KL, steered so that the KL meets a target (arXiv 1909.08593, section 2.2)."""

    def __init__(self, beta: float, target: float | None, horizon: int) -> None:
        self.beta, self.target, self.horizon = beta, target, horizon

    def update(self, kl: float, answers: int) -> None:
        """β ← β (1 + e n / horizon), with e = clip(KL / target − 1, −0.2, 0.2)."""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.beta *= 1 + error * answers / self.horizon


class Step(NamedTuple):
    """What one step on a minibatch came to."""

    policy_loss: float
    value_loss: float
    clipped: float
    entropy: float
    moved: float
    """Approximate KL from the policy that drew, in nats a token, before the step."""


def optimiser_of(policy: Policy, settings: Ppo) -> torch.optim.AdamW:
    """Over the policy's weights; the value head, which begins at zero, at its own rate."""
    trained: list[dict[str, Any]] = [
        {"params": list(policy.lora.values())},
        {"params": list(policy.value.parameters()), "lr": settings.value_learning_rate},
    ]
    return torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)


def optimise(
    policy: Policy,
    draw: Callable[[int], Drawn],
    optimiser: torch.optim.Optimizer,
    settings: Ppo,
    controller: KlController,
    first: int = 0,
) -> Iterator[Update]:
    """Algorithm 1 of arXiv 1707.06347, from update `first` on; what each came to is yielded when it is done.

    Args:
        policy: with its value head and its reference.
        draw: number of an update → answers of the current policy, with their rewards.
        optimiser: from `optimiser_of`.
        settings: of the algorithm.
        controller: of the KL's weight.
        first: number of updates done before.
    """
    for update in range(first, settings.updates):
        drawn = draw(update)
        experience, kl = make_experience(policy, drawn, settings, controller.beta)
        steps = list(passes(policy, drawn, experience, optimiser, settings, update))
        mask, beta = experience.mask, controller.beta
        controller.update(kl, len(drawn.examples))
        mean = Step(*(sum(values) / len(steps) for values in zip(*steps, strict=True)))
        yield Update(
            update=update + 1,
            score=sum(drawn.scores) / len(drawn.scores),
            kl=kl,
            beta=beta,
            length=float(mask.sum() / len(mask)),
            policy_loss=mean.policy_loss,
            value_loss=mean.value_loss,
            clipped=mean.clipped,
            entropy=mean.entropy,
            moved=max(step.moved for step in steps),
            steps=len(steps),
            explained=_explained(experience.old_values, experience.returns, mask),
            drift=float(_mean((experience.old_logprobs - padded(drawn.logprobs, mask)).abs(), mask)),
        )


def make_experience(policy: Policy, drawn: Drawn, settings: Ppo, beta: float) -> tuple[Experience, float]:
    """Advantages and returns of drawn answers under the current policy, and its mean KL to the reference."""
    with torch.no_grad():
        logprobs, values, _, mask = policy.evaluate(drawn.examples, settings.batch_size)
        with policy.reference.in_place():
            reference = policy.evaluate(drawn.examples, settings.batch_size).logprobs
    rewards = token_rewards(logprobs, reference, torch.tensor(drawn.scores), mask, beta)
    advantages, returns = gae(rewards, values, mask, settings.gamma, settings.gae_lambda)
    weights = (logprobs - padded(drawn.logprobs, mask)).exp().clamp(max=TRUNCATION) * mask
    kl = float(((logprobs - reference) * mask).sum(1).mean())
    return Experience(mask, logprobs, values, whiten(advantages, mask), returns, weights), kl


def passes(
    policy: Policy,
    drawn: Drawn,
    experience: Experience,
    optimiser: torch.optim.Optimizer,
    settings: Ppo,
    update: int,
) -> Iterator[Step]:
    """The steps of an update: minibatches in a new seeded order each epoch, until the last epoch or `kl_stop`."""
    entropy_weight = settings.entropy_weight * (1 - update / settings.updates)
    shuffled, rows = random.Random(settings.seed * 1_000_003 + update), list(range(len(drawn.examples)))
    for _ in range(settings.epochs):
        shuffled.shuffle(rows)
        for start in range(0, len(rows), settings.batch_size):
            part = rows[start : start + settings.batch_size]
            step = learn(policy, drawn, experience, part, optimiser, settings, entropy_weight)
            yield step
            if settings.kl_stop is not None and step.moved > settings.kl_stop:
                return


def learn(
    policy: Policy,
    drawn: Drawn,
    experience: Experience,
    rows: Sequence[int],
    optimiser: torch.optim.Optimizer,
    settings: Ppo,
    entropy_weight: float,
) -> Step:
    """One step on a minibatch: maximise equation 9."""
    part = Experience(**{name: tensor[list(rows)] for name, tensor in vars(experience).items()})
    new, values, entropy, mask = policy.evaluate([drawn.examples[i] for i in rows], len(rows))
    width = mask.shape[1]  # the longest of these rows; the experience is as wide as the longest of all
    old, advantages, returns, old_values, weights = (
        tensor[:, :width]
        for tensor in (part.old_logprobs, part.advantages, part.returns, part.old_values, part.weights)
    )
    policy_loss, clipped = clipped_policy_loss(new, old, advantages, mask, settings.clip, weights)
    value_loss = clipped_value_loss(values, old_values, returns, mask, settings.value_clip)
    spread = _mean(entropy, mask)
    optimiser.zero_grad(set_to_none=True)
    (policy_loss - entropy_weight * spread + value_loss).backward()  # type: ignore[no-untyped-call]
    for part_of in (policy.lora.values(), policy.value.parameters()):  # no weight is moved by both losses
        torch.nn.utils.clip_grad_norm_(part_of, settings.max_grad_norm)
    optimiser.step()
    moved = approximate_kl(new.detach(), old, mask)
    return Step(float(policy_loss.detach()), float(value_loss.detach()), clipped, float(spread.detach()), moved)


def approximate_kl(new: Tensor, old: Tensor, mask: Tensor) -> float:
    """KL(old, new) in nats a token from tokens of `old`: mean of ρ − 1 − ln ρ, which is never negative."""
    ratio = (new - old) * mask
    return float(_mean(ratio.exp() - 1 - ratio, mask))


def token_rewards(logprobs: Tensor, reference: Tensor, scores: Tensor, mask: Tensor, beta: float) -> Tensor:
    """r_t = −β (ln π(a_t|s_t) − ln π_ref(a_t|s_t)), and the answer's score on its last token (2203.02155, eq. 2)."""
    rewards = -beta * (logprobs - reference) * mask
    last = mask.sum(1).long() - 1
    rewards[torch.arange(len(rewards)), last] += scores.to(rewards)
    return rewards


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantages and returns (arXiv 1506.02438; equations 11 and 12 of arXiv 1707.06347).

    δ_t = r_t + γ V(s_{t+1}) − V(s_t),  A_t = δ_t + γ λ A_{t+1},  R_t = A_t + V(s_t).
    Nothing comes after the last token.
    """
    advantages = torch.zeros_like(rewards)
    later, value_after = torch.zeros(len(rewards)), torch.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * value_after - values[:, t]
        later = (delta + gamma * lam * later) * mask[:, t]
        value_after = values[:, t] * mask[:, t]
        advantages[:, t] = later
    return advantages, (advantages + values) * mask


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and variance 1 over all tokens, so that one learning rate fits rewards of any scale."""
    mean = _mean(values, mask)
    variance = _mean((values - mean) ** 2, mask)
    return (values - mean) * (variance + 1e-8).rsqrt() * mask


def clipped_policy_loss(
    new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float, weights: Tensor | None = None
) -> tuple[Tensor, float]:
    """−E[w min(ρ A, clip(ρ, 1−ε, 1+ε) A)] with ρ = π/π_old (equation 7), and the share of tokens beyond the clip.

    `weights` are importance weights, 1 where the policy itself drew the tokens.
    """
    ratio = (new - old).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    if weights is not None:
        gain = gain * weights
    beyond = ((ratio.detach() - 1).abs() > clip).float()
    return -_mean(gain, mask), float(_mean(beyond, mask))


def clipped_value_loss(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None) -> Tensor:
    """½ E[max((V − R)², (V_clip − R)²)], V_clip at most `clip` away from the value before the update.

    Without a clip it is ½ E[(V − R)²].
    """
    far = (values - returns) ** 2
    if clip is None:
        return 0.5 * _mean(far, mask)
    near = old + (values - old).clamp(-clip, clip)
    return 0.5 * _mean(torch.maximum(far, (near - returns) ** 2), mask)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum()


def _explained(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    variance = float(_mean((returns - _mean(returns, mask)) ** 2, mask))
    return 1 - float(_mean((returns - values) ** 2, mask)) / variance if variance > 1e-12 else 0.0
