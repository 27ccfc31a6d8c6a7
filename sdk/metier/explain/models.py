"""The torch model that is looked into: a base, or a fine-tune that generates text on its base."""

from __future__ import annotations

from typing import Any

from metier.adapt.methods import method_of
from metier.adapt.text_method import TextModel
from metier.bases.resolve import LocalBase
from metier.bases.torch_model import load_torch
from metier.contracts import FineTune, TaskContract, UsageError
from metier.decoding.tokenizer import ChatTokenizer


def text_model(task: TaskContract, base: LocalBase, finetune: FineTune | None, *, device: Any = "cpu") -> TextModel:
    """A model in fp32 that replies to a task's prompts.

    Args:
        task: whose prompts it gets.
        base: the base.
        finetune: None takes the base alone.
        device: as torch names it.

    Raises:
        UsageError: the fine-tune is a head, which writes no reply.
        BaseError, ResourceError: as `load_torch`.
    """
    if finetune is None:
        return TextModel(load_torch(base, device=device), ChatTokenizer.load(base.path), task)
    method = method_of(finetune.card.recipe)
    model = method.load(finetune, task, base, device=device) if method.generates else None
    if not isinstance(model, TextModel):
        raise UsageError(
            f"{finetune.card.name} is a head: it writes no reply whose words could be explained",
            where=str(finetune.path),
            remedy="explain a fine-tune that produces text, or its base with --base",
        )
    return model
