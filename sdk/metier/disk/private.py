"""Files and folders that only their owner can read: they hold what users wrote."""

from __future__ import annotations

from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700


def private_folder(path: Path) -> None:
    """Make a folder and its missing parents with mode 0700. The mode of a folder that exists does not change."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def make_private(path: Path) -> None:
    """Give a file mode 0600; a folder and all folders in it 0700, their files 0600."""
    if not path.is_dir():
        path.chmod(FILE_MODE)
        return
    path.chmod(FOLDER_MODE)
    for inner in path.rglob("*"):
        if not inner.is_symlink():
            inner.chmod(FOLDER_MODE if inner.is_dir() else FILE_MODE)
