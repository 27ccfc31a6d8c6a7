"""Task inputs in, answers out: JSON lines, checked before anything heavy loads, written whole or not at all."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from metier.contracts import ContractError, DataError, TaskContract, UsageError, Value

STANDARD = Path("-")
"""Stands for stdin or stdout."""


def read_inputs(path: Path) -> list[tuple[str, Value]]:
    """Every line's place (`file:line`) and its JSON object; blank lines are passed over.

    Raises:
        DataError: the file cannot be read, or a line is not a JSON object.
    """
    name = "<stdin>" if path == STANDARD else str(path)
    try:
        raw = sys.stdin.buffer.read() if path == STANDARD else path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", where=name, remedy="name a JSONL file of inputs"
        ) from error
    found = []
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            found.append((f"{name}:{number}", _object(line, f"{name}:{number}")))
    return found


def _object(line: bytes, where: str) -> Value:
    remedy = 'write one JSON object a line, such as {"facts": "…"}, in UTF-8'
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise DataError("the line is not UTF-8", where=where, remedy=remedy) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"the line is not JSON: {error.msg} at column {error.colno}", where=where, remedy=remedy
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"the line holds a {type(value).__name__}, not an object", where=where, remedy=remedy)
    return value


def check_inputs(task: TaskContract, rows: list[tuple[str, Value]]) -> list[Value]:
    """The inputs, each of which satisfies the task.

    Raises:
        DataError: the first that does not, by file and line.
    """
    for where, value in rows:
        try:
            task.check_input(value)
        except ContractError as error:
            raise DataError(error.what, where=where, remedy=error.remedy) from error
    return [value for _, value in rows]


def input_of(task: TaskContract, text: str) -> Value:
    """One input from what a person typed: a JSON object, or the plain text of the only field the task requires.

    Raises:
        UsageError: it is neither.
        ContractError: it does not satisfy the task.
    """
    if text.lstrip().startswith("{"):
        return task.check_input(_object(text.encode(), "input"))
    required = task.input.get("required") or list(task.input.get("properties", {}))
    if len(required) != 1:
        raise UsageError(
            f"{task.name} needs more than one field: {', '.join(required)}",
            remedy="give the input as a JSON object with these fields",
        )
    return task.check_input({required[0]: text.strip()})


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name only when the block ends well: temporary file, fsync, rename."""
    if path == STANDARD:
        yield sys.stdout
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # mkstemp's files are private; an output is an ordinary file
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
