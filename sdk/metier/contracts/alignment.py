"""How to align a fine-tune with preferences or rewards: one settings model per method, in its paper's terms."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from metier.contracts.base import Base
from metier.contracts.documents import other_version
from metier.contracts.errors import RecipeError
from metier.contracts.nearest import did_you_mean
from metier.contracts.recipe import Lora
from metier.contracts.schema import SCHEMA_VERSION, Data
from metier.contracts.task import TaskContract


class Schedule(Data):
    """What every method has."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=512, ge=8)
    """Tokens of prompt and reply together; what is longer is reported, never cut silently."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    checkpoint_seconds: float = Field(default=60, gt=0)
    seed: int = 0

    @classmethod
    def parse(cls, values: Any, where: str | None = None) -> Self:
        """Settings from plain data.

        Raises:
            RecipeError: naming each wrong key, with the nearest right one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            if version := other_version(error, "the settings"):
                raise RecipeError(version, where=where, remedy="delete the key `schema_version`") from error
            known = list(cls.model_fields)
            lines = []
            for e in error.errors():
                key = ".".join(map(str, e["loc"]))
                unknown = e["type"] == "extra_forbidden"
                lines.append(f"unknown key {key}{did_you_mean(key, known)}" if unknown else f"{key}: {e['msg']}")
            raise RecipeError("; ".join(lines), where=where, remedy=f"keys are: {', '.join(known)}") from error


class Dpo(Schedule):
    """Direct preference optimisation (arXiv 2305.18290)."""

    method: Literal["dpo"] = "dpo"
    epochs: float = Field(default=1, gt=0)
    beta: float = Field(default=0.1, gt=0)
    """How closely the policy is held to the reference: the inverse of the implied reward's scale."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs that are thought to be labelled the wrong way round (conservative DPO)."""


class Kto(Schedule):
    """Kahneman-Tversky optimisation (arXiv 2402.01306): single answers, each good or bad, no pairs needed."""

    method: Literal["kto"] = "kto"
    batch_size: int = Field(default=8, ge=2)
    """At least 2: the KL term is estimated from prompts and answers that do not belong together."""
    epochs: float = Field(default=1, gt=0)
    beta: float = Field(default=0.1, gt=0)
    desirable_weight: float | None = Field(default=None, gt=0)
    """λ_D, of good answers. None weighs so that λ_D n_D = λ_U n_U: the rarer kind counts more, the other 1."""
    undesirable_weight: float | None = Field(default=None, gt=0)
    """λ_U, of bad answers. The paper's section 4.2 wants λ_D n_D / λ_U n_U from 1 to 4/3; the card records both."""


class RewardModelling(Schedule):
    """A reward model of pairs (Bradley-Terry; arXiv 2203.02155, section 3.5)."""

    method: Literal["reward"] = "reward"
    epochs: float = Field(default=1, gt=0)
    lora: Lora = Lora(rank=8, alpha=16)
    """Of a model that begins from a base; one that begins from a fine-tune takes the fine-tune's."""
    center: float | None = Field(default=0.01, ge=0)
    """Weight of the mean reward's square, which keeps rewards about zero (arXiv 2312.09244); None leaves it out."""


class Rollouts(Schedule):
    """What the methods that learn from their own answers have in common."""

    updates: int = Field(default=30, ge=1)
    """Rounds of rollouts and learning."""
    rollouts: int = Field(default=32, ge=2)
    """Answers per update, drawn at temperature 1, from the policy itself."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest reply; None takes the task's own bound."""


class Ppo(Rollouts):
    """Proximal policy optimisation (arXiv 1707.06347) of language models (arXiv 1909.08593, 2203.02155)."""

    method: Literal["ppo"] = "ppo"
    learning_rate: float = Field(default=5e-5, gt=0)
    epochs: int = Field(default=4, ge=1)
    """Passes over each update's rollouts: K of PPO's algorithm 1."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """Epsilon of the clipped policy objective."""
    entropy_weight: float = Field(default=0.01, ge=0)
    """c2 of PPO's equation 9 at the first update, from where it falls evenly to nothing: weight of the entropy of every
    next token, against a policy that settles before it has tried much."""
    kl_stop: float | None = Field(default=None, gt=0)
    """Nats a token from the policy that drew, as approximated by ρ − 1 − ln ρ: beyond it an update's epochs end. None
    goes through them all."""
    value_clip: float | None = Field(default=None, gt=0)
    """Farthest that an update moves a value; None is no bound."""
    value_learning_rate: float = Field(default=1e-2, gt=0)
    """Of the value head, which begins at zero."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    """Of generalised advantage estimation (arXiv 1506.02438)."""
    kl_weight: float = Field(default=0.05, ge=0)
    """Beta at the beginning, per token of log-ratio to the reference."""
    kl_target: float | None = Field(default=6.0, gt=0)
    """Nats per answer that the controller steers to (arXiv 1909.08593, section 2.2); None keeps beta constant."""
    kl_horizon: int = Field(default=500, ge=1)
    """Answers in which the controller corrects; smaller corrects faster."""
    reference: Literal["start", "base"] = "start"
    """Whom the KL is measured to: the policy as it began (the fine-tune), or the base with the adapter off."""


class Grpo(Rollouts):
    """Group-relative policy optimisation (arXiv 2402.03300), the loss averaged as DAPO does (arXiv 2503.14476)."""

    method: Literal["grpo"] = "grpo"
    group: int = Field(default=8, ge=2)
    """Answers to each prompt; `rollouts` is a multiple of it."""
    epochs: int = Field(default=1, ge=1)
    clip: float = Field(default=0.2, gt=0, lt=1)
    kl_weight: float = Field(default=0.04, ge=0)
    loss_type: Literal["dapo", "grpo", "dr_grpo"] = "dapo"
    """Over what the tokens' losses are averaged. `dapo`: over all tokens of an update, so that each counts the same
    (equation 8 of arXiv 2503.14476; here only this of DAPO, not its clip range nor its choice of prompts). `grpo`, as
    in the first paper: over each answer's tokens, then over answers; a token of a long answer counts less, so good
    answers are drawn short and bad ones long. `dr_grpo` (arXiv 2503.20783): by a constant, `max_length`, and rewards
    are not divided by their group's deviation, which would weigh inputs by how hard they are."""


Alignment = Annotated[Dpo | Kto | RewardModelling | Ppo | Grpo, Field(discriminator="method")]


class AlignmentStep(Data):
    """One alignment step of a fine-tune, as recorded in its card."""

    settings: Alignment
    began_from: str | None
    """sha256 of the weights that it began from; None is the base."""
    data_sha256: str
    """Of the preferences, or of the prompts."""
    count: int
    """Preferences, or prompts."""
    run: str
    """Fingerprint of all that the weights depend on: the same run again is recognised by it."""
    figures: dict[str, float] = {}


class PairFigures(Data):
    """How a reward model does on pairs that it was not trained on."""

    pairs: int
    accuracy: float
    """Share of pairs whose chosen answer has the higher reward."""
    ece: float
    """Expected calibration error (arXiv 1706.04599): how far confidence is from accuracy, 0 to 0.5."""
    brier: float
    """Mean squared distance of the probability from what was chosen; 0.25 is a coin."""
    margin: float
    """Mean reward of the chosen minus the rejected answer."""


class RewardCard(Data):
    """What a reward model is and how far it can be trusted."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    tasks: tuple[TaskContract, ...]
    base: Base
    settings: RewardModelling
    began_from: str | None
    data_sha256: str
    count: int
    """Pairs it was trained on."""
    held_out: PairFigures
    mean: float
    """Of its rewards over the answers of the held-out pairs: taken away before rewards are weighed together."""
    spread: float
    """Their standard deviation: divided by."""
    weights_sha256: str
    run: str
    training: dict[str, float] = {}
