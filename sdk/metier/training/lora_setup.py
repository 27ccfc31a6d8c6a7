"""From a base model to a trainable one: PEFT adds the LoRA weights, and our kernels replace its forward.

PEFT owns the weights and their format; only the computation of a step is replaced, and only during training. It
inspects modules and knows no model family by name.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from metier.bases.finetune import check_continues
from metier.contracts import BaseError, FineTune, Recipe, RecipeError
from metier.contracts.recipe import layers_named
from metier.training.lora_config import lora_config
from metier.training.lora_linear import lora_forward
from metier.training.rms_norm import norm_forward

ADAPTER = "default"


def add_lora(model: Any, recipe: Recipe, base_id: str) -> Any:
    """A `peft.PeftModel` around `model`, its LoRA weights in fp32 and drawn from the recipe's seed.

    Raises:
        RecipeError: `layers` or `lora.targets` name nothing in this model.
    """
    from peft import get_peft_model

    layers = chosen_layers(recipe.layers, int(model.config.get_text_config().num_hidden_layers))
    config = lora_config(recipe.lora, _targets(model, recipe), layers=layers, task_type="CAUSAL_LM")
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        # peft reads an attribute of transformers by its old name.
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(recipe.seed)
        adapted = get_peft_model(model, config)
    adapted.peft_config[ADAPTER].base_model_name_or_path = base_id
    return adapted


def load_lora(model: Any, recipe: Recipe, start: FineTune) -> Any:
    """A `peft.PeftModel` around `model` with a fine-tune's LoRA weights, in fp32.

    Those in the recipe's layers are trained; the fine-tune's other LoRAs stay unchanged.

    Raises:
        RecipeError: the recipe names another LoRA than the fine-tune has, or layers where it has none.
    """
    from peft import PeftModel

    count = int(model.config.get_text_config().num_hidden_layers)
    check_continues(start, recipe, count)
    trained = layers_named(recipe.layers, count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        adapted = PeftModel.from_pretrained(model, str(start.path), is_trainable=True)
    adapted.peft_config[ADAPTER].base_model_name_or_path = start.card.base.id
    if len(trained) < count:
        for number, layer in enumerate(layers_of(model, start.card.base.id), 1):
            if number not in trained:
                _freeze(layer)
    if not any(weight.requires_grad for weight in adapted.parameters()):
        raise RecipeError(
            f"{start.card.name} has no LoRA in layers {recipe.layers}", remedy="name other layers, or all"
        )
    return adapted


def _freeze(layer: nn.Module) -> None:
    """Train nothing of a layer and drop nothing out, so that its output for an input is always the same."""
    layer.requires_grad_(False)
    for module in layer.modules():
        if isinstance(dropouts := getattr(module, "lora_dropout", None), nn.ModuleDict):
            dropouts[ADAPTER] = nn.Identity()


def open_layers(model: Any, recipe: Recipe, base_id: str) -> Any:
    """The model itself, with the own weights of the recipe's layers as the trainable ones.

    Raises:
        BaseError: the model has no list of layers.
        RecipeError: it has fewer layers.
    """
    layers = layers_of(model, base_id)
    model.requires_grad_(recipe.layers in {"all", "mix"})
    parts: list[Any] = []
    if recipe.layers == "embedding":
        parts = [model.get_input_embeddings()]
    elif recipe.layers not in {"all", "mix"}:
        parts = [layers[number - 1] for number in layers_named(recipe.layers, len(layers))]
    for part in parts:
        part.requires_grad_(True)
    return model


def layers_of(model: Any, base_id: str) -> nn.ModuleList:
    """A model's layers, from its input to its output.

    Raises:
        BaseError: it has no list of them.
    """
    count = model.config.get_text_config().num_hidden_layers
    found = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not found:
        raise BaseError(f"{base_id} has no list of its {count} layers", remedy="take a base of transformer layers")
    return found[0]


def frozen_layers(model: Any, recipe: Recipe, base_id: str) -> int:
    """How many layers from the input are never trained, so that their output can be reused.

    Raises:
        BaseError: the recipe names layers of a model that has no list of them.
    """
    if recipe.layers in {"all", "mix", "embedding"}:
        return 0
    layers = layers_of(model, base_id)
    inside = {id(weight) for weight in layers.parameters()}
    if any(weight.requires_grad and id(weight) not in inside for weight in model.parameters()):
        return 0
    return next(i for i, layer in enumerate(layers) if any(weight.requires_grad for weight in layer.parameters()))


def chosen_layers(layers: str, count: int) -> list[int] | None:
    """Indices of the layers to adapt out of `count`; None for all.

    Raises:
        RecipeError: there are fewer layers.
    """
    return None if layers == "all" else [number - 1 for number in layers_named(layers, count)]


def _targets(model: nn.Module, recipe: Recipe) -> tuple[str, ...]:
    head = model.get_output_embeddings()  # type: ignore[operator]
    linear = {n.split(".")[-1] for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head}
    if recipe.lora.targets == "all-linear":
        return tuple(sorted(linear))
    if missing := sorted(set(recipe.lora.targets) - linear):
        raise RecipeError(
            f"lora.targets: the base has no projection named {', '.join(missing)}",
            remedy=f"choose from {', '.join(sorted(linear))}, or all-linear",
        )
    return recipe.lora.targets


@contextmanager
def training_kernels(adapted: Any) -> Iterator[None]:
    """Inside, LoRA projections and RMS norms run as single autograd steps; outside, the model is PEFT's own."""
    swapped: list[nn.Module] = []
    for module in adapted.modules():
        forward = _lora_kernel(module) or _norm_kernel(module)
        if forward is not None:
            module.forward = forward
            swapped.append(module)
    try:
        yield
    finally:
        for module in swapped:
            vars(module).pop("forward", None)


def _lora_kernel(module: nn.Module) -> Any:
    from peft.tuners.lora import Linear

    if type(module) is not Linear or type(module.base_layer) is not nn.Linear or set(module.lora_A) != {ADAPTER}:
        return None
    # Dropout needs its own random draw and another product: PEFT's forward does that.
    if not isinstance(module.lora_dropout[ADAPTER], nn.Identity) or module.use_dora[ADAPTER]:
        return None
    frozen: Any = module.base_layer
    a: Any = module.lora_A[ADAPTER].weight
    b: Any = module.lora_B[ADAPTER].weight
    return lora_forward(frozen.weight, frozen.bias, a, b, float(module.scaling[ADAPTER]))


def _norm_kernel(module: nn.Module) -> Any:
    names = [name for name, _ in module.named_parameters()]
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if names != ["weight"] or "norm" not in type(module).__name__.lower() or not isinstance(eps, float):
        return None
    weight: Any = module.weight
    if weight.ndim != 1 or weight.requires_grad:
        return None
    # Families differ in what they call a norm (some multiply by 1 + weight): only one that computes ours is swapped.
    forward = norm_forward(weight, eps)
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(4, weight.shape[0], generator=generator).to(weight)
    with torch.no_grad():
        same = torch.allclose(module(probe).float(), forward(probe).float(), atol=2e-2, rtol=2e-2)
    return forward if same else None
