"""What `import metier` costs, in milliseconds of a process's own: of the import alone, and of the first name used.

    python tests/benchmarks/import_time.py [--json] [--rounds 21]

Each line of code runs in a fresh interpreter, all lines in turns, so that a machine that slows down slows all alike. A
figure is the median of the rounds, once of the processor's time and once of the clock's, less that of an interpreter
that imports nothing; the clock's is meaningful where the load, printed beside it, is below the cores. The ratio is
the processor's time of the first name over that of pydantic, without which no contract can be.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from slot_bundles import machine

BARE = "pass"
LINES = {
    "metier": "import metier",
    "metier.Vertical": "import metier; metier.Vertical",
    "pydantic": "import pydantic",
    "pydantic.BaseModel": "from pydantic import BaseModel",
}


def cost(code: str) -> tuple[float, float]:
    """Milliseconds of the processor and of the clock that a fresh interpreter takes for it."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    clock = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * worked, 1000 * clock


def measure(rounds: int) -> dict[str, Any]:
    """Medians of every line, less an interpreter's own, and the ratio to pydantic."""
    codes = {"": BARE, **LINES}
    for code in codes.values():  # bytecode is written, and files come into the disk's cache
        cost(code)
    costs_of: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            costs_of[name].append(cost(code))
    medians = {
        name: [statistics.median(one[kind] for one in costs) for kind in (0, 1)] for name, costs in costs_of.items()
    }
    bare = medians.pop("")
    return {
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
        "interpreter_ms": {"processor": round(bare[0], 1), "clock": round(bare[1], 1)},
        "imports": [
            {
                "import": name,
                "code": LINES[name],
                "processor_ms": round(worked - bare[0], 1),
                "clock_ms": round(clock - bare[1], 1),
            }
            for name, (worked, clock) in medians.items()
        ],
        "first_name_over_pydantic": round(
            (medians["metier.Vertical"][0] - bare[0]) / (medians["pydantic.BaseModel"][0] - bare[0]), 2
        ),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    found = measure(options.rounds)
    if options.json:
        command = f"python tests/benchmarks/import_time.py --json --rounds {options.rounds}"
        python = {"versions": {**machine("pydantic", "pydantic_core")["versions"], "python": sys.version.split()[0]}}
        report = {"benchmark": "import_time", **machine(), **python, "command": command, **found}
        return print(json.dumps(report, indent=1))
    for row in found["imports"]:
        print(f"{row['import']:20} {row['processor_ms']:7.1f} ms of the processor, {row['clock_ms']:7.1f} ms")
    return print(f"the first name over pydantic: {found['first_name_over_pydantic']:.2f}")


if __name__ == "__main__":
    main()
