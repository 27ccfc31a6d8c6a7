"""The initial policy of an alignment: a fine-tune's LoRA weights, made trainable again, or fresh ones on a base.

It also holds the reference of the KL: tensors of the same LoRA that are put in place temporarily. A second adapter in
the model would prevent the training kernels, and would be saved with every checkpoint.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metier.bases.finetune import check_is_lora, lora_recipe
from metier.bases.hardware import choose_device, choose_dtype
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import check_fits, load_torch
from metier.contracts import FineTune, Recipe, TaskContract, UsageError
from metier.contracts.alignment import Schedule
from metier.training.lora_setup import ADAPTER, add_lora

Begin = FineTune | Recipe
"""A fine-tune to train further, or a recipe whose base takes fresh LoRA weights."""


def base_of(begin: Begin) -> LocalBase:
    """The base that `begin` names, resolved."""
    if isinstance(begin, Recipe):
        return resolve(begin.base)
    return resolve(begin.card.base.id, revision=begin.card.base.revision)


def recipe_of(begin: Begin) -> Recipe:
    """The recipe of the LoRA weights."""
    return begin if isinstance(begin, Recipe) else lora_recipe(begin)


def weights_of(begin: Begin) -> str | None:
    """sha256 of the weights that training starts from; None where they are fresh."""
    return None if isinstance(begin, Recipe) else begin.card.weights_sha256


def contracts_of(begin: Begin, tasks: Sequence[TaskContract]) -> dict[str, TaskContract]:
    """Task contracts by full name: those given, else the fine-tune's own.

    Raises:
        UsageError: a recipe has no task, and none was given.
    """
    if not tasks and isinstance(begin, FineTune):
        tasks = begin.card.tasks
    if not tasks:
        raise UsageError("no task was given", remedy="give the contract of the samples' task")
    return {task.name: task for task in tasks}


def trainable(base: LocalBase, begin: Begin, settings: Schedule, device: str = "auto") -> Any:
    """A `peft.PeftModel` in training mode, LoRA weights in fp32, the base in the settings' precision.

    Raises:
        UsageError: the fine-tune belongs to another base, or is not a LoRA.
        BaseError, ResourceError, DeviceError: as loading a base.
    """
    where = choose_device(device)
    if isinstance(begin, FineTune):
        check_fits(base, begin)
        check_is_lora(begin)
    model = load_torch(base, choose_dtype(settings.precision, where)).to(where)
    if isinstance(begin, Recipe):
        adapted = add_lora(model, begin, base.card.id)
    else:
        from peft import PeftModel

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            adapted = PeftModel.from_pretrained(model, str(begin.path), is_trainable=True)
        adapted.peft_config[ADAPTER].base_model_name_or_path = base.card.id
    adapted.train()
    return adapted


def lora_weights(adapted: Any) -> dict[str, nn.Parameter]:
    """The trained weights by name, in a fixed order."""
    return {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}


class Reference:
    """The frozen policy that a KL is measured to: the same LoRA with other values.

    Args:
        weights: from `lora_weights`, when training starts.
        whom: `start` keeps a copy of them, so that the KL measures the distance from the initial fine-tune. `base` is
            the base without the adapter: B is zero, so that LoRA adds nothing.
    """

    def __init__(self, weights: dict[str, nn.Parameter], whom: Literal["start", "base"]) -> None:
        self._weights = weights
        self._frozen: dict[str, Tensor] = {
            name: torch.zeros_like(weight) if whom == "base" and "lora_B" in name else weight.detach().clone()
            for name, weight in weights.items()
        }

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model is the reference, without gradient; afterwards it is the policy again."""
        held = {name: weight.detach().clone() for name, weight in self._weights.items()}
        with torch.no_grad():
            try:
                _put(self._weights, self._frozen)
                yield
            finally:
                _put(self._weights, held)


def _put(weights: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    for name, weight in weights.items():
        weight.copy_(values[name])
