"""Arrays of samples kept in one file and mapped into memory, up to a bound: what frozen layers say is computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

LIMIT = 4 << 30
"""Bytes on disk. The system keeps as much of them in memory as it has to spare."""


class States:
    """float32 arrays by number, each computed when first asked for; past the bound, each time. Use as a context."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path, self.limit = path, limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w+b")
        self._places: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._end = 0
        self._map: Any = None

    @property
    def kept(self) -> int:
        """Bytes in the file."""
        return self._end

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def keep(self, number: int, array: Tensor) -> bool:
        """Write an array unless that would pass the bound; whether it is kept."""
        values = np.ascontiguousarray(array.detach().cpu().numpy(), dtype=np.float32)
        if self._end + values.nbytes > self.limit:
            return False
        self._file.seek(self._end)
        self._file.write(values.tobytes())
        self._places[number] = self._end, values.shape
        self._end += values.nbytes
        self._map = None
        return True

    def get(self, number: int, compute: Callable[[], Tensor] | None = None) -> Tensor:
        """A kept array, or what `compute` says."""
        if number not in self._places:
            if compute is None:
                raise KeyError(number)
            array = compute()
            self.keep(number, array)
            return array
        if self._map is None:
            self._file.flush()
            self._map = np.memmap(self._path, dtype=np.float32, mode="c")
        start, shape = self._places[number]
        begin = start // 4
        return torch.from_numpy(self._map[begin : begin + int(np.prod(shape))]).view(shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map = None
        self._file.close()
        self._path.unlink(missing_ok=True)
