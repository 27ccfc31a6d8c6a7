"""The tiny bundle's engine."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from engines import engine

__all__ = ["engine"]
