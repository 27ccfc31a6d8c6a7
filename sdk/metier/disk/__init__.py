"""Atomic writes of files and folders: a temporary sibling, fsync, one rename.

A process that is killed at any moment, or a power cut, leaves the old state or the new one and nothing in between.
"""

from metier.disk.files import atomic_file, atomic_path, put, sync, write_atomic
from metier.disk.folders import atomic_folder, exchange, scratch_folder
from metier.disk.temporary import PART, clear_leftovers

__all__ = [
    "PART",
    "atomic_file",
    "atomic_folder",
    "atomic_path",
    "clear_leftovers",
    "exchange",
    "put",
    "scratch_folder",
    "sync",
    "write_atomic",
]
