"""Files and folders that only their owner can read: they hold what users wrote."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700


def private_folder(path: Path) -> None:
    """Make a folder and its missing parents with mode 0700. The mode of a folder that exists does not change."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def make_private(path: Path) -> None:
    """Give a file mode 0600; a folder and all folders in it 0700, their files 0600.

    What another process removes meanwhile is skipped, and links are not followed.
    """
    if not path.is_dir():
        path.chmod(FILE_MODE)
        return
    for folder, _, files in os.walk(path):
        with suppress(FileNotFoundError):
            os.chmod(folder, FOLDER_MODE)
        for name in files:
            file = Path(folder, name)
            with suppress(FileNotFoundError):
                if not file.is_symlink():
                    file.chmod(FILE_MODE)
