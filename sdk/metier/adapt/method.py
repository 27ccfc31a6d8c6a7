"""What a method of adaptation is: it trains, loads, exports and predicts.

All that differs between a recipe that produces text and one that produces a head is an attribute or a function of its
method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from metier.bases.resolve import LocalBase
from metier.contracts import Base, FineTune, FineTuneCard, TaskContract, Value
from metier.contracts.bundle import Precision, Target

if TYPE_CHECKING:
    from metier.bases.progress import Progress
    from metier.runtime.bundle import Bundle
    from metier.training.run import TrainingRun


class Prediction(NamedTuple):
    """What a loaded fine-tune gives for one input."""

    text: str
    """The reply, or the text that says the same as a head's output."""
    output: Value | None
    """None where the reply does not decode."""
    problem: str | None = None
    """Why it does not."""
    tokens: int = 0
    """Tokens that were generated; a head generates none."""
    finished: bool = True
    """False where the reply was cut at its longest."""


class LoadedModel(Protocol):
    """A fine-tune of one task in torch."""

    @property
    def model(self) -> Any:
        """The torch model."""
        ...

    def cast(self, dtype: Any) -> None:
        """Round the weights to the dtype that predictions are made in."""
        ...

    def predict(
        self,
        inputs: Sequence[Value],
        languages: Sequence[str | None] | None = None,
        *,
        max_tokens: int | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """One prediction per input, in order.

        Args:
            inputs: of the task.
            languages: of the outputs; None is the task's own for each.
            max_tokens: longest reply; None takes the contract's.
            on_done: called with the number of inputs finished so far.
        """
        ...


@dataclass(frozen=True)
class ExportOptions:
    """How fine-tunes become a bundle."""

    precision: Precision | None = None
    """Of the weights; None takes the method's default."""
    target: Target = "cpu"
    slots: bool = False
    """Keep a single text fine-tune as an adapter instead of merging it."""
    inputs_variant: bool = False
    """With slots: also a variant with plain inputs, for onnxruntime-web."""
    progress: Progress | None = None


class Method(Protocol):
    """One method of adaptation."""

    generates: bool
    """Whether the output is text that the base generates."""
    loss_unit: Literal["token", "label"]
    """What a held-out loss is counted per."""
    live_methods: frozenset[str]
    """Values of `Recipe.method` whose weights a running engine takes without an export."""
    continues: bool
    """Whether training continues from an earlier fine-tune's weights; else each run starts again on all samples."""
    title: str
    """Of the fine-tune in a report."""

    def check(self, task: TaskContract, base: Base) -> None:
        """Raise UsageError where it cannot solve a task on a base."""
        ...

    def train(self, run: TrainingRun) -> FineTune:
        """Train, and write the fine-tune's folder."""
        ...

    def load(
        self, finetune: FineTune, task: TaskContract, base: LocalBase, *, device: Any = "cpu", dtype: Any = "float32"
    ) -> LoadedModel:
        """The fine-tune on its base in torch, ready to predict."""
        ...

    def export(self, finetunes: Sequence[FineTune], out: str | Path, options: ExportOptions) -> Bundle:
        """Write a bundle of fine-tunes of this method, proved against torch."""
        ...

    def describe(self, card: FineTuneCard) -> str:
        """A fine-tune in one phrase: what was trained."""
        ...
