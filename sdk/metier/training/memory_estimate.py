"""How many tokens go through the model at once, so that training fits the memory that is free.

A system that overcommits kills the process instead of refusing memory, so this is computed before training.
"""

from typing import Any

import torch

from metier.contracts import Recipe, ResourceError

_MOST_TOKENS = 4096
"""More in one pass brings memory, not speed: bf16 products of a 576-wide model reached 930 GFLOP/s at 560 rows and
970 at 800 on two cores."""
_SHARE = 0.6
"""Of the free memory; the rest is for the allocator's slack and other programs."""
_OPTIMISER_BYTES = 4 * 5
"""Per trained weight: master, gradient, two moments, the best copy so far; fp32 each."""


def tokens_at_once(model: Any, trained: int, recipe: Recipe, longest: int, free: int | None = None) -> int:
    """Tokens per forward and backward pass.

    Args:
        model: the base, loaded.
        trained: number of trained weights.
        recipe: for its batch size.
        longest: tokens of the longest example.
        free: bytes; None reads them from the machine or the GPU.

    Raises:
        ResourceError: not even the longest example fits.
    """
    if free is None:
        free = _free(model.device)
    config = model.config.get_text_config()
    width, inner = int(config.hidden_size), int(getattr(config, "intermediate_size", 0) or 4 * config.hidden_size)
    # Kept per token and layer: 14 vectors of the width, 5 of the MLP's. For SmolLM2-135M in bf16 that is 0.94 MB a
    # token; its resident memory grew by 0.95 MB a token between batches of 2 and 24 samples.
    per_token = int(config.num_hidden_layers) * (14 * width + 5 * inner) * model.dtype.itemsize
    room = _SHARE * free - trained * _OPTIMISER_BYTES
    fits = int(room // per_token)
    if fits < longest:
        need = (longest * per_token + trained * _OPTIMISER_BYTES) / _SHARE / 2**30
        raise ResourceError(
            f"training needs about {need:.1f} GiB, and {free / 2**30:.1f} GiB are free on {model.device}",
            remedy="end other programs, shorten the samples, lower lora.rank, or take a smaller base",
        )
    return max(longest, min(fits, _MOST_TOKENS))


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)
