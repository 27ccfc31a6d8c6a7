"""The LoRA adapters that requests can use: those of the bundle, loaded on first use and kept by least recent use
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
from metier.contracts.finetune import PEFT_CONFIG, WEIGHTS
from metier.contracts.nearest import did_you_mean
from metier.decoding.lora import LoraArrays, LoraModule, lay_out, read_folder, read_tensors

BASE = "base"
"""Names the base without any adapter; no adapter can have this name."""

BUDGET = 256 << 20
"""Default bytes of adapters that stay loaded: some fifty of 5 MB."""


class AdapterStore:
    """Adapters by name. Safe to use from any thread.

    A loaded adapter that is active in a row stays in memory with that row, even if it was evicted from the budget; a
    live one also with the requests that wait for it, even if it was replaced or dropped.
    """

    def __init__(self, path: Path, manifest: Manifest, budget: int = BUDGET) -> None:
        self._path, self._slots, self._budget = path, manifest.slots, budget
        self._entries = {entry.name: entry for entry in manifest.adapters}
        listed = {entry.path: f"{entry.path}/" for entry in manifest.adapters}
        self._hashes = {
            path: {
                name: manifest.files[prefix + name].sha256
                for name in (PEFT_CONFIG, WEIGHTS)
                if prefix + name in manifest.files
            }
            for path, prefix in listed.items()
        }
        self._live: dict[str, LoraArrays] = {}
        self._loaded: OrderedDict[str, LoraArrays] = OrderedDict()
        self._lock = threading.Lock()
        self.loads = 0
        """Number of times that an adapter was read from disk."""
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

    def resolve(self, name: str) -> Callable[[], LoraArrays]:
        """A function that returns, at any later time, the weights that the name has now.

        It holds the arrays of a live adapter, but only the folder of one of the bundle's: requests that wait take
        nothing from the budget.

        Raises:
            UsageError: there is none.
        """
        with self._lock:
            live = self._live.get(name)
            names = [*self._entries, *self._live]
        if live is not None:
            return lambda: live
        if name in self._entries:
            return lambda: self._stored(name)
        raise UsageError(
            f"there is no adapter {name}{did_you_mean(name, names)}",
            where=str(self._path),
            remedy=f"{_listed(names)}; add one with `metier bundle add`",
        )

    def get(self, name: str) -> LoraArrays:
        """The adapter of that name, loaded if necessary.

        Raises:
            UsageError, BundleError: there is none, or its folder does not fit the bundle's slots.
        """
        return self.resolve(name)()

    def set(self, name: str, tensors: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Store a live adapter under `name`, replacing the one before. Requests in progress keep their weights.

        Args:
            name: as in a bundle.
            tensors: PEFT's state dict, numpy or torch.
            config: PEFT's adapter_config: r, lora_alpha, use_rslora, rank_pattern, alpha_pattern.

        Raises:
            UsageError: the name is invalid, the bundle has no slots, or the weights do not fit them.
        """
        self._need_slots()
        self.set_modules(name, read_tensors(config, tensors, name), name)

    def set_modules(self, name: str, modules: Mapping[str, LoraModule], where: str) -> None:
        """`set`, of a LoRA that was read, such as by `read_folder`.

        Args:
            name: as in a bundle.
            modules: by module name.
            where: the user's own place of it, for errors.

        Raises:
            UsageError: as `set`.
        """
        self._need_slots()
        check_name(name)
        arrays = lay_out(modules, self._slots, where)
        with self._lock:
            self._live[name] = arrays

    def drop(self, name: str) -> None:
        """Remove a live adapter; one of the bundle's of the same name is visible again. Submitted requests keep their
        weights."""
        with self._lock:
            self._live.pop(name, None)

    def _stored(self, name: str) -> LoraArrays:
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name]
            path = self._entries[name].path
            folder = self._path / path
            arrays = lay_out(read_folder(folder, self._hashes.get(path)), self._slots, str(folder))
            self._loaded[name] = arrays
            self.loads += 1
            total = sum(lora.nbytes for lora in self._loaded.values())
            while total > self._budget and len(self._loaded) > 1:
                total -= self._loaded.popitem(last=False)[1].nbytes
                self.evictions += 1
            return arrays

    def _need_slots(self) -> None:
        if not self._slots:
            raise UsageError(
                "this bundle has no LoRA slots", where=str(self._path), remedy="export one with `metier export --slots`"
            )


def _listed(names: list[str]) -> str:
    if not names:
        return "it has none"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"adapters: {', '.join(sorted(names)[:10])}{more}"


def check_name(name: str) -> None:
    """Raise UsageError for an invalid name of an adapter."""
    if not re.fullmatch(ADAPTER_NAME, name) or name == BASE:
        raise UsageError(
            f"{name!r} is not a valid name of an adapter",
            remedy="use lower-case letters, digits, . _ - ; `base` means no adapter",
        )
