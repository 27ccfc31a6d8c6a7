"""The LoRA adapters an engine can wear: those of the bundle, loaded when first asked for and kept by least recent use
within a byte budget, and live ones given as tensors. It knows names and bytes; it knows nothing about rows.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metier.contracts import UsageError
from metier.contracts.bundle import ADAPTER_NAME, Manifest
from metier.contracts.nearest import did_you_mean
from metier.decoding.lora import LoraArrays, lay_out, read_folder, read_tensors

BASE = "base"
"""Asks for the base without any adapter; no adapter may be called so."""

BUDGET = 256 << 20
"""Bytes of adapters kept ready unless asked otherwise: some fifty of 5 MB."""


class AdapterStore:
    """Adapters by name. Safe to use from any thread.

    A loaded adapter that a row wears stays alive with that row, whether or not the budget has let go of it; a live one
    also with the requests that wait for it, whether or not it was replaced or dropped.
    """

    def __init__(self, path: Path, manifest: Manifest, budget: int = BUDGET) -> None:
        self._path, self._slots, self._budget = path, manifest.slots, budget
        self._entries = {entry.name: entry for entry in manifest.adapters}
        self._live: dict[str, LoraArrays] = {}
        self._loaded: OrderedDict[str, LoraArrays] = OrderedDict()
        self._lock = threading.Lock()
        self.loads = 0
        """How often an adapter was read from disk."""
        self.evictions = 0

    def names(self) -> list[str]:
        """Every adapter's name, live ones included."""
        with self._lock:
            return sorted({*self._entries, *self._live})

    @property
    def nbytes(self) -> int:
        """Bytes of loaded adapters that are kept; live ones are the caller's and do not count."""
        with self._lock:
            return sum(lora.nbytes for lora in self._loaded.values())

    def held(self, name: str) -> Callable[[], LoraArrays]:
        """What gives, at any later time, the weights that the name stands for now.

        Of a live adapter it holds the arrays; of one of the bundle's only the place, so that what waits takes no room
        of the budget.

        Raises:
            UsageError: there is none.
        """
        with self._lock:
            live = self._live.get(name)
            known = [*self._entries, *self._live]
        if live is not None:
            return lambda: live
        if name in self._entries:
            return lambda: self._stored(name)
        raise UsageError(
            f"there is no adapter {name}{did_you_mean(name, known)}",
            where=str(self._path),
            remedy=f"{_listed(known)}; add one with `metier bundle add`",
        )

    def get(self, name: str) -> LoraArrays:
        """The adapter of that name, loaded if it has to be.

        Raises:
            UsageError: there is none, or its folder is not what the bundle's slots hold.
        """
        return self.held(name)()

    def set(self, name: str, tensors: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Put a live adapter under `name`, in place of what was there. Requests under way keep what they have.

        Args:
            name: as in a bundle.
            tensors: PEFT's state dict, numpy or torch.
            config: PEFT's adapter_config: r, lora_alpha, use_rslora, rank_pattern, alpha_pattern.

        Raises:
            UsageError: the name is not one, the bundle has no slots, or the weights do not fit them.
        """
        check_name(name)
        if not self._slots:
            raise UsageError(
                "this bundle has no LoRA slots", where=str(self._path), remedy="export one with `metier export --slots`"
            )
        laid = lay_out(read_tensors(config, tensors, name), self._slots, name)
        with self._lock:
            self._live[name] = laid

    def drop(self, name: str) -> None:
        """Forget a live adapter; one of the bundle's of the same name is there again. Requests that were submitted keep
        what they have."""
        with self._lock:
            self._live.pop(name, None)

    def _stored(self, name: str) -> LoraArrays:
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name]
            folder = self._path / self._entries[name].path
            found = lay_out(read_folder(folder), self._slots, str(folder))
            self._loaded[name] = found
            self.loads += 1
            total = sum(lora.nbytes for lora in self._loaded.values())
            while total > self._budget and len(self._loaded) > 1:
                total -= self._loaded.popitem(last=False)[1].nbytes
                self.evictions += 1
            return found


def _listed(names: list[str]) -> str:
    if not names:
        return "it has none"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"adapters: {', '.join(sorted(names)[:10])}{more}"


def check_name(name: str) -> None:
    """Raise UsageError where an adapter cannot be called so."""
    if not re.fullmatch(ADAPTER_NAME, name) or name == BASE:
        raise UsageError(
            f"an adapter cannot be called {name!r}",
            remedy="use lower-case letters, digits, . _ - ; `base` means no adapter",
        )
