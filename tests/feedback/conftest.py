"""The tiny task, fine-tune, bundle and store of the rooms that learn from feedback."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from loop import _one_thread, bundle, check, first, killed, recipe, registry, samples, store, task

__all__ = ["_one_thread", "bundle", "check", "first", "killed", "recipe", "registry", "samples", "store", "task"]
