"""OpenMP threads that sleep instead of spinning for long, set before torch loads (importing this module does it).

torch's OpenMP threads spin while they wait for each other. Where another process uses the same core, the awaited thread
cannot run meanwhile. Training the default base on 2 cores with 2 to 3 other busy processes, two runs of
each in turn: 47 and 41 tokens/s without this bound, 150 and 188 with it.
"""

import os

SPINS = "10000"
"""Turns a thread spins before it sleeps; GNU OpenMP's own default is 300,000."""

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
