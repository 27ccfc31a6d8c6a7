"""The small task of the rooms that train."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from shop import _one_thread, local_base, recipe, samples, task

__all__ = ["_one_thread", "local_base", "recipe", "samples", "task"]
