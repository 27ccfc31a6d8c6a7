"""A base, or a base with a fine-tune's LoRA on it, as a torch model. The only place that loads weights into torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier._install import install_command
from metier.bases.quiet import quiet
from metier.bases.resolve import LocalBase
from metier.contracts.errors import BaseError, DataError, ResourceError, UsageError
from metier.contracts.finetune import PEFT_CONFIG, FineTune

if TYPE_CHECKING:
    import torch


def load_torch(base: LocalBase, dtype: str | torch.dtype = "float32", device: str | torch.device = "cpu") -> Any:
    """The base as a transformers causal language model, in eval mode.

    Args:
        base: from `resolve`.
        dtype: `float32`, `bfloat16`, `float16`, or a torch dtype.
        device: as torch names it.

    Raises:
        BaseError: transformers cannot load the folder.
        ResourceError: it does not fit into memory.
    """
    if not base.card.writes:
        raise BaseError(
            f"{base.card.id} is a {base.card.model_class}, an encoder: it cannot generate",
            where=str(base.path),
            remedy="adapt a head (`--set produces=head`), or name a decoder",
        )
    torch, transformers = _stack()
    wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    try:
        with quiet():
            model = transformers.AutoModelForCausalLM.from_pretrained(base.path, dtype=wanted, local_files_only=True)
        return model.to(device).eval()
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ResourceError(
            f"{base.card.id} does not fit into the memory of {device}",
            where=str(base.path),
            remedy="use bfloat16, a smaller base, or free some memory",
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise BaseError(
            f"transformers cannot load {base.card.id}: {str(error).splitlines()[0]}",
            where=str(base.path),
            remedy="use a decoder language model in Hugging Face format",
        ) from error


def load_trunk(base: LocalBase, device: str | torch.device = "cpu", dtype: str | torch.dtype = "float32") -> Any:
    """The base without any head, encoder or decoder, in eval mode: token ids in, hidden states out.

    Raises:
        BaseError: transformers cannot load the folder.
    """
    torch, transformers = _stack()
    try:
        with quiet():
            wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
            model = transformers.AutoModel.from_pretrained(base.path, dtype=wanted, local_files_only=True)
        return model.to(device).eval()
    except (OSError, ValueError, KeyError) as error:
        raise BaseError(
            f"transformers cannot load {base.card.id}: {str(error).splitlines()[0]}",
            where=str(base.path),
            remedy="use a language model in Hugging Face format",
        ) from error


def load_adapted(
    base: LocalBase,
    finetune: FineTune,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device = "cpu",
    *,
    merge: bool = False,
) -> Any:
    """The base with the fine-tune's LoRA on it (a PeftModel), or with its own trained weights, in eval mode.

    Args:
        base: the base that the fine-tune was trained on.
        finetune: from `load_finetune`.
        dtype: of base and LoRA alike.
        device: as torch names it.
        merge: fold the LoRA into the weights and return a plain model.

    Raises:
        UsageError: the fine-tune belongs to other weights than this base's.
        DataError: it has weights that this base lacks.
        BaseError, ResourceError: as `load_torch`.
    """
    check_fits(base, finetune)
    model = load_torch(base, dtype, device)
    if finetune.card.recipe.method == "full":
        take_own_weights(model, finetune)
        return model
    return with_lora(model, finetune.path, merge=merge)


def with_lora(model: Any, folder: Path, *, merge: bool = False) -> Any:
    """A model with the LoRA in a PEFT folder on it (a PeftModel), or merged into its weights, in eval mode."""
    from peft import PeftModel

    _untie(model, folder)
    # autocast_adapter_dtype would keep the LoRA in float32 whatever the model's dtype.
    adapted = PeftModel.from_pretrained(model, str(folder), autocast_adapter_dtype=False)
    return (adapted.merge_and_unload() if merge else adapted).to(model.dtype).eval()


def _untie(model: Any, folder: Path) -> None:
    """Give the output head weights of its own where an adapter changes it, or the embedding, and the two are tied.

    Merged into tied weights, a change of one would change the other.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or embedding.weight is not head.weight:
        return
    tied = {name.rpartition(".")[2] for name, module in model.named_modules() if module is head or module is embedding}
    config = json.loads((folder / PEFT_CONFIG).read_text("utf-8"))
    lists = (config.get("target_modules"), config.get("modules_to_save"))
    changed = {str(name).rpartition(".")[2] for names in lists if isinstance(names, list) for name in names}
    if tied & changed:
        head.weight = type(head.weight)(head.weight.detach().clone())
        model.config.tie_word_embeddings = False


def take_own_weights(model: Any, finetune: FineTune) -> None:
    """Load the base's own weights that a fine-tune changed into the model.

    Raises:
        DataError: the model has no such weights, or other shapes.
    """
    from safetensors.torch import load_file

    path = finetune.path / finetune.card.weights
    try:
        unexpected = model.load_state_dict(load_file(path), strict=False).unexpected_keys
    except RuntimeError as error:  # another shape
        unexpected = [str(error).splitlines()[-1].strip()]
    if unexpected:
        raise DataError(f"weights of another base: {unexpected[0]}", where=str(path), remedy="adapt again on it")


def check_fits(base: LocalBase, finetune: FineTune) -> None:
    """Raise UsageError where a fine-tune was trained on other weights than this base's."""
    trained = finetune.card.base
    if trained.sha256 and trained.sha256 != base.sha256:
        at = f" at revision {trained.revision}" if trained.revision else ""
        raise UsageError(
            f"{finetune.card.name} was trained on {trained.id}{at} (weights {trained.sha256[:12]}…), "
            f"not on {base.card.id} (weights {base.sha256[:12]}…)",
            where=str(finetune.path),
            remedy=f"resolve the base `{trained.id}`{at}, or adapt again on this one",
        )


def _stack() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise BaseError(
            f"{error.name} is not installed", remedy=f"run `{install_command('train')}` for training and export"
        ) from error
    return torch, transformers
