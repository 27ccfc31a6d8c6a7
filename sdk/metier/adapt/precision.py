"""Which device and number format training runs on: what is really there, or an error that says what is missing."""

import torch

from metier.contracts import DeviceError, Recipe


def choose_device(device: str) -> torch.device:
    """`auto` takes CUDA where it is active, else the CPU.

    Raises:
        DeviceError: a device asked for by name is not active.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.split(":")[0] == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        raise DeviceError(
            f"CUDA is not active in torch {torch.__version__}: "
            + (f"built for CUDA {built}, but no usable GPU or driver was found" if built else "a CPU-only build"),
            remedy="run `metier doctor`, install a CUDA build of torch, or say device auto or cpu",
        )
    if device.split(":")[0] not in {"cpu", "cuda"}:
        raise DeviceError(f"unknown device {device}", remedy="say auto, cpu or cuda")
    return torch.device(device)


def choose_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies it natively (4x fp32's speed where measured), else fp32.

    Raises:
        DeviceError: the recipe asks for bf16 on a GPU that has none.
    """
    native = bf16_is_native(device)
    if recipe.precision == "bf16" and device.type == "cuda" and not native:
        raise DeviceError("this GPU has no bf16", remedy="set precision to auto or fp32 in the recipe")
    wanted = native if recipe.precision == "auto" else recipe.precision == "bf16"
    return torch.bfloat16 if wanted else torch.float32


def bf16_is_native(device: torch.device) -> bool:
    """Whether the device has bf16 matrix instructions (AVX512-BF16, AMX; Ampere and later), not an emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
