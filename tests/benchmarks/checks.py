"""How much nonsense the trades' checks find: a mutation test of the checks, by task, kind of corruption and language.

    python tests/benchmarks/checks.py [TASK…] [--kind KIND] [--show] [--json]

Right references (the packaged held-out samples) are corrupted in the ways that matter to the trade (`corruptions.py`).
A corruption is found where a check reports more on it than on the right reference. A reference is accused where any
check reports anything on it. `--show` prints what was missed, for the one who improves a check.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from corruptions import KINDS, Case

from metier.contracts.check import run_checks
from metier.contracts.errors import MetierError
from metier.contracts.sample import Sample
from metier.data.samples_file import read_samples
from metier.plugins import load_plugins

FACTUAL = {
    "adcopy.describe", "adcopy.search_ads", "adcopy.presenter", "support.reply", "support.listing", "support.review",
    "support.entities",
}  # fmt: skip
"""Tasks that facts bind: at least 80% is the goal there, 55% elsewhere."""
MOST_A_KIND = 2
"""Corruptions of one kind that a sample gives at most."""


def cases_of(vertical: Any, task: Any) -> list[Case]:
    """The held-out samples of a task as cases, each with the others of its language and of the other language."""

    samples = list(read_samples(vertical.samples[task.name].held_out, task=task.name))
    rows = [(s.input.get("language") or "en", dict(s.input), dict(s.output)) for s in samples]
    bare = [Case(task.name, language, given, right, (), ()) for language, given, right in rows]
    cases = []
    for n, one in enumerate(bare):
        rest = [*bare[n + 1 :], *bare[:n]]
        same = [other for other in rest if other.language == one.language]
        foreign = [other for other in rest if other.language != one.language]
        cases.append(Case(one.task, one.language, one.input, one.output, same, foreign))
    return cases


def corruptions_of(case: Case, kind: str, task: Any, seed: int) -> Iterator[dict[str, Any]]:
    """At most two corruptions of a kind that are valid replies of the task and differ from the reference."""
    drawn = [output for output in KINDS[kind](case) if output != case.output]
    random.Random(f"{seed}{kind}{case.input}").shuffle(drawn)
    found = 0
    for output in drawn:
        try:
            task.check_sample(Sample(task=task.name, input=case.input, output=output))
        except MetierError:
            continue
        yield output
        found += 1
        if found == MOST_A_KIND:
            return


def measure(names: list[str], only: str | None, show: bool, seed: int) -> dict[str, Any]:
    """Counts by task, language and kind."""
    rows: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    accused: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for vertical in load_plugins().verticals.values():
        for task in vertical.tasks:
            if task.name not in vertical.samples or (names and task.name not in names and vertical.name not in names):
                continue
            checks = vertical.checks_for(task)
            for case in cases_of(vertical, task):
                right = {name: len(found) for name, found in run_checks(checks, case.input, case.output).items()}
                accused[task.name, case.language][1] += 1
                if any(right.values()):
                    accused[task.name, case.language][0] += 1
                    if show:
                        print("ACCUSED", task.name, [n for n, k in right.items() if k], case.input, case.output)
                for kind in KINDS:
                    if only and kind != only:
                        continue
                    for output in corruptions_of(case, kind, task, seed):
                        wrong = {name: len(found) for name, found in run_checks(checks, case.input, output).items()}
                        hit = any(wrong[name] > right[name] for name in wrong)
                        rows[task.name, case.language, kind][0] += hit
                        rows[task.name, case.language, kind][1] += 1
                        if show and not hit:
                            print("MISSED", kind, task.name, dict(case.input), output, sep=" | ")
    return _report(rows, accused)


def _report(rows: dict[tuple[str, str, str], list[int]], accused: dict[tuple[str, str], list[int]]) -> dict[str, Any]:
    def total(choose: Any) -> dict[str, Any]:
        found = [counts for key, counts in rows.items() if choose(key)]
        hits, all_ = sum(c[0] for c in found), sum(c[1] for c in found)
        return {"found": hits, "of": all_, "share": round(hits / all_, 3) if all_ else None}

    tasks = sorted({key[0] for key in rows})
    return {
        "by_task": [
            {
                "task": task,
                "language": language,
                "goal": 0.8 if task in FACTUAL else 0.55,
                **total(lambda key, t=task, lang=language: key[:2] == (t, lang)),
                "references": accused[task, language][1],
                "references_accused": accused[task, language][0],
                "kinds": {
                    kind: f"{counts[0]}/{counts[1]}"
                    for (t, lang, kind), counts in sorted(rows.items())
                    if (t, lang) == (task, language)
                },
            }
            for task in tasks
            for language in sorted({key[1] for key in rows if key[0] == task})
        ],
        "by_kind": {kind: total(lambda key, k=kind: key[2] == k) for kind in KINDS},
        "by_language": {
            language: {
                "facts bind": total(lambda key, lang=language: key[1] == lang and key[0] in FACTUAL),
                "others": total(lambda key, lang=language: key[1] == lang and key[0] not in FACTUAL),
                "references_accused": round(
                    sum(c[0] for k, c in accused.items() if k[1] == language)
                    / max(1, sum(c[1] for k, c in accused.items() if k[1] == language)),
                    3,
                ),
            }
            for language in sorted({key[1] for key in rows})
        },
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="*", help="tasks or verticals; all where none is named")
    parser.add_argument("--kind", choices=sorted(KINDS))
    parser.add_argument("--show", action="store_true", help="print every corruption that was missed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = measure(options.tasks, options.kind, options.show, options.seed)
    if options.json:
        print(json.dumps(report, ensure_ascii=False, indent=1))
        return
    for row in report["by_task"]:
        print(
            f"{row['task']:24} {row['language']}  found {row['found']:4}/{row['of']:<4} {row['share']:.0%} "
            f"(goal {row['goal']:.0%})  accused {row['references_accused']}/{row['references']}  {row['kinds']}"
        )
    for kind, found in report["by_kind"].items():
        if found["of"]:
            print(f"{kind:28} {found['found']}/{found['of']} {found['share']:.0%}")
    print(json.dumps(report["by_language"], ensure_ascii=False))


if __name__ == "__main__":
    main()
