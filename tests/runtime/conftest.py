"""The tiny bundle's engine, and engines that stand still."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from engines import engine, full

__all__ = ["engine", "full"]
