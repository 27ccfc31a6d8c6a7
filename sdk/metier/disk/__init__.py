"""Files and folders that appear whole or not at all: a temporary sibling, fsync, one rename.

Killed at any moment, or without power, a process leaves what was there before or what it wrote, and nothing between.
"""

from metier.disk.files import put, sync, whole_file, whole_path, write_whole
from metier.disk.folders import exchange, scratch_beside, whole_folder
from metier.disk.parts import PART, clear_leftovers

__all__ = [
    "PART",
    "clear_leftovers",
    "exchange",
    "put",
    "scratch_beside",
    "sync",
    "whole_file",
    "whole_folder",
    "whole_path",
    "write_whole",
]
