"""Chooses torch's device and number format, or raises an error that names what is missing."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Literal

from metier.contracts import DeviceError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "bf16", "fp32"]
"""Number format of weights and activations; `auto` takes bf16 where the hardware multiplies it natively."""


def choose_device(device: str) -> torch.device:
    """`auto` takes CUDA where it is active, else the CPU.

    Raises:
        DeviceError: a device requested by name is not active.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.split(":")[0] == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        raise DeviceError(
            f"CUDA is not active in torch {torch.__version__}: "
            + (f"built for CUDA {built}, but no usable GPU or driver was found" if built else "a CPU-only build"),
            remedy="run `metier doctor`, install a CUDA build of torch, or use device auto or cpu",
        )
    if device.split(":")[0] not in {"cpu", "cuda"}:
        raise DeviceError(f"unknown device {device}", remedy="use auto, cpu or cuda")
    return torch.device(device)


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies it natively (4x fp32's speed where measured), else fp32.

    Raises:
        DeviceError: bf16 is requested on a GPU without it.
    """
    import torch

    native = bf16_is_native(device)
    if precision == "bf16" and device.type == "cuda" and not native:
        raise DeviceError("this GPU has no bf16", remedy="set precision to auto or fp32")
    wanted = native if precision == "auto" else precision == "bf16"
    return torch.bfloat16 if wanted else torch.float32


def bf16_is_native(device: torch.device) -> bool:
    """Whether the device has bf16 matrix instructions (AVX512-BF16, AMX; Ampere and later), not an emulation."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def free_memory() -> None:
    """Release the memory of a deleted model before the next one is loaded."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
