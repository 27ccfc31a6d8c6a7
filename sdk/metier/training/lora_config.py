"""PEFT's configuration of a recipe's LoRA: the only place that builds one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from metier.contracts.recipe import Lora

if TYPE_CHECKING:
    from peft import LoraConfig


def lora_config(
    lora: Lora,
    targets: Literal["all-linear"] | Sequence[str],
    *,
    layers: Sequence[int] | None = None,
    task_type: str | None = None,
    modules_to_save: Sequence[str] | None = None,
) -> LoraConfig:
    """The configuration that PEFT takes and saves.

    Args:
        lora: rank, alpha, dropout and scaling.
        targets: names of the projections to adapt, or their last parts; `all-linear` is every one but the output.
        layers: indices of the layers to adapt, from 0 at the input; None adapts all.
        task_type: as PEFT names it, such as CAUSAL_LM; None where LoRA is injected into a bare model.
        modules_to_save: modules that are trained and stored whole, beside the LoRA.
    """
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        use_rslora=lora.rslora,
        target_modules=targets if isinstance(targets, str) else list(targets),
        layers_to_transform=None if layers is None else list(layers),
        bias="none",
        task_type=task_type,
        modules_to_save=None if modules_to_save is None else list(modules_to_save),
    )
