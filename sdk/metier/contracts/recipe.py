"""How to adapt a base: a pydantic model, YAML on disk, in the field's own terms."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator

from metier.contracts.errors import RecipeError
from metier.contracts.nearest import did_you_mean
from metier.contracts.schema import SCHEMA_VERSION, Data


class Lora(Data):
    """LoRA (arXiv 2106.09685): W + alpha/rank · B A, or alpha/sqrt(rank) with rsLoRA (arXiv 2312.03732)."""

    rank: int = Field(default=16, ge=1, le=256)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    rslora: bool = False
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Module names to adapt, such as q_proj; `all-linear` is every projection but the output head."""


class Recipe(Data):
    """Method, layers, LoRA, schedule and seed of one adaptation."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    base: str = Field(default="smollm2-135m", pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+$")
    """Metier's short name, a hub id, or a folder. No control characters: YAML would not give them back."""
    method: Literal["lora"] = "lora"
    layers: str = "all"
    """`all`, or `top:N` for the N layers nearest the output."""
    lora: Lora = Lora()
    epochs: float = Field(default=2, gt=0)
    batch_size: int = Field(default=8, ge=1)
    """Samples per optimiser step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=1024, ge=8)
    """Tokens of prompt and reply together; a longer sample is reported, never cut silently."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    evaluations: int = Field(default=4, ge=1)
    """Held-out losses per run, evenly spaced; the best one's weights are kept."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many evaluations without a better held-out loss."""
    checkpoint_seconds: float = Field(default=30, gt=0)
    seed: int = 0

    @field_validator("layers")
    @classmethod
    def _layers(cls, value: str) -> str:
        if not re.fullmatch(r"all|top:[1-9]\d*", value):
            raise ValueError("must be 'all' or 'top:N' with N of at least 1")
        return value

    @classmethod
    def parse(cls, values: Any, where: str | None = None) -> Self:
        """A recipe from plain data.

        Raises:
            RecipeError: naming each wrong key, with the nearest right one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            known = [*cls.model_fields, *(f"lora.{name}" for name in Lora.model_fields)]
            lines = [_explain(e["type"], ".".join(map(str, e["loc"])), e["msg"], known) for e in error.errors()]
            raise RecipeError("; ".join(lines), where=where, remedy=f"keys are: {', '.join(known)}") from error


def _explain(kind: str, key: str, message: str, known: list[str]) -> str:
    return f"unknown key {key}{did_you_mean(key, known)}" if kind == "extra_forbidden" else f"{key}: {message}"
