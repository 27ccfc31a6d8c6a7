"""Rewrites a graph and the weights file beside it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any


def replace_graph(model: Any, folder: Path, file: str) -> None:
    """Save an `onnx_ir` model, loaded from this very file, over it; its weights go to `file`.data.

    Args:
        model: changed; the weights that it did not change are still mapped from the old data file.
        folder: of the graph.
        file: name of the ONNX file.
    """
    import onnx_ir as ir

    with tempfile.TemporaryDirectory(dir=folder) as beside:  # the old data file is read while the new one is written
        ir.save(model, Path(beside) / file, external_data=f"{file}.data")
        for path in Path(beside).iterdir():
            shutil.move(path, folder / path.name)
