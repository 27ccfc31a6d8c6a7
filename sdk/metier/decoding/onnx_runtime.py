"""ONNX Runtime, imported in one place: an error names the commands that install it where it is missing."""

from __future__ import annotations

from metier._install import install_command
from metier.contracts import DeviceError

try:
    import onnxruntime as ort
except ModuleNotFoundError as error:
    if error.name != "onnxruntime":
        raise
    raise DeviceError(
        "onnxruntime is not installed",
        remedy=f"{install_command('cpu')}, or with an NVIDIA GPU {install_command('gpu')}",
    ) from error

__all__ = ["ort"]
