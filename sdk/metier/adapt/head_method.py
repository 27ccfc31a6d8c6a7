"""A head over the base's hidden states: features alone, or trained together with LoRA or the base's own weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metier.adapt.method import ExportOptions, Prediction
from metier.bases.resolve import LocalBase
from metier.contracts import Base, FineTune, FineTuneCard, TaskContract, Value
from metier.prompting.reply import encode_reply
from metier.runtime.head_inputs import shape_of

if TYPE_CHECKING:
    from metier.heads.head_model import HeadModel
    from metier.runtime.bundle import Bundle
    from metier.training.run import TrainingRun


class LoadedHead:
    """A head on its base, as a `LoadedModel`. It predicts in fp32."""

    def __init__(self, head: HeadModel) -> None:
        self.head = head

    @property
    def model(self) -> Any:
        """The base under the head."""
        return self.head.trunk.model

    def cast(self, dtype: Any) -> None:
        """A head keeps fp32: its features are compared with each other, and their rounding adds up."""

    def predict(
        self,
        inputs: Sequence[Value],
        languages: Sequence[str | None] | None = None,
        *,
        max_tokens: int | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """See `LoadedModel.predict`."""
        outputs = self.head.predict(inputs, languages)
        if on_done:
            on_done(len(outputs))
        return [Prediction(encode_reply(self.head.task, output).strip(), output) for output in outputs]


class HeadMethod:
    """The method of recipes that produce a head."""

    generates = False
    loss_unit: Literal["token", "label"] = "label"
    live_methods = frozenset({"features"})
    continues = False
    title = "Fine-tune (head)"

    def check(self, task: TaskContract, base: Base) -> None:
        """A task that classifies, extracts, relates or ranks, on any base."""
        shape_of(task)

    def train(self, run: TrainingRun) -> FineTune:
        """See `metier.adapt.adapt`."""
        from metier.heads.train import train_head

        return train_head(run)

    def load(
        self, finetune: FineTune, task: TaskContract, base: LocalBase, *, device: Any = "cpu", dtype: Any = "float32"
    ) -> LoadedHead:
        """The head on its base."""
        from metier.heads.head_model import load_head

        return LoadedHead(load_head(finetune.path, base=base, device=device))

    def export(self, finetunes: Sequence[FineTune], out: str | Path, options: ExportOptions) -> Bundle:
        """A graph for each head, and a trunk that heads on the same untouched base share."""
        from metier.heads.export_heads import export_heads

        precision = options.precision or "fp16"
        return export_heads(finetunes, out, precision=precision, target=options.target, progress=options.progress)

    def describe(self, card: FineTuneCard) -> str:
        """See `Method.describe`."""
        trained = {
            "features": "a head over the frozen base",
            "lora": f"a head and LoRA of rank {card.recipe.lora.rank}, trained together",
            "full": "a head and own weights of the base, trained together",
        }
        return f"{card.name}, {trained[card.recipe.method]}"
