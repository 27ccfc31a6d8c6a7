"""The cost of recording every answer: the same requests with a recorder and without, in turns.

    python tests/benchmarks/recording.py BUNDLE --json

Eight callers ask a bundle for 32 answers of 32 tokens each, round after round, every other one with the feedback store
behind the engine. The store's disk is the one that --store lies on.
"""

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slot_bundles import machine

from metier.data.training import packaged
from metier.feedback import FeedbackStore, StoreRecorder
from metier.plugins import load_plugins
from metier.runtime import Engine

TASK, CALLERS, ANSWERS, TOKENS = "adcopy.describe", 8, 32, 32


def measure(bundle: Path, folder: Path, rounds: int, threads: int | None) -> dict[str, Any]:
    """Seconds of each round, and of each single write."""
    vertical, task = load_plugins().task(TASK)
    inputs = [sample.input for sample in packaged(vertical, task)][:ANSWERS]
    seconds: dict[str, list[float]] = {"alone": [], "recorded": []}
    with Engine(bundle, device="cpu", rows=CALLERS, threads=threads) as engine, FeedbackStore(folder / "f.db") as store:
        recorder = StoreRecorder(store)
        with ThreadPoolExecutor(CALLERS) as desk:
            for number in range(2 * rounds + 1):
                how = "recorded" if number % 2 else "alone"
                engine.recorder = recorder if how == "recorded" else None
                begun = time.perf_counter()
                list(desk.map(lambda value: engine.run(TASK, value, max_tokens=TOKENS), inputs))
                if number:  # the first round warms up
                    seconds[how].append(round(time.perf_counter() - begun, 3))
        kept = store.counts()["answers"]
        row = next(store.answers())
        writes = []
        for _ in range(50):
            begun = time.perf_counter()
            store.add(row.model_copy(update={"id": f"{len(writes)}"}))
            writes.append(1000 * (time.perf_counter() - begun))
    assert kept == rounds * len(inputs), "every answer is written, and none twice"
    medians = {how: statistics.median(times) for how, times in seconds.items()}
    return {
        "callers": CALLERS,
        "answers": ANSWERS,
        "tokens": TOKENS,
        "seconds": seconds,
        "recorded_over_alone": round(medians["recorded"] / medians["alone"], 3),
        "write_ms": round(statistics.median(writes), 2),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="of adcopy.describe")
    parser.add_argument("--store", type=Path, help="folder on the disk that the store would lie on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.store) as folder:
        found = measure(options.bundle, Path(folder), options.rounds, options.threads)
    if options.json:
        libraries = machine("onnxruntime-gpu", "onnxruntime", "numpy")
        command = "python tests/benchmarks/recording.py BUNDLE" + (
            f" --threads {options.threads}" if options.threads else ""
        )
        found = {"command": f"{command} --json", "threads": options.threads, **found}
        return print(json.dumps({"benchmark": "recording", **libraries, **found}, indent=1))
    ratio, write = found["recorded_over_alone"], found["write_ms"]
    return print(f"recorded rounds take {ratio:.3f} times those alone; a single write takes {write:.2f} ms")


if __name__ == "__main__":
    main()
