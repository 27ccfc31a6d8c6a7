"""A fine-tune: a folder with trained weights, LoRA in PEFT's own format, and the card that describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, JsonValue

from metier.contracts.alignment import AlignmentStep
from metier.contracts.base import Base
from metier.contracts.documents import read_document
from metier.contracts.errors import PluginError
from metier.contracts.recipe import Produces, Recipe
from metier.contracts.schema import SCHEMA_VERSION, Data
from metier.contracts.task import TaskContract

CARD = "card.json"
WEIGHTS = "adapter_model.safetensors"
PEFT_CONFIG = "adapter_config.json"
HEAD = "head.safetensors"
"""In the place of both where a head answers: the head's tensors, and the weights of the base that were trained
with it."""
OWN_WEIGHTS = "base_weights.safetensors"
"""In the place of both where the base's own weights were trained: those weights, by the base's names."""

_WEIGHTS: dict[tuple[Produces, str], str] = {
    ("text", "lora"): WEIGHTS,
    ("text", "full"): OWN_WEIGHTS,
    ("head", "features"): HEAD,
    ("head", "lora"): HEAD,
    ("head", "full"): HEAD,
}
"""The file of the trained weights, by what a recipe produces and by its method."""


class DataSummary(Data):
    """What a fine-tune was trained on."""

    sha256: str
    """`samples_sha256` of the training samples in order."""
    samples: int
    held_out: int
    held_out_sha256: str
    sources: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()


class FineTuneCard(Data):
    """How a fine-tune was trained and what it was measured at."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    name: str
    tasks: tuple[TaskContract, ...]
    base: Base
    recipe: Recipe
    data: DataSummary
    weights_sha256: str
    """sha256 of the file that `weights` names."""
    graph_sha256: str | None = None
    """sha256 of head.onnx, the head as a bundle takes it; None where there is none."""
    versions: dict[str, str] = {}
    """Library → version that trained it."""
    start_sha256: str | None = None
    """weights_sha256 of the fine-tune that training continued from; None where it began with fresh weights."""
    training: dict[str, float] = {}
    """seconds, steps, tokens, tokens_per_second, train_loss, held_out_loss, best_step."""
    metrics: dict[str, JsonValue] = {}
    """What `evaluate` measured, before and after."""
    alignment: tuple[AlignmentStep, ...] = ()
    """Steps after supervised fine-tuning, in order."""
    created: AwareDatetime | None = None

    @property
    def weights(self) -> str:
        """Name of the file that holds the trained weights."""
        return _WEIGHTS[self.recipe.produces, self.recipe.method]


class FineTune(Data):
    """What was trained, on disk: LoRA weights, or the base's own, or a head."""

    path: Path
    card: FineTuneCard

    @classmethod
    def packaged(cls, path: Path) -> Self:
        """A fine-tune that a plugin carries: its card is read, its weights are verified when they are used.

        Raises:
            PluginError: the card is missing or does not parse.
        """
        remedy = "adapt again, and package the whole folder that `metier adapt` writes"
        return cls(
            path=path, card=read_document(FineTuneCard, path / CARD, remedy=remedy, error=PluginError, name="its card")
        )
