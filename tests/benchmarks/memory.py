"""Memory of an open engine: resident megabytes after opening a bundle, divided by the size of its weights.

    python tests/benchmarks/memory.py [--json] [--bundle FOLDER] [--base smollm2-135m] [--precision int4] [--adapters 4]

Measures a bundle, or one that it builds of a base with random adapters. A new process opens it; the figures are those
of `/proc/self/smaps_rollup`: after the import, after opening, and after one reply of every adapter, all in one batch.
RSS counts pages of the weights' file that are mapped and can be dropped again; `private` counts only what cannot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FIELDS = {"Rss": "rss", "Pss": "pss", "Anonymous": "private"}
MANIFEST = "benchmark-manifest.json"


def main() -> None:
    """Print the figures of one bundle."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bundle", type=Path, help="an exported bundle; without it, one is built of --base")
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--precision", default="int4", choices=["fp32", "fp16", "int8", "int4"])
    parser.add_argument("--adapters", type=int, default=4, help="adapters of rank 8 of a bundle that is built")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(measure(options.child)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.bundle or build_bundle(options, Path(scratch))
        command = [sys.executable, __file__, "--child", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result = report(folder, json.loads(done.stdout.splitlines()[-1]))
    json.dump(result, sys.stdout, indent=None if options.json else 1)
    print()


def build_bundle(options: Any, scratch: Path) -> Path:
    """A bundle of the base with slots and random adapters, its manifest beside it."""
    from slot_bundles import build, with_adapters

    _, slotted = build(options.base, scratch, options.precision)
    bundle = with_adapters(slotted, [8] * options.adapters)
    (bundle.path / MANIFEST).write_text(bundle.manifest.model_dump_json(), "utf-8")
    return Path(bundle.path)


def measure(folder: Path) -> dict[str, Any]:
    """Megabytes of this process at each stage."""
    from metier.contracts import Manifest
    from metier.decoding.generation import Request
    from metier.runtime import Bundle, ChatTokenizer, Engine

    stages = {"imported": memory()}
    bundle: Any = folder
    if (folder / MANIFEST).is_file():
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text("utf-8"))
        bundle = Bundle(folder, manifest, ChatTokenizer.load(folder))
    start = time.perf_counter()
    with Engine(bundle) as engine:
        seconds = time.perf_counter() - start
        stages["opened"] = memory()
        names = [entry.name for entry in engine.bundle.manifest.adapters] or [None]
        running = [
            engine.submit(Request(ids=tuple(range(100, 164)), max_tokens=16, adapter=name), wait=None) for name in names
        ]
        for generation in running:
            generation.result()
        stages["replied"] = memory()
    return {"open_seconds": round(seconds, 2), "adapters": len(names), "mb": stages}


def memory() -> dict[str, float]:
    """Megabytes (10^6 bytes) of this process."""
    found = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        if (field := FIELDS.get(name.rstrip(":"))) is not None:
            found[field] = round(int(value) * 1024 / 1e6, 1)
    return found


def report(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """The figures beside the size of the weights."""
    from slot_bundles import machine

    weights = sum(file.stat().st_size for file in folder.glob("*.onnx*")) / 1e6
    return {
        "benchmark": "memory", **machine("onnxruntime-gpu", "onnxruntime", "numpy"), **found,
        "weights_mb": round(weights, 1),
        "opened_over_weights": {name: round(mb / weights, 2) for name, mb in found["mb"]["opened"].items()},
        "replied_over_weights": {name: round(mb / weights, 2) for name, mb in found["mb"]["replied"].items()},
    }  # fmt: skip


if __name__ == "__main__":
    main()
