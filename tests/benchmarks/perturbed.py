"""Does a test pass by luck? Tests that train, run under other rounding and from other random bases.

    python tests/benchmarks/perturbed.py [--rows as_it_is two_threads …] [--into FILE] [--json] [PATH …]

Each row runs the same tests in a process of its own with one thing changed: the number of threads, the instructions
that ATen, oneDNN or MKL may use, or the seed of the tiny random bases (`METIER_TEST_SEED`). A test that fails in one
row and passes in another states something that does not hold. `--into` adds to the rows of a file, so that a killed
measurement resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from slot_bundles import machine  # noqa: E402

TRAINING = ("adapt", "align", "evaluate", "heads", "iterate", "training")
ROWS: dict[str, dict[str, str]] = {
    "as_it_is": {},
    "two_threads": {"OMP_NUM_THREADS": "2"},
    "no_vectors": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "old_kernels": {"MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    **{f"seed_{seed}": {"METIER_TEST_SEED": str(seed)} for seed in range(1, 5)},
}


def main() -> None:
    """Run the rows that are missing; print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="*", default=[f"tests/{room}" for room in TRAINING])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--into", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report: dict[str, Any] = {"environment": machine("torch", "transformers", "peft"), "rows": {}}
    if given.into and given.into.is_file():
        report["rows"] = json.loads(given.into.read_text("utf-8"))["rows"]
    for name in given.rows:
        if name not in report["rows"]:
            report["rows"][name] = run(given.paths, ROWS[name])
            if given.into:
                given.into.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
            print(name, json.dumps(report["rows"][name]), file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps(report, indent=1))
        return
    for name, row in report["rows"].items():
        print(f"{name}: {row['passed']} passed, {len(row['failed'])} failed", *row["failed"], sep="\n  ")


def run(paths: list[str], changed: dict[str, str]) -> dict[str, Any]:
    """How the tests end in an environment: how many passed, and the ids of those that failed."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}", *paths]
        environment = {"OMP_NUM_THREADS": "1", **os.environ, **changed}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
        if done.returncode not in (0, 1):
            sys.exit(f"pytest did not run:\n{done.stdout.decode(errors='replace')[-2000:]}")
        cases = list(ElementTree.parse(results).iter("testcase"))
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = [c for c in cases if c.find("skipped") is not None]
    return {
        "changed": changed,
        "passed": len(cases) - len(failed) - len(skipped),
        "skipped": len(skipped),
        "failed": sorted(f"{case.get('classname')}::{case.get('name')}" for case in failed),
        "seconds": round(time.perf_counter() - started),
    }


if __name__ == "__main__":
    main()
