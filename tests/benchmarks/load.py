"""Ten minutes of random load: does memory stay flat, and is every request answered as it should be?

    python tests/benchmarks/load.py [--json] [--minutes 10] [--base FOLDER] [--adapters 64]

Callers submit at random, cancel at random, and name adapters at random, with a byte budget for eight; a few requests
have deadlines, and bursts fill the queue. Resident memory is sampled each second. Flat means: the median of the last
quarter is within 5 per cent of the second quarter's.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from slot_bundles import build, machine, with_adapters

CALLERS = 12
TOLERANCE = 1.05


def main() -> None:
    """Run the load and print its result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--adapters", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options, Path(scratch))
    json.dump(result, sys.stdout, indent=None if options.json else 1)
    print()
    sys.exit(0 if result["flat"] and result["unanswered"] == 0 else 1)


def measure(options: Any, scratch: Path) -> dict[str, Any]:
    """The outcome of every request, and memory over time."""
    import psutil

    from metier.decoding.lora import lay_out, read_folder
    from metier.runtime import Engine

    _, slotted = build(options.base, scratch)
    bundle = with_adapters(slotted, [random.Random(n).choice((2, 4, 8)) for n in range(options.adapters)])
    largest = max(
        lay_out(read_folder(bundle.path / entry.path), bundle.manifest.slots).nbytes
        for entry in bundle.manifest.adapters
    )
    outcomes: Counter[str] = Counter()
    memory: list[int] = []
    until = time.monotonic() + options.minutes * 60
    with Engine(bundle, rows=8, max_len=512, adapter_bytes=8 * largest, queue=24) as engine:
        callers = [
            threading.Thread(target=call, args=(engine, n, options.adapters, until, outcomes)) for n in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        process = psutil.Process()
        while any(caller.is_alive() for caller in callers):
            memory.append(process.memory_info().rss)
            time.sleep(1)
        loads, evictions = engine.adapters.loads, engine.adapters.evictions
    quarter = max(1, len(memory) // 4)
    early, late = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
    return {
        "benchmark": "load", **machine("onnxruntime-gpu", "onnxruntime", "numpy"),
        "base": bundle.manifest.base.id, "minutes": options.minutes, "adapters": options.adapters,
        "outcomes": dict(outcomes),
        "unanswered": sum(n for kind, n in outcomes.items() if kind.startswith("unanswered")),
        "loads": loads, "evictions": evictions,
        "rss_mib": {
            "second_quarter": round(early / 2**20, 1), "last_quarter": round(late / 2**20, 1),
            "highest": round(max(memory) / 2**20, 1),
        },
        "flat": late <= early * TOLERANCE,
    }  # fmt: skip


def call(engine: Any, seed: int, adapters: int, until: float, outcomes: Counter[str]) -> None:
    """One caller: bursts of requests, some cancelled, some with a deadline."""
    from metier.contracts import RequestError
    from metier.decoding.generation import Request

    draw = random.Random(seed)
    while time.monotonic() < until:
        running = []
        for _ in range(draw.choice((1, 1, 1, 4))):
            request = Request(
                ids=tuple(draw.randrange(100, 40000) for _ in range(draw.choice((4, 40, 200)))),
                max_tokens=draw.choice((1, 8, 32)),
                adapter=draw.choice([None, *(f"a{n}" for n in range(adapters))]),
                deadline=draw.choice((None, None, None, 2.0)),
            )
            try:
                running.append(engine.submit(request))
            except RequestError:
                outcomes["refused, queue full"] += 1
                time.sleep(draw.random() * 0.2)
        for generation in running:
            if draw.random() < 0.2:
                time.sleep(draw.random() * 0.05)
                generation.cancel()
            try:
                generation.result(120)
                whole = len(generation.ids) == generation.request.max_tokens
                outcomes["whole" if whole else "short"] += 1
            except RequestError as error:
                kind = next((k for k in ("cancelled", "deadline") if k in error.what), f"unanswered: {error.what}")
                outcomes[kind] += 1
        time.sleep(draw.random() * 0.1)


if __name__ == "__main__":
    main()
