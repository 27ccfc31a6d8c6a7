"""Checks of a vertical's data adapters, tried on their own packaged example: what they read, when, and from which row.

A file grows while it is read: an adapter that is lazy sees the new rows, one that read ahead does not.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metier.contracts.adapter import DataAdapter
from metier.contracts.errors import MetierError
from metier.contracts.sample import BadRow, Sample
from metier.contracts.vertical import Vertical

Row = Sample | BadRow

_BIG = 1 << 20
"""Bytes of the file that is grown: many times what a reader may buffer."""
_MOST = 10_000
"""Rows that are read of an example before it counts as endless."""


def adapters_read_their_example(vertical: Vertical) -> Iterator[str]:
    """Every data adapter accepts its packaged example, and reads it into samples that satisfy their contract."""
    for adapter in vertical.data_adapters:
        path, name = adapter.example, f"data adapter {adapter.name}"
        if not path.is_file():
            yield f"{name}: its example {path} is not there: package a small file that it reads"
            continue
        for tried, right in ((path, True), (path.with_name("no-such-file.xyz"), False)):
            try:
                accepted = adapter.accepts(tried)
            except Exception as error:
                yield f"{name}: accepts({tried.name}) raises {type(error).__name__}: return False instead"
                continue
            if accepted is not right:
                yield f"{name}: accepts({tried.name}) returns {accepted!r}: return {right} there"
        try:
            rows = _read(adapter, path)
        except Exception as error:
            yield f"{name}: reading {path.name} raises {type(error).__name__}: {error}: correct the reader or example"
            continue
        yield from (f"{name}: {row}: correct the reader or the example" for row in rows if isinstance(row, BadRow))
        if not rows:
            yield f"{name}: {path.name} gives no sample: correct the reader or the example"
        task = vertical.task(adapter.task)
        for row in rows:
            if isinstance(row, Sample):
                try:
                    task.check_sample(row)
                except MetierError as error:
                    yield f"{name}: {error.where or path.name}: {error.what}: give such a row as a BadRow"
                    break
            elif not isinstance(row, BadRow):
                yield f"{name}: it gives a {type(row).__name__}: give Sample or BadRow"
                break


def adapters_are_lazy(vertical: Vertical) -> Iterator[str]:
    """A data adapter opens nothing before the first `next`, and reads no further than the requested row."""
    for adapter in vertical.data_adapters:
        name = f"data adapter {adapter.name}"
        with _opened(adapter.example) as opened:
            result: Any = adapter.read(adapter.example)
            early = bool(opened)
        if isinstance(result, list | tuple) or not hasattr(result, "__next__"):
            yield f"{name}: read returns a {type(result).__name__}: write it as a generator, with yield"
            continue
        _close(result)
        if early:
            yield f"{name}: read opens the file before the first row is requested: open it inside the generator"
            continue
        with _copy_of(adapter.example) as path:
            if _grows(adapter, path) and not _sees_growth(adapter, path):
                yield (
                    f"{name}: a row appended after the first was read is not seen, so the file was read ahead: "
                    "go through the file row by row, without read(), readlines() or list()"
                )


def adapters_keep_the_row(vertical: Vertical) -> Iterator[str]:
    """Every sample has the file and the 1-based line (row, record) it came from."""
    for adapter in vertical.data_adapters:
        name, path = f"data adapter {adapter.name}", adapter.example
        rows = _read(adapter, path)
        lines: list[int] = []
        fault = None
        for number, row in enumerate(rows, 1):
            came = row.provenance
            if came is None or came.line is None:
                fault = f"sample {number} has no provenance with a line: give Provenance(source=..., line=...)"
            elif path.name not in came.source:
                fault = f"sample {number} has the source {came.source!r}, not {path.name}: give the file read as source"
            elif lines and came.line < lines[-1]:
                fault = f"sample {number} is from line {came.line}, after line {lines[-1]}: keep the file's order"
            if fault:
                break
            assert came is not None and came.line is not None
            lines.append(came.line)
        if fault is None and len(rows) > 1 and len(set(lines)) == 1 and _rows_per_line(adapter) == 1:
            fault = f"all samples have line {lines[0]}: count the lines"
        if fault is None:
            fault = _wrong_line(adapter, rows)
        if fault:
            yield f"{name}: {fault}"


def adapters_survive_garbage(vertical: Vertical) -> Iterator[str]:
    """A damaged file ends in bad rows or in an error of Metier's, never in another exception."""
    for adapter in vertical.data_adapters:
        content = adapter.example.read_bytes()
        half = len(content) // 2
        noise = bytes(range(256)) * 8
        cases = {
            "an empty file": b"",
            "random bytes": noise[::-1] + noise,
            "its example cut in the middle": content[:half],
            "its example with noise in the middle": content[:half] + noise + content[half:],
            "its example followed by noise": content + noise,
            "a file of blank lines": b"\n" * 50,
        }
        for what, damaged in cases.items():
            with _copy_of(adapter.example, damaged) as path:
                try:
                    accepted = adapter.accepts(path)
                    rows = _read(adapter, path)
                except MetierError:
                    continue
                except Exception as error:
                    yield (
                        f"data adapter {adapter.name} on {what} raises {type(error).__name__}: {error}. "
                        "Give a BadRow where a row is wrong, raise DataError where the file is"
                    )
                    continue
            if not isinstance(accepted, bool):
                yield f"data adapter {adapter.name} on {what}: accepts returns {accepted!r}: return True or False"
            if odd := next((row for row in rows if not isinstance(row, Sample | BadRow)), None):
                yield f"data adapter {adapter.name} on {what}: it gives a {type(odd).__name__}: give Sample or BadRow"


def _wrong_line(adapter: DataAdapter, rows: list[Row]) -> str | None:
    """What is wrong with the last row's line, by taking that line out of the file; None where it is right, or where
    the format is not one row a line."""
    last = rows[-1].provenance
    with _copy_of(adapter.example) as path:
        if last is None or last.line is None or not _grows(adapter, path):
            return None
        lines = adapter.example.read_bytes().splitlines(keepends=True)
        expected = [_content(row) for row in rows if row.provenance and row.provenance.line != last.line]
        if last.line <= len(lines):
            path.write_bytes(b"".join(lines[: last.line - 1] + lines[last.line :]))
            if [_content(row) for row in _try(adapter, path)] == expected:
                return None
    return (
        f"the last sample has line {last.line}, but it is not on that line of {adapter.example.name}: "
        "count from 1, header and blank lines included"
    )


def _grows(adapter: DataAdapter, path: Path) -> bool:
    """Whether repeating the file's last line gives the last row again: one row a line, nothing after the rows."""
    content = adapter.example.read_bytes()
    last = _last_line(content)
    if not last.strip() or b"\0" in content:
        return False
    before = _try(adapter, adapter.example)
    path.write_bytes(_ended(content) + last * 3)
    after = _try(adapter, path)
    each = (len(after) - len(before)) // 3
    return (
        each >= 1
        and len(after) == len(before) + 3 * each
        and all(isinstance(row, Sample) for row in after)
        and [_content(row) for row in after[len(before) :]] == [_content(row) for row in before[-each:]] * 3
    )


def _rows_per_line(adapter: DataAdapter) -> int:
    with _copy_of(adapter.example) as path:
        if not _grows(adapter, path):
            return 0
        return (len(_try(adapter, path)) - len(_try(adapter, adapter.example))) // 3


def _sees_growth(adapter: DataAdapter, path: Path) -> bool:
    """Whether rows appended once the first row is out are read."""
    content = adapter.example.read_bytes()
    last = _last_line(content)
    before = len(_try(adapter, adapter.example))
    path.write_bytes(_ended(content) + last)
    each = len(_try(adapter, path)) - before
    times = _BIG // len(last)
    path.write_bytes(_ended(content) + last * times)
    reader = iter(adapter.read(path))
    next(reader)
    with path.open("ab") as file:
        file.write(last * 3)
    return 1 + sum(1 for _ in reader) > before + each * times


def _last_line(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return _ended(lines[-1]) if lines else b""


def _ended(content: bytes) -> bytes:
    return content if content.endswith((b"\n", b"\r")) else content + b"\n"


def _content(row: Row) -> Any:
    return (row.input, row.output) if isinstance(row, Sample) else row.reason


def _read(adapter: DataAdapter, path: Path) -> list[Row]:
    return list(itertools.islice(adapter.read(path), _MOST))


def _try(adapter: DataAdapter, path: Path) -> list[Row]:
    try:
        return _read(adapter, path)
    except Exception:
        return []


def _close(result: Any) -> None:
    if close := getattr(result, "close", None):
        close()


@contextmanager
def _copy_of(example: Path, content: bytes | None = None) -> Iterator[Path]:
    """A copy of the example under its own name in a new folder, with other content where given."""
    with tempfile.TemporaryDirectory(prefix="metier-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / example.name
        path.write_bytes(example.read_bytes() if content is None else content)
        yield path


_watched: list[tuple[str, list[str]]] = []
_hooked = False


@contextmanager
def _opened(path: Path) -> Iterator[list[str]]:
    """Collects each opening of a file while it lasts, through the interpreter's audit events."""
    global _hooked
    if not _hooked:
        # An audit hook stays for the life of the process, so there is one, and it costs nothing while none watches.
        sys.addaudithook(_on_event)
        _hooked = True
    seen: list[str] = []
    _watched.append((str(path.resolve()), seen))
    try:
        yield seen
    finally:
        _watched.pop()


def _on_event(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and _watched:
        wanted, seen = _watched[-1]
        name = args[0]
        if isinstance(name, str | bytes | Path) and str(Path(_text(name)).absolute()) == wanted:
            seen.append(wanted)


def _text(name: str | bytes | Path) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
