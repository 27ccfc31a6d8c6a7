"""Text that the base generates: supervised fine-tuning of LoRA weights or the base's own, merged or as adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metier.adapt.method import ExportOptions, Prediction
from metier.bases.resolve import LocalBase
from metier.bases.torch_model import load_adapted
from metier.contracts import Base, ContractError, FineTune, FineTuneCard, TaskContract, UsageError, Value
from metier.decoding.tokenizer import ChatTokenizer
from metier.prompting.prompt import prompt_ids
from metier.prompting.reply import decode_reply, grammar_of

if TYPE_CHECKING:
    from metier.runtime.bundle import Bundle
    from metier.training.run import TrainingRun


class TextModel:
    """A causal language model that replies to a task's prompts, greedily and under the contract's grammar."""

    def __init__(self, model: Any, tokenizer: ChatTokenizer, task: TaskContract) -> None:
        self.model, self.tokenizer, self.task = model, tokenizer, task

    def cast(self, dtype: Any) -> None:
        """Round the weights to a dtype."""
        self.model = self.model.to(dtype)

    def predict(
        self,
        inputs: Sequence[Value],
        languages: Sequence[str | None] | None = None,
        *,
        max_tokens: int | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """See `LoadedModel.predict`."""
        languages = languages or [None] * len(inputs)
        pairs = zip(inputs, languages, strict=True)
        prompts = [prompt_ids(self.tokenizer, self.task, value, language=language) for value, language in pairs]
        return self.reply(inputs, prompts, max_tokens=max_tokens, on_done=on_done)

    def reply(
        self,
        inputs: Sequence[Value],
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Replies to prompts of token ids, each the prompt of one input."""
        from metier.adapt.generate import generate

        task, limit = self.task, max_tokens or self.task.max_reply_tokens
        guide = None
        if grammar_of(task) is not None:
            from metier.decoding.constraint import Constraint

            vocab_size = self.model.get_output_embeddings().weight.shape[0]

            def guide(number: int) -> Constraint:
                grammar = grammar_of(task.for_input(inputs[number]), inputs[number]) or ""
                return Constraint(self.tokenizer, grammar, limit, vocab_size)

        replies = generate(
            self.model,
            prompts,
            eos_ids=self.tokenizer.eos_ids,
            max_tokens=limit,
            no_repeat_ngram_size=task.no_repeat_ngram_size,
            guide=guide,
            on_done=on_done,
        )
        return [
            decoded(task, value, self.tokenizer.decode(reply.ids), len(reply.ids), reply.finished)
            for value, reply in zip(inputs, replies, strict=True)
        ]


def decoded(task: TaskContract, value: Value, text: str, tokens: int, finished: bool) -> Prediction:
    """A reply's text as a prediction: its output, or why it has none."""
    try:
        output, problem = decode_reply(task.for_input(value), text), None
    except ContractError as error:
        output, problem = None, error.what
    return Prediction(text.strip(), output, problem, tokens, finished)


class TextMethod:
    """The method of recipes that produce text."""

    generates = True
    loss_unit: Literal["token", "label"] = "token"
    live_methods = frozenset({"lora"})
    continues = True
    title = "Fine-tune"

    def check(self, task: TaskContract, base: Base) -> None:
        """Any task, on a base that generates."""
        if not base.writes:
            raise UsageError(
                f"{base.id} is an encoder and cannot generate text for {task.name}",
                remedy="take recipes that produce a head, or a decoder with --base",
            )

    def train(self, run: TrainingRun) -> FineTune:
        """See `metier.adapt.adapt`."""
        from metier.adapt.sft import train_text

        return train_text(run)

    def load(
        self, finetune: FineTune, task: TaskContract, base: LocalBase, *, device: Any = "cpu", dtype: Any = "float32"
    ) -> TextModel:
        """The base with the fine-tune's weights merged into it."""
        model = load_adapted(base, finetune, dtype, device, merge=True)
        return TextModel(model, ChatTokenizer.load(base.path), task)

    def export(self, finetunes: Sequence[FineTune], out: str | Path, options: ExportOptions) -> Bundle:
        """One fine-tune is merged unless slots are requested; several become adapters of one base with slots."""
        from metier.export.adapter_bundle import export_slots
        from metier.export.merged_bundle import export
        from metier.export.precision import check_target, default_precision

        precision = options.precision or default_precision(finetunes[0].card.base, options.target)
        check_target(precision, options.target)
        if options.slots or len(finetunes) > 1:
            return export_slots(
                finetunes,
                out,
                precision=precision,
                target=options.target,
                inputs_variant=options.inputs_variant,
                progress=options.progress,
            )
        return export(finetunes[0], out, precision=precision, target=options.target, progress=options.progress)

    def describe(self, card: FineTuneCard) -> str:
        """See `Method.describe`."""
        lora = card.recipe.method == "lora"
        return f"{card.name}, {f'LoRA rank {card.recipe.lora.rank}' if lora else 'own weights of the base'}"
