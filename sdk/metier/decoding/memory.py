"""Tensors at fixed addresses in a device's memory, views of their rows, and updates in place.

It uses ONNX Runtime's own values and copies only, so that the same code runs on CPU and GPU. It knows nothing
about models.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

from metier.decoding.onnx_runtime import ort


def zeros(shape: Sequence[int], dtype: Any, device: str) -> Any:
    """An OrtValue full of zeros: what a kernel reads beyond a row's length must be finite."""
    return ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype), device, 0)


def sparse_zeros(shape: Sequence[int], dtype: Any, device: str) -> Any:
    """`zeros` for a tensor of which little may ever be written: in host memory, only pages that are written cost
    memory.

    numpy requests huge pages from Linux, so that a write of a few bytes commits 2 MiB: with 8 rows of 4096 tokens, the
    KV of SmolLM2-135M then took 0.9 GB for 5 short requests, instead of 0.05 GB.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if device != "cpu" or not size or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return zeros(shape, dtype, device)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return ort.OrtValue.ortvalue_from_numpy(np.frombuffer(pages, dtype).reshape(shape), device, 0)


def address_of(value: Any, first: int = 0) -> int:
    """Address of row `first` of a tensor."""
    return int(value.data_ptr()) + first * _row_bytes(value)


def rows_of(value: Any, first: int, count: int = 1) -> Any:
    """Rows `first` to `first + count` of a tensor as an OrtValue over the same memory.

    `update_inplace` writes to them and `numpy` copies them out, and nothing else is copied. The view is made through
    DLPack (https://dmlc.github.io/dlpack/latest/c_api.html): the only interface through which ONNX Runtime takes an
    address inside another value's memory.
    """
    capsule = value.__dlpack__()
    tensor = _DLTensor.from_address(_pointer(capsule, b"dltensor"))
    shape = (ctypes.c_int64 * tensor.ndim)(count, *value.shape()[1:])
    tensor.data += first * _row_bytes(value)
    tensor.shape = shape  # a shape of its own: the capsule's is the source's, which must not change
    return ort.OrtValue.from_dlpack(capsule)


def _row_bytes(value: Any) -> int:
    rows = value.shape()[0]
    return int(value.tensor_size_in_bytes()) // rows if rows else 0


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("dtype", ctypes.c_uint8 * 4),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
