"""Tensors in one file, mapped into memory, up to a limit: hidden states of frozen layers are computed once.

It knows numbers and tensors, not what they belong to.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

LIMIT = 4 << 30
"""Bytes on disk. The system keeps as much of them in memory as it has to spare."""
_ALIGNED = 64
"""Bytes that each tensor begins at a multiple of."""


class HiddenStateCache:
    """Tensors by number. Use as a context.

    The file has no name where the system allows that, so that not even a killed process leaves it behind.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path, self.limit = path, limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w+b")
        if os.name == "posix":
            path.unlink()
        self._places: dict[int, tuple[int, int, torch.dtype, torch.Size]] = {}
        self._end = 0
        self._map: Any = None

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._end

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def store(self, number: int, tensor: Tensor) -> bool:
        """Write a tensor unless the file would pass its limit; whether it is written."""
        values = tensor.detach().cpu().contiguous()
        start = -(-self._end // _ALIGNED) * _ALIGNED
        if start + values.nbytes > self.limit:
            return False
        self._file.seek(start)
        self._file.write(values.reshape(-1).view(torch.uint8).numpy().data)
        self._places[number] = start, values.nbytes, values.dtype, values.shape
        self._end = start + values.nbytes
        self._map = None
        return True

    def get(self, number: int) -> Tensor:
        """A stored tensor, as a view of the file."""
        if self._map is None:
            self._file.flush()
            self._map = np.memmap(self._file, dtype=np.uint8, mode="c")
        start, size, dtype, shape = self._places[number]
        return torch.from_numpy(self._map[start : start + size]).view(dtype).view(shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map = None
        self._file.close()
        with suppress(FileNotFoundError):
            self._path.unlink()
