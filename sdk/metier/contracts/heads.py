"""A bundle's heads: small graphs that choose an output from the hidden states that a trunk, another graph, computes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from metier.contracts.base import Architecture, Base
from metier.contracts.finetune import FineTuneCard
from metier.contracts.recipe import Recipe, layers_named
from metier.contracts.sample import Value
from metier.contracts.schema import Data

NAME = r"^[a-z0-9][a-z0-9_.-]*$"

TRUNK_FILE = "trunk.onnx"
HEAD_FILE = "head.onnx"


class TrunkEntry(Data):
    """A base, or a base with a fine-tune's weights, as a graph: token ids in, hidden states of its layers out.

    It takes `input_ids` and, unless it is the static embedding alone, `attention_mask`, int64 [rows, tokens],
    right-padded, and gives `layer.N`, float32 [rows, tokens, width], for each N of `layers`. Its folder holds
    trunk.onnx, trunk.onnx.data and tokenizer.json; a text is tokenised with the special tokens that the tokenizer puts
    around it, never cut. For a head that pools by `echo` the input is the text, a line break and the text again.
    """

    name: str = Field(pattern=NAME)
    path: str
    """Its folder, relative."""
    base: Base
    trained: str | None = None
    """weights_sha256 of the fine-tune whose weights are in it; None is the unchanged base, which heads share."""
    precision: Literal["fp32", "fp16"]
    """Of the weights on disk; it computes in fp32."""
    count: int = Field(ge=1)
    """Layers of the base."""
    layers: tuple[int, ...] = Field(min_length=1)
    """Those whose hidden states it gives; 0 is the static embedding, `count` the output."""
    width: int = Field(ge=1)


class HeadGolden(Data):
    """A sample's input with its tokens and output at export: any runtime must give the same."""

    input: Value
    language: str | None = None
    token_ids: tuple[tuple[int, ...], ...]
    """Text by text."""
    output: Value


class HeadParity(Data):
    """How close a head on its trunk, both exported, is to torch on real inputs."""

    samples: int
    things: int
    """Labelled things compared: whole inputs, or words."""
    max_abs: float
    """Largest absolute difference of logits."""
    agreement: float
    """Share of things with the same label."""
    tolerance: dict[str, float]
    """Bounds that were applied, by the same names."""


class HeadEntry(Data):
    """A head, in heads/<name>/head.onnx.

    It takes `features`, float32 [things, layers, groups, width]: of each layer the mean over the tokens of each group
    (a whole text, a span, a word; with `echo`, those of the second reading). It gives `logits` and `probabilities`
    [things, classes], and `embeddings` [things, groups, width]: the layers mixed as the head mixes them, brought to
    length 1.
    """

    name: str = Field(pattern=NAME)
    """The name in requests, as for a LoRA adapter."""
    path: str
    """Its folder, relative."""
    trunk: str
    """Name of the trunk it reads."""
    layers: tuple[int, ...] = Field(min_length=1)
    """Of the trunk, in the order of its features."""
    card: FineTuneCard
    parity: HeadParity | None = None
    """None where that was not proved, because it was added where torch is not installed."""
    golden: tuple[HeadGolden, ...] = ()


def pooling_of(recipe: Recipe, base: Base) -> Literal["mean", "last", "echo"]:
    """How a head of this recipe pools tokens on this base."""
    if recipe.head.pooling == "auto":
        return "echo" if base.architecture is Architecture.DECODER else "mean"
    return recipe.head.pooling


def layers_read(recipe: Recipe, count: int) -> tuple[int, ...]:
    """The layers that a head of this recipe reads on a base of `count` layers.

    Raises:
        RecipeError: the base has fewer layers.
    """
    if recipe.layers == "mix":
        return tuple(range(count + 1))
    if recipe.method != "features" or recipe.layers == "all":
        return (count,)
    return (0,) if recipe.layers == "embedding" else layers_named(recipe.layers, count)
