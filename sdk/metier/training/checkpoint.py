"""One safetensors file with all that a run needs to continue; it is replaced as a whole or not at all.

It knows tensors and numbers by name, not what they mean.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from metier.contracts import UsageError
from metier.disk import atomic_path, clear_leftovers

FOLDER = "checkpoint"
_FILE = "state.safetensors"


def save(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write, flush to the disk, then rename over the last one: a kill at any moment leaves the old or the new."""
    from safetensors.torch import save_file

    with atomic_path(folder / _FILE) as part:
        save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, part, {"facts": json.dumps(facts)})


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
            remedy="delete the checkpoint folder to start over",
        ) from error


def remove(folder: Path) -> None:
    """Delete the checkpoint and its folder."""
    clear_leftovers(folder / _FILE)
    (folder / _FILE).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
