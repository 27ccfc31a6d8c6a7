"""What may not be learnt because it is like the held-out data: the data room's rule, under the loop's own name."""

from metier.data.leakage import leaks

__all__ = ["leaks"]
