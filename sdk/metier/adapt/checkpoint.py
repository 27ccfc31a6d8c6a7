"""One safetensors file that holds all a run needs to go on; it is replaced whole or not at all.

It knows tensors and numbers by name, not what they mean.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from metier.contracts import UsageError

FOLDER = "checkpoint"
_FILE = "state.safetensors"
_PART = "state.safetensors.part"


def save(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write, flush to the disk, then rename over the last one: a kill at any moment leaves the old or the new."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / _PART
    try:
        save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, part, {"facts": json.dumps(facts)})
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(part, folder / _FILE)
        _sync_folder(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of the last checkpoint; None where there is none.

    Raises:
        UsageError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["facts"])  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the checkpoint cannot be read: {error}",
            where=str(path),
            remedy="delete the checkpoint folder to start afresh",
        ) from error


def remove(folder: Path) -> None:
    """Delete the checkpoint and its folder."""
    for name in (_FILE, _PART):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder, and needs no sync of it
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
