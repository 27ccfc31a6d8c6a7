"""The product task of the rooms that read files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from products import task

__all__ = ["task"]
