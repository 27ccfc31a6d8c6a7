"""The bundles that a server answers with, and the names that requests give in `model`: bundles and their adapters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metier.contracts.nearest import did_you_mean
from metier.decoding.adapter_store import check_name
from metier.decoding.lora import read_folder
from metier.runtime.engine import Engine
from metier.serve.api_errors import ApiError
from metier.serve.settings import ServeSettings


@dataclass(frozen=True)
class ServedModel:
    """One name that requests may give, and what answers it."""

    id: str
    engine: Engine
    adapter: str | None
    """None is the bundle's base, or what was merged into it."""
    root: str
    parent: str | None

    def as_json(self, created: int) -> dict[str, Any]:
        """As `/v1/models` lists it."""
        return {
            "id": self.id,
            "object": "model",
            "created": created,
            "owned_by": "metier",
            "root": self.root,
            "parent": self.parent,
            "max_model_len": self.engine.max_len,
        }


@dataclass
class ServedModels:
    """Engines by the name of their bundle. Used from one event loop."""

    engines: dict[str, Engine]
    created: int = field(default_factory=lambda: int(time.time()))
    loaded: dict[str, tuple[str, Path]] = field(default_factory=dict)
    """Adapters loaded at run time → (bundle, folder)."""
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    @classmethod
    def of(cls, engines: Sequence[Engine]) -> ServedModels:
        """Engines under their bundles' names; a name that is taken gets a number."""
        named: dict[str, Engine] = {}
        for engine in engines:
            name = engine.bundle.manifest.name
            count = 2
            while name in named:
                name, count = f"{engine.bundle.manifest.name}-{count}", count + 1
            named[name] = engine
        return cls(named)

    def all(self) -> list[ServedModel]:
        """Every model, bundles first, each followed by its adapters."""
        return list(self._models())

    def get(self, name: object) -> ServedModel:
        """The model of that name; the only bundle where the request names none.

        Raises:
            ApiError: 404, there is none.
        """
        if name in (None, "") and len(self.engines) == 1:
            return self.all()[0]
        models = {model.id: model for model in self._models()}
        if isinstance(name, str) and name in models:
            return models[name]
        raise ApiError(
            404,
            f"there is no model {name!r}{did_you_mean(str(name), list(models))}. GET /v1/models lists them",
            code="model_not_found",
            param="model",
        )

    def engine_for(self, task: str) -> Engine:
        """The first bundle that has a task.

        Raises:
            ApiError: 404, none has.
        """
        for engine in self.engines.values():
            if any(contract.name == task for contract in engine.bundle.manifest.every_task):
                return engine
        known = [contract.name for engine in self.engines.values() for contract in engine.bundle.manifest.every_task]
        raise ApiError(
            404, f"no bundle has the task {task!r}{did_you_mean(task, known)}. GET /v1/tasks lists them", code="no_task"
        )

    async def load_adapter(
        self, settings: ServeSettings, name: str, path: str, bundle: str | None, replace: bool
    ) -> str:
        """Make the adapter in a PEFT folder usable under `name`; running requests keep the weights they have.

        Returns:
            the bundle that has it.

        Raises:
            ApiError: 400, the name is taken or the folder cannot be used; 403, the folder is in none of those allowed;
                404, there is no such bundle.
            UsageError, BundleError: the adapter does not fit the bundle.
        """
        check_name(name)
        folder = _allowed(settings, path)
        target = self._bundle(bundle)
        async with self._locks.setdefault(name, asyncio.Lock()):
            taken = {model.id for model in self._models()}
            if name in taken and not (replace and name in self.loaded):
                remedy = "set load_inplace" if name in self.loaded else "choose another name"
                raise ApiError(400, f"the name {name} is taken; {remedy}", code="duplicate_adapter", param="lora_name")
            if name in self.loaded and self.loaded[name][0] != target:
                raise ApiError(400, f"{name} belongs to the bundle {self.loaded[name][0]}", code="duplicate_adapter")
            await asyncio.to_thread(_load, self.engines[target], name, folder)
            self.loaded[name] = (target, folder)
        return target

    async def unload_adapter(self, name: str) -> None:
        """Remove an adapter that was loaded at run time; running requests keep the weights they have.

        Raises:
            ApiError: 404, none of that name was loaded at run time.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self.loaded:
                raise ApiError(404, f"no adapter {name} was loaded at run time", code="adapter_not_found")
            bundle, _ = self.loaded.pop(name)
            self.engines[bundle].adapters.drop(name)

    def _bundle(self, name: str | None) -> str:
        if name is None:
            slotted = [key for key, engine in self.engines.items() if engine.bundle.manifest.slots]
            if len(slotted) != 1:
                raise ApiError(
                    400,
                    f"{len(slotted)} of the bundles take adapters; name one in `bundle`",
                    code="bundle",
                    param="bundle",
                )
            return slotted[0]
        if name not in self.engines:
            raise ApiError(404, f"there is no bundle {name!r}", code="model_not_found", param="bundle")
        return name

    def _models(self) -> Iterator[ServedModel]:
        counts: dict[str, int] = dict.fromkeys(self.engines, 1)
        for engine in self.engines.values():
            for adapter in engine.adapters.names():
                counts[adapter] = counts.get(adapter, 0) + 1
        for name, engine in self.engines.items():
            yield ServedModel(name, engine, None, engine.bundle.manifest.base.id, None)
            for adapter in engine.adapters.names():
                id = adapter if counts[adapter] == 1 else f"{name}/{adapter}"
                loaded = self.loaded.get(adapter)
                root = str(loaded[1]) if loaded and loaded[0] == name else f"{name}/{adapter}"
                yield ServedModel(id, engine, adapter, root, name)


def _allowed(settings: ServeSettings, path: str) -> Path:
    """The folder of an adapter, links resolved, inside one of the folders that the operator allows."""
    if "\0" in path:
        raise ApiError(400, "the path contains a NUL character", code="path", param="lora_path")
    folder = Path(path).expanduser()
    roots = [root.expanduser().resolve() for root in settings.adapter_folders]
    candidates = [folder] if folder.is_absolute() else [root / folder for root in roots]
    for candidate in candidates:
        real = candidate.resolve()
        if any(real.is_relative_to(root) for root in roots) and real.is_dir():
            return real
    raise ApiError(
        403,
        "the path is no folder inside those from which adapters may be loaded; start the server with --adapters FOLDER",
        code="path_not_allowed",
        param="lora_path",
    )


def _load(engine: Engine, name: str, folder: Path) -> None:
    modules = read_folder(folder)
    if not any(module.b.any() and module.a.any() for module in modules.values()):
        raise ApiError(
            400,
            f"every update of {folder.name} is zero: it would answer as the base does",
            code="adapter_without_effect",
        )
    engine.adapters.set_modules(name, modules, str(folder))
