"""What a product that only runs bundles installs: distributions and megabytes of `metier[cpu]` in a new environment.

The environment is made by `venv` in a temporary folder; pip and setuptools are not counted, the byte code that pip
compiles is. Then `metier --help`, `import metier` and the opening of an engine's module run in it.

    python tests/benchmarks/slim_install.py --json [--extra cpu]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMITS = {"megabytes": 250, "distributions": 45}
TOOLS = {"pip", "setuptools", "wheel"}


def measure(extra: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin/python"
        install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{ROOT}[{extra}]"]
        subprocess.run(install, check=True, stdout=sys.stderr)
        listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True)
        names = {row["name"].lower(): row["version"] for row in json.loads(listed.stdout)}
        site = next(Path(folder).glob("lib/python*/site-packages"))
        size = sum(
            file.stat().st_size
            for file in site.rglob("*")
            if file.is_file() and not TOOLS & {file.relative_to(site).parts[0].split("-")[0]}
        )
        for command in (["-m", "metier.cli", "--help"], ["-c", "import metier; metier.Engine"]):
            subprocess.run([python, *command], check=True, stdout=subprocess.DEVNULL)
    counted = sorted(f"{name}=={version}" for name, version in names.items() if name not in TOOLS)
    return {
        "extra": extra,
        "megabytes": round(size / 1e6, 1),
        "distributions": len(counted),
        "limits": LIMITS,
        "installed": counted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--extra", default="cpu")
    given = parser.parse_args()
    found = measure(given.extra)
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"metier[{found['extra']}]: {found['megabytes']} MB in {found['distributions']} distributions")


if __name__ == "__main__":
    main()
