"""Which device and number format torch answers on, and giving its memory back."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from metier.contracts import DeviceError

if TYPE_CHECKING:
    import torch


def choose_device(device: str) -> str:
    """`auto` takes CUDA where it is active, else the CPU.

    Raises:
        DeviceError: CUDA is asked for by name and is not active.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(
            f"CUDA is not active in torch {torch.__version__}",
            remedy="run `metier doctor`, install a CUDA build of torch, or evaluate with device auto or cpu",
        )
    return device


def choose_dtype(precision: str, device: str) -> torch.dtype:
    """`auto` takes bf16 where the hardware multiplies it natively, else fp32."""
    import torch

    if precision == "auto":
        if device.startswith("cuda"):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def free_memory() -> None:
    """Give back what a deleted model held, before the next one is loaded."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
