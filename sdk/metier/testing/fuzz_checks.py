"""Checks of a vertical on unexpected input: damaged files, other suffixes, missing files, any text."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

from metier.contracts.adapter import DataAdapter
from metier.contracts.check import Check, Finding
from metier.contracts.errors import MetierError
from metier.contracts.sample import Value
from metier.contracts.task import TaskContract
from metier.contracts.vertical import Vertical
from metier.testing.fuzz import SECONDS, file_fault, random_files, with_random_texts

FILES = 100
"""Damaged files that are tried on each adapter: most readers fail within the first fifty."""
TEXTS = 40
"""Inputs and outputs with random texts that are tried on each check and task."""
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".parquet", ".xml", ".txt", "")
"""Names under which an adapter's example is tried, besides those of the vertical's other examples."""


def adapters_survive_damaged_files(vertical: Vertical) -> Iterator[str]:
    """A damaged file ends in samples, bad rows, or an error of Metier's, each with the file's name."""
    for adapter in vertical.data_adapters:
        task = vertical.task(adapter.task)
        example = adapter.example.read_bytes()
        for content in random_files(example, FILES):
            if fault := file_fault(adapter, task, content, adapter.example.suffix):
                yield f"data adapter {adapter.name} on a damaged file ({content[:60]!r}…): {fault}"
                break


def adapters_survive_another_suffix(vertical: Vertical) -> Iterator[str]:
    """A file under the suffix of another format ends in samples, bad rows, or an error that names the file."""
    own = {adapter.example.suffix for adapter in vertical.data_adapters}
    for adapter in vertical.data_adapters:
        task = vertical.task(adapter.task)
        for suffix in sorted({*SUFFIXES, *own} - {adapter.example.suffix}):
            if fault := file_fault(adapter, task, adapter.example.read_bytes(), suffix):
                yield f"data adapter {adapter.name} on its example as file{suffix}: {fault}"
                break


def adapters_refuse_missing_files(vertical: Vertical) -> Iterator[str]:
    """A file that does not exist, and a folder, are not accepted, and reading them is an error of Metier's."""
    for adapter in vertical.data_adapters:
        with tempfile.TemporaryDirectory(prefix="metier-", ignore_cleanup_errors=True) as name:
            folder = Path(name) / f"folder{adapter.example.suffix}"
            folder.mkdir()
            missing = Path(name) / f"missing{adapter.example.suffix}"
            for what, path in (("a missing file", missing), ("a folder", folder)):
                if fault := _not_refused(adapter, path):
                    yield f"data adapter {adapter.name} on {what}: {fault}"


def _not_refused(adapter: DataAdapter, path: Path) -> str | None:
    try:
        if adapter.accepts(path) is not False:
            return "accepts does not return False: check path.is_file() first"
        rows = list(adapter.read(path))
    except MetierError:
        return None
    except Exception as error:
        return f"it raises {type(error).__name__}: raise DataError with the path"
    return f"it gives {len(rows)} rows: raise DataError with the path"


def adapters_claim_their_example(vertical: Vertical) -> Iterator[str]:
    """Of a task's adapters, the first that accepts an adapter's example is that adapter."""
    for adapter in vertical.data_adapters:
        first = next((one for one in vertical.adapters_for(adapter.task) if one.accepts(adapter.example)), None)
        if first is not None and first is not adapter:
            yield (
                f"data adapter {adapter.name}: its example {adapter.example.name} is accepted by {first.name}, which "
                "comes first: narrow that one's accepts, or change the order"
            )


def checks_answer_any_text(vertical: Vertical) -> Iterator[str]:
    """A check returns findings for any output that satisfies the task, and never takes long on an unusual text.

    For an input with unusual texts it may also raise an error of Metier's, such as facts in a notation it cannot read.
    """
    for check in vertical.checks:
        if fault := _first_fault(vertical, check):
            yield f"check {check.name}: {fault}"


def _first_fault(vertical: Vertical, check: Check) -> str | None:
    for name in check.tasks:
        task = vertical.task(name)
        if not _fits(task, check.passing):  # its example is of another of its tasks
            continue
        narrowed = task.for_input(check.passing[0])
        chance = random.Random(f"{check.name} {name}")
        for number in range(TEXTS):
            unusual_input = number % 2 == 1
            input, output = deepcopy(check.passing)
            if unusual_input:
                input = with_random_texts(input, task.input, chance)
            output = with_random_texts(output, task.output if unusual_input else narrowed.output, chance)
            if fault := _run_fault(check, input, output, may_refuse=unusual_input):
                return fault
    return None


def _fits(task: TaskContract, pair: tuple[Value, Value]) -> bool:
    try:
        task.check_input(pair[0])
        task.for_input(pair[0]).check_output(pair[1])
    except MetierError:
        return False
    return True


def _run_fault(check: Check, input: Value, output: Value, *, may_refuse: bool) -> str | None:
    start = time.process_time()
    try:
        found: Sequence[Finding] = check.run(input, output)
    except Exception as error:
        if may_refuse and isinstance(error, MetierError):
            return None
        return f"it raises {type(error).__name__}: {error} on the output {str(output)[:200]}. Let it return findings"
    if (seconds := time.process_time() - start) > SECONDS:
        return f"it takes {seconds:.0f} s on the output {str(output)[:200]}: look at its patterns"
    if blank := [finding for finding in found if not finding.message.strip()]:
        return f"{len(blank)} findings on the output {str(output)[:200]} have no message: state what is wrong"
    return None
