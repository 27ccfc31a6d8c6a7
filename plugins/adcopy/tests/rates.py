"""Prints how many human references of an E2E file pass each check: `python rates.py devset.csv`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from metier_adcopy.checks import CHECKS


def main(path: Path) -> None:
    """One line a check: its name, and the share of references without a finding."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for check in CHECKS:
        passing = sum(not check.run({"facts": row["mr"]}, {"text": row["ref"]}) for row in rows)
        print(f"{check.name:16} {passing:5d} of {len(rows)}  {passing / len(rows):.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
