"""How serving holds as adapters and context grow: tokens per second and latency, above and below the byte budget.

    python tests/benchmarks/scaling.py [--json] [--base smollm2-135m] [--rank 8] [--requests 64] [--tokens 16]

Every request names an adapter drawn at random from the working set; eight rows. The budget holds 32 adapters, so that
128 and 1,024 are loaded from disk again and again. Swaps are measured one by one: warm (kept ready) and cold (read
from disk, which the system may hold in its own cache).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from slot_bundles import build, machine, with_adapters

ADAPTERS = (1, 8, 32, 128, 1024)
CONTEXTS = (128, 512, 1024, 2048, 4000)
FILES = 64
"""Different adapters on disk; above that, names share a file but are loaded and kept apart."""


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--adapters", type=int, nargs="+", default=ADAPTERS)
    parser.add_argument("--contexts", type=int, nargs="*", default=CONTEXTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options, Path(scratch))
    if options.json:
        json.dump(result, sys.stdout, indent=1)
        print()
        return
    for row in [*result["adapters"], *result["contexts"]]:
        print(row)
    print(result["swap"])


def measure(options: Any, scratch: Path) -> dict[str, Any]:
    """Swap times, the working set, and the context."""
    _, slotted = build(options.base, scratch)
    slotted = with_adapters(slotted, [options.rank] * FILES)
    swap = measure_swaps(slotted)
    budget = 32 * swap["slot_bytes"] + 1
    return {
        "benchmark": "scaling",
        **machine("onnxruntime-gpu", "onnxruntime", "numpy"),
        "base": slotted.manifest.base.id, "precision": "int4", "rank": options.rank, "rows": 8,
        "requests": options.requests, "new_tokens": options.tokens, "budget_bytes": budget, "swap": swap,
        "adapters": [working_set(slotted, count, budget, options) for count in options.adapters],
        "contexts": [context(slotted, length, options) for length in options.contexts],
    }  # fmt: skip


def measure_swaps(bundle: Any) -> dict[str, Any]:
    """Milliseconds to get an adapter: warm, cold, and cold per 5 MB of PEFT file; and to put it into a stacked row."""
    from metier.decoding.adapter_rows import AdapterRows
    from metier.decoding.adapter_store import AdapterStore

    store = AdapterStore(bundle.path, bundle.manifest, 1 << 30)
    cold, warm = [], []
    for number in range(16):
        start = time.perf_counter()
        lora = store.get(f"a{number}")
        cold.append(time.perf_counter() - start)
        start = time.perf_counter()
        store.get(f"a{number}")
        warm.append(time.perf_counter() - start)
    rows = AdapterRows(bundle.manifest.slots, 8)
    for row in range(8):
        rows.load(row, store.get(f"a{row}"))
    rows.plan(0, 8)
    put = []
    for number in range(8, 16):
        rows.load(3, store.get(f"a{number}"))
        start = time.perf_counter()
        rows.plan(0, 8)
        put.append(time.perf_counter() - start)
    size = (bundle.path / "adapters" / "a0" / "adapter_model.safetensors").stat().st_size
    return {
        "file_bytes": size, "slot_bytes": lora.nbytes,
        "warm_ms": round(statistics.median(warm) * 1e3, 4),
        "row_in_place_ms": round(statistics.median(put) * 1e3, 2),
        "cold_ms": round(statistics.median(cold) * 1e3, 2), "cold_worst_ms": round(max(cold) * 1e3, 2),
        "cold_ms_per_5_MB": round(statistics.median(cold) * 1e3 * 5e6 / size, 2),
    }  # fmt: skip


def working_set(bundle: Any, count: int, budget: int, options: Any) -> dict[str, Any]:
    """Requests over `count` adapters, all submitted at once."""
    from metier.decoding.generation import Request
    from metier.runtime import Bundle, Engine

    known = bundle.manifest.adapters
    entries = tuple(known[n % len(known)].model_copy(update={"name": f"n{n}"}) for n in range(count))
    many = Bundle(bundle.path, bundle.manifest.model_copy(update={"adapters": entries}), bundle.tokenizer)
    rng = np.random.default_rng(0)
    with Engine(many, rows=8, max_len=256, adapter_bytes=budget) as engine:
        prompts = [tuple(rng.integers(100, 40000, 48).tolist()) for _ in range(options.requests)]
        names = [f"n{n}" for n in rng.integers(0, count, options.requests)]
        ask(engine, [Request(ids=prompts[0][:20], max_tokens=4, adapter=names[0])])
        taken, latencies = ask(
            engine,
            [
                Request(ids=prompt, max_tokens=options.tokens, adapter=name)
                for prompt, name in zip(prompts, names, strict=True)
            ],
        )
        loads = engine.adapters.loads
        kept = engine.adapters.nbytes
    return {
        "adapters": count, "within_budget": count <= 32,
        "tokens_per_second": round(options.requests * options.tokens / taken, 1),
        "requests_per_second": round(options.requests / taken, 2),
        "service_p50_ms": round(float(np.percentile(latencies, 50)) * 1e3),
        "service_p95_ms": round(float(np.percentile(latencies, 95)) * 1e3),
        "loads": loads, "kept_bytes": kept,
    }  # fmt: skip


def ask(engine: Any, requests: list[Any]) -> tuple[float, list[float]]:
    """Eight callers, each with one request under way at a time: seconds in all, and each request's own."""
    import threading

    left, latencies, lock = list(reversed(requests)), [], threading.Lock()

    def call() -> None:
        while True:
            with lock:
                if not left:
                    return
                request = left.pop()
            start = time.perf_counter()
            engine.submit(request, wait=None).result()
            latencies.append(time.perf_counter() - start)

    callers = [threading.Thread(target=call) for _ in range(8)]
    start = time.perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return time.perf_counter() - start, latencies


def context(bundle: Any, length: int, options: Any) -> dict[str, Any]:
    """Prefill and decode of one row, and steps of eight rows with as many adapters, at that context."""
    from metier.decoding.adapter_store import AdapterStore
    from metier.decoding.decoder import Decoder
    from metier.decoding.device import open_session
    from metier.decoding.scheduler import CHUNK

    store = AdapterStore(bundle.path, bundle.manifest, 1 << 30)
    graph = bundle.manifest.graph
    session = open_session(bundle.path / graph.file, "cpu")
    decoder = Decoder(session, graph, rows=8, max_len=length + 64, slots=bundle.manifest.slots)
    ids = np.random.default_rng(0).integers(100, 40000, length)
    for row in range(8):
        decoder.adapters.load(row, store.get(f"a{row}"))
    start = time.perf_counter()
    for first in range(0, length, CHUNK):
        decoder.prefill(0, ids[first : first + CHUNK])
    prefill = time.perf_counter() - start
    for row in range(1, 8):  # the same KV in every row: a step's time does not depend on what it holds
        decoder.reuse(row, length, 0)
    found = {}
    for rows in (1, 8):
        taken = []
        for step in range(options.tokens + 4):
            start = time.perf_counter()
            decoder.step(np.full(rows, 5))
            taken.append(time.perf_counter() - start)
        found[rows] = statistics.median(taken[4:])
        for row in range(8):
            decoder.truncate(row, length)
    return {
        "context": length, "prefill_tokens_per_second": round(length / prefill, 1),
        "batch_1_tokens_per_second": round(1 / found[1], 1),
        "batch_8_adapters_8_tokens_per_second": round(8 / found[8], 1),
    }  # fmt: skip


if __name__ == "__main__":
    main()
