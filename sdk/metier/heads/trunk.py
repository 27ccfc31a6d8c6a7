"""A base as a trunk: token ids in, hidden states of chosen layers out; the output of frozen layers can be reused. It
inspects modules and knows no model family by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from metier.contracts import Recipe, RecipeError
from metier.contracts.heads import layers_read
from metier.contracts.recipe import layers_named
from metier.heads.token_batch import Padded
from metier.training.frozen_prefix import UNSUPPORTED, only_below, replaced
from metier.training.lora_config import lora_config
from metier.training.lora_setup import ADAPTER, layers_of, open_layers


class Trunk:
    """A transformers model without a head, and the recipe's choice of its layers.

    Layer 0 is the static embedding, layer `count` the output; `read` are those that a head reads.
    """

    def __init__(self, model: Any, recipe: Recipe, base_id: str, dtype: torch.dtype = torch.float32) -> None:
        self.model, self._dtype = model, dtype
        self.layers = layers_of(model, base_id)
        self.count = len(self.layers)
        self.width = int(model.config.get_text_config().hidden_size)
        self.read = layers_read(recipe, self.count)
        self._below = 0
        model.requires_grad_(False)
        if recipe.method == "lora":
            _add_lora(model, self.layers, recipe)
        elif recipe.method == "full":
            open_layers(model, recipe, base_id)
        if recipe.method != "features" and recipe.layers not in {"all", "mix", "embedding"}:
            self._below = min(layers_named(recipe.layers, self.count)) - 1

    @cached_property
    def frozen(self) -> int:
        """How many layers from the input are never trained, so that their output can be reused; 0 too where the
        architecture cannot continue from them. Tried on first use, which is in training only."""
        return self._below if self._below and self._can_reuse() else 0

    @property
    def device(self) -> torch.device:
        found: torch.device = next(self.model.parameters()).device
        return found

    def weights(self) -> dict[str, nn.Parameter]:
        """The trained weights, by name."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def states(self, batch: Padded, layers: Sequence[int] | None = None) -> Tensor:
        """Hidden states of the layers that the head reads, or of others, [rows, layers, tokens, width]."""
        wanted = self.read if layers is None else tuple(layers)
        if wanted == (self.count,):
            last: Tensor = self._forward(batch).last_hidden_state
            return last[:, None].float()
        hidden = self._forward(batch, output_hidden_states=True).hidden_states
        return torch.stack([hidden[layer] for layer in wanted], dim=1).float()

    def below(self, batch: Padded) -> Tensor:
        """Output of the frozen layers, [rows, tokens, width], without gradient."""
        with torch.no_grad(), only_below(self.layers[: self._below], self.layers[self._below :]) as outputs:
            self._forward(batch)
        return outputs[0].float()

    def above(self, batch: Padded, below: Tensor) -> Tensor:
        """`states` of a batch from `below`, the output of its frozen layers."""
        below = below.to(self.model.dtype)
        with replaced(self.layers[: self._below], lambda hidden: below):
            return self.states(batch)

    def _can_reuse(self) -> bool:
        """Whether the model continued from its frozen layers' output computes what the full model does."""
        ids = torch.arange(2, 10, device=self.device).view(2, 4)
        batch = Padded(ids, torch.ones_like(ids), torch.empty(0))
        with torch.no_grad():
            expected = self.states(batch)
            try:
                found = self.above(batch, self.below(batch))
            except UNSUPPORTED:
                return False
        return found.shape == expected.shape and bool((found - expected).norm() < 0.01 * expected.norm())

    def _forward(self, batch: Padded, **more: Any) -> Any:
        if "use_cache" in signature(self.model.forward).parameters:
            more["use_cache"] = False
        # Products in bf16 over fp32 masters, where the recipe has them; weights that are bf16 already need no casts.
        if self._dtype is not torch.float32 and self.model.dtype is torch.float32:
            with torch.autocast(batch.ids.device.type, self._dtype):
                return self.model(input_ids=batch.ids, attention_mask=batch.mask, **more)
        return self.model(input_ids=batch.ids, attention_mask=batch.mask, **more)


def _trained_layers(layers: nn.ModuleList, recipe: Recipe) -> list[nn.Module]:
    if recipe.layers in {"all", "mix"}:
        return list(layers)
    return [layers[number - 1] for number in layers_named(recipe.layers, len(layers))]


def _add_lora(model: nn.Module, layers: nn.ModuleList, recipe: Recipe) -> None:
    from peft import inject_adapter_in_model

    inside = {id(m) for layer in _trained_layers(layers, recipe) for m in layer.modules() if isinstance(m, nn.Linear)}
    names = [name for name, module in model.named_modules() if id(module) in inside]
    if recipe.lora.targets != "all-linear":
        names = [name for name in names if name.rpartition(".")[2] in recipe.lora.targets]
        if not names:
            raise RecipeError(
                f"lora.targets: the base has no projection named {', '.join(recipe.lora.targets)}",
                remedy="use all-linear",
            )
    config = lora_config(recipe.lora, names)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(recipe.seed)
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
