"""Damaged files and random texts, the same for the same seed, for the checks that try a vertical on bad input. It
yields faults as sentences and uses no test framework.
"""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.contracts.adapter import DataAdapter
from metier.contracts.errors import MetierError
from metier.contracts.sample import BadRow, Sample
from metier.contracts.schema import JsonSchema, problems
from metier.contracts.task import TaskContract
from metier.testing.inputs import LONG, TEXTS

SECONDS = 20.0
"""Processor time that no small file and no answer may take."""
MOST_ROWS = 10_000
"""Rows that are read of a file before it counts as endless."""
_LONGEST_CUT = 80
"""Bytes of a good file that one damage replaces at most."""
_MARKS = (
    *(b'"', b"\t", b"<", b"&", b"\0", b"{", b"}", b"[", b"]", b"\\", b"\xff\xfe", b"\r", b"\n", b"\n\n", b","),
    *(b"null", b"1e999", b"]]>", b"<![CDATA[", b"\xed\xa0\x80", b"\x0c", b"#", b"*", b"->", b"::", b"<<", b"/*", b"@"),
)
"""Bytes that mean something to most formats."""
_SCRIPTS = ((0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x5FF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x1F300, 0x1F64F))


def random_text(chance: random.Random) -> str:
    """A text that is hard to handle: strings that are known to cause errors, or characters of one script."""
    if chance.random() < 0.5:
        return "".join(chance.choices((*TEXTS, *LONG), k=chance.randint(1, 3)))
    low, high = chance.choice(_SCRIPTS)
    return "".join(chr(chance.randint(low, high)) for _ in range(chance.randint(0, 60)))


def random_files(example: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Contents of bad files: mostly the example with a piece cut out, repeated or replaced; else noise or text.

    Args:
        example: a good file; pieces of it are noise as well, since they mean something to its format.
        count: how many contents.
        seed: the same seed gives the same contents.
    """
    chance = random.Random(seed)
    for _ in range(count):
        kind = chance.random()
        if kind < 0.1:
            yield chance.randbytes(chance.randint(0, 400))
        elif kind < 0.2:
            yield random_text(chance).encode("utf-8", "surrogatepass")
        else:
            yield _damaged(example, chance)


def _damaged(example: bytes, chance: random.Random) -> bytes:
    start = chance.randint(0, len(example))
    stop = min(len(example), start + chance.randint(0, _LONGEST_CUT))
    piece = chance.randint(0, len(example))
    noise = chance.choice(
        (chance.randbytes(chance.randint(0, 24)), chance.choice(_MARKS), example[piece : piece + chance.randint(1, 24)])
    )
    return example[:start] + noise + example[chance.choice((start, stop)) :]


def file_fault(adapter: DataAdapter, task: TaskContract, content: bytes, suffix: str) -> str | None:
    """What is wrong with how an adapter reads a file of these bytes; None where nothing is.

    Samples that satisfy the task and bad rows, each with file and line, are right, and so is an error of Metier's
    that names the file.
    """
    with tempfile.TemporaryDirectory(prefix="metier-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        start = time.process_time()
        try:
            if not isinstance(accepted := adapter.accepts(path), bool):
                return f"accepts returns {accepted!r}: return True or False"
            rows = list(itertools.islice(adapter.read(path), MOST_ROWS))
        except MetierError as error:
            if path.name in str(error.where):
                return None
            return f"its error {error.what!r} does not name the file: give where=file:line"
        except Exception as error:
            return (
                f"it raises {type(error).__name__}: {error}. "
                "Give a BadRow where a row is wrong, raise DataError where the file is"
            )
        if (seconds := time.process_time() - start) > SECONDS:
            return f"reading {len(content)} bytes takes {seconds:.0f} s: read in time proportional to the file"
        return next((fault for row in rows if (fault := _row_fault(row, task, path))), None)


def _row_fault(row: object, task: TaskContract, path: Path) -> str | None:
    if not isinstance(row, Sample | BadRow):
        return f"it gives a {type(row).__name__}: give Sample or BadRow"
    place = row.provenance
    if not place or not place.line or path.name not in place.source:
        return f"a row has the provenance {place}: give the file as source, and the line"
    if isinstance(row, Sample):
        try:
            task.check_sample(row)
        except MetierError as error:
            return f"{error.what}: give such a row as a BadRow"
    return None


def with_random_texts(value: Any, schema: JsonSchema, chance: random.Random) -> Any:
    """A copy of a value that satisfies a schema, with random texts for its strings where the schema allows them."""
    changed = _copy(value)
    for container, key in list(_strings(changed)):
        before = container[key]
        container[key] = random_text(chance)
        if problems(schema, changed):
            container[key] = before
    return changed


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if _is_list(value) else value


def _strings(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key or index) of every string in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, str):
            yield value, key
        else:
            yield from _strings(item)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
