"""Task inputs in, answers out: JSON or JSON Lines, checked before anything heavy loads, written atomically."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from metier.contracts import ContractError, DataError, TaskContract, UsageError, Value
from metier.disk import atomic_file

STANDARD = Path("-")
"""Means stdin or stdout."""


def read_inputs(path: Path) -> list[tuple[str, Value]]:
    """Every input with its place: `file:line` of JSON Lines, blank lines passed over, or `file[number]` of a `.json`
    file, which holds one object or an array of them.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    name = "<stdin>" if path == STANDARD else str(path)
    try:
        raw = sys.stdin.buffer.read() if path == STANDARD else path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", where=name, remedy="name a JSON or JSONL file of inputs"
        ) from error
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if path.suffix.lower() == ".json":
        return _document(raw, name)
    lines = enumerate(raw.split(b"\n"), 1)
    return [(f"{name}:{n}", _object(line, f"{name}:{n}", "line", _A_LINE)) for n, line in lines if line.strip()]


_A_LINE = 'write one JSON object a line, such as {"facts": "…"}, in UTF-8'
_A_FILE = 'write one JSON object, such as {"facts": "…"}, or an array of them, in UTF-8'


def _document(raw: bytes, name: str) -> list[tuple[str, Value]]:
    found = _parsed(raw, name, "file", _A_FILE)
    if not isinstance(found, list):
        return [(name, _only_object(found, name, "file", _A_FILE))]
    return [(f"{name}[{n}]", _only_object(item, f"{name}[{n}]", "item", _A_FILE)) for n, item in enumerate(found, 1)]


def _object(text: bytes, where: str, what: str, remedy: str) -> Value:
    return _only_object(_parsed(text, where, what, remedy), where, what, remedy)


def _parsed(text: bytes, where: str, what: str, remedy: str) -> Any:
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise DataError(f"the {what} is not UTF-8", where=where, remedy=remedy) from error
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}" if what == "file" else where
        raise DataError(
            f"the {what} is not JSON: {error.msg} at column {error.colno}", where=place, remedy=remedy
        ) from error
    except RecursionError as error:
        raise DataError(f"the {what} is nested too deeply", where=where, remedy=remedy) from error


def _only_object(value: Any, where: str, what: str, remedy: str) -> Value:
    if not isinstance(value, dict):
        raise DataError(f"the {what} holds a {type(value).__name__}, not an object", where=where, remedy=remedy)
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
    """One input from typed text: a JSON object, or the plain text of the only field the task requires.

    Raises:
        UsageError: it is neither.
        ContractError: it does not satisfy the task.
    """
    if text.lstrip().startswith("{"):
        return task.check_input(_object(text.encode("utf-8", "surrogatepass"), "input", "input", _A_FILE))
    required = task.input.get("required") or list(task.input.get("properties", {}))
    if len(required) != 1:
        raise UsageError(
            f"{task.name} needs more than one field: {', '.join(required)}",
            remedy="give the input as a JSON object with these fields",
        )
    return task.check_input({required[0]: text.strip()})


@contextmanager
def output_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears under its name only when the block ends well, or standard output."""
    if path == STANDARD:
        yield sys.stdout
        return
    with atomic_file(path) as file:
        yield file
