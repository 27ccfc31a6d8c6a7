"""How to adapt a base: a pydantic model, YAML on disk, in the field's own terms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from metier.contracts.documents import other_version
from metier.contracts.errors import RecipeError
from metier.contracts.nearest import did_you_mean
from metier.contracts.schema import SCHEMA_VERSION, Data

Produces = Literal["text", "head"]
"""What gives the output: text that the base generates, or a head over its hidden states."""

_SPAN = r"[1-9]\d*(-[1-9]\d*)?"


def _named(layers: str) -> str:
    if not re.fullmatch(rf"all|embedding|mix|top:([1-9]\d*|([1-9]\d?|100)%)|{_SPAN}(,{_SPAN})*", layers):
        raise ValueError(
            "must be 'all' or 'top:N' with N of at least 1, 'top:N%' with N up to 100, ranges such as '1-3,12',"
            " 'embedding' or 'mix'"
        )
    return layers


Layers = Annotated[str, AfterValidator(_named)]
"""Layers of a base by name; `Recipe.layers` lists the names."""


class Lora(Data):
    """LoRA (arXiv 2106.09685): W + alpha/rank · B A, or alpha/sqrt(rank) with rsLoRA (arXiv 2312.03732)."""

    rank: int = Field(default=16, ge=1, le=256)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    rslora: bool = False
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Module names to adapt, such as q_proj; `all-linear` is every projection but the output head."""


class Head(Data):
    """The small network of a recipe that produces `head`, and how it is fitted over the base's features."""

    pooling: Literal["auto", "mean", "last", "echo"] = "auto"
    """How tokens become one vector: their mean; the last of them; or `echo`, the mean of a text's second reading, since
    in a causal model only that one has read how the text continues (arXiv 2402.15449): twice the tokens. `auto` is
    `mean` with an encoder and `echo` with a decoder."""
    epochs: int = Field(default=30, ge=1)
    """With `features`: passes over the features of the untouched base, beginning at the classes' prototypes."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of the head, whatever else is trained with it."""
    weight_decay: float = Field(default=1e-2, ge=0)


class Recipe(Data):
    """What an adaptation produces, its method, layers, LoRA, schedule and seed."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    base: str = Field(default="qwen2.5-coder-0.5b", pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+$")
    """Metier's short name, a hub id, or a folder. No control characters: YAML would not give them back."""
    produces: Produces = "text"
    """What gives the output. `text`: the base generates it, whatever the task. `head`: a small network over the base's
    hidden states; for tasks that classify, extract, relate or rank, and the only choice with an encoder."""
    method: Literal["lora", "full", "features"] = "lora"
    """What of the base is trained: LoRA weights beside its own, its own weights, or nothing (frozen features)."""
    layers: Layers = "all"
    """`all`; `top:N`, the N nearest the output; `top:N%`, that share of them, at least one; ranges counted from the
    input, such as `1-3,12`; `embedding`, the static one; `mix`, a learned weighting of them all (ELMo, arXiv
    1802.05365). They are the trained layers; with `features`, those that the head reads, and `all` is the base's own
    output."""
    lora: Lora = Lora()
    head: Head = Head()
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

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.produces == "text" and self.method == "features":
            raise ValueError("method features needs a head: set produces: head, or method: lora or full")
        if self.method == "lora" and self.layers == "embedding":
            raise ValueError("layers embedding has no projection for LoRA: set method: features or full")
        if self.produces == "text" and self.layers == "mix":
            raise ValueError("layers mix needs a head that reads all layers: set produces: head")
        return self

    @classmethod
    def parse(cls, values: Any, where: str | None = None) -> Self:
        """A recipe from plain data.

        Raises:
            RecipeError: naming each wrong key, with the nearest right one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            if version := other_version(error, "the recipe"):
                raise RecipeError(
                    version,
                    where=where,
                    remedy="rename its key `way` to `produces`, and delete its key `schema_version`",
                ) from error
            nested: dict[str, type[Data]] = {"lora": Lora, "head": Head}
            rules = _rules(cls) | {f"{at}.{k}": rule for at, part in nested.items() for k, rule in _rules(part).items()}
            found = [(e["type"], _key(e["loc"], rules), e["msg"]) for e in error.errors()]
            lines = dict.fromkeys(
                f"unknown key {key}{did_you_mean(key, rules)}" if kind == "extra_forbidden" else f"{key}: {message}"
                for kind, key, message in found
            )
            takes = dict.fromkeys(f"{key} takes {rules[key]}" for _, key, _ in found if key in rules)
            if any(key not in rules for _, key, _ in found):
                takes[f"keys are: {', '.join(rules)}"] = None
            raise RecipeError("; ".join(lines), where=where, remedy="; ".join(takes)) from error


def _rules(model: type[Data]) -> dict[str, str]:
    """What each key takes, as text."""
    schema = model.model_json_schema()
    return {name: _constraint(node) for name, node in schema["properties"].items()}


def _constraint(node: dict[str, Any]) -> str:
    if "anyOf" in node:
        return " or ".join(_constraint(child) for child in node["anyOf"])
    if "enum" in node:
        return ", ".join(map(str, node["enum"]))
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{words} {node[key]}" for key, words in bounds.items() if key in node]
    kind = str(node.get("const", node.get("type", "keys of its own")))
    return f"{_KINDS.get(kind, kind)}{' ' * bool(limits)}{' and '.join(limits)}"


_KINDS = {
    "object": "keys of its own",
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
}
"""Types of JSON Schema, as text."""


def _key(loc: tuple[int | str, ...], rules: dict[str, str]) -> str:
    """The key that an error is about; an error about an alternative or an item is its field's."""
    name = ".".join(map(str, loc))
    while "." in name and name not in rules and name.rpartition(".")[0] in rules and "." in name.rpartition(".")[0]:
        name = name.rpartition(".")[0]
    return name or "recipe"


def layers_named(layers: str, count: int) -> tuple[int, ...]:
    """Numbers, from 1 at the input to `count` at the output, that `all`, `top:N`, `top:N%` or ranges name, in order.

    Raises:
        RecipeError: the base has fewer layers.
    """
    if layers in {"all", "mix"}:
        return tuple(range(1, count + 1))
    if layers.startswith("top:"):
        number = layers.removeprefix("top:")
        wanted = max(1, count * int(number[:-1]) // 100) if number.endswith("%") else int(number)
        found = set(range(count - wanted + 1, count + 1))
    else:
        ends = [[int(end) for end in span.split("-")] for span in layers.split(",")]
        found = {number for first, *last in ends for number in range(first, (last or [first])[0] + 1)}
    if not found or min(found) < 1 or max(found) > count:
        nearest = f"top:{count} or less" if layers.startswith("top:") else f"numbers from 1 to {count}"
        raise RecipeError(f"layers: {layers}, but the base has {count} layers", remedy=f"use {nearest}, or all")
    return tuple(sorted(found))


def layer_ranges(numbers: Iterable[int]) -> str:
    """Ranges that name these layers, counted from 1: what `layers_named` reads."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans_of(numbers))


def spans_of(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number <= found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return tuple(found)
