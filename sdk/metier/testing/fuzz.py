"""What a fuzz test of a data adapter needs: any bytes read as a file, and good files damaged. Needs hypothesis."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from metier.contracts.adapter import DataAdapter
from metier.contracts.errors import MetierError
from metier.contracts.sample import BadRow, Sample
from metier.contracts.task import TaskContract

SECONDS = 20.0
"""Processor time that no small file may take."""
MARKS = (
    b'"',
    b"\t",
    b"<",
    b"&",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\xff\xfe",
    b"\r",
    b"\n\n",
    b",",
    b"null",
    b"1e999",
)
"""Bytes that mean something to most formats."""


def read_anyhow(
    adapter: DataAdapter, tasks: Sequence[TaskContract], content: bytes, suffix: str
) -> list[Sample | BadRow]:
    """The rows of a file with these bytes; none where it is refused by an error that names the file.

    Raises:
        AssertionError: a row names no place, a sample misses its task, an error names no file, or it takes too long.
    """
    task = {task.name: task for task in tasks}[adapter.task]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        assert isinstance(adapter.accepts(path), bool)
        begun = time.process_time()
        try:
            rows = list(adapter.read(path))
        except MetierError as error:
            assert str(path) in str(error.where), error
            return []
        assert time.process_time() - begun < SECONDS
        for row in rows:
            assert isinstance(row, Sample | BadRow)
            assert row.provenance and row.provenance.line and path.name in row.provenance.source
            if isinstance(row, Sample):
                task.check_sample(row)
                row.model_dump_json()
        return rows


@st.composite
def damaged(draw: st.DrawFn, example: bytes, marks: Sequence[bytes] = MARKS) -> bytes:
    """A good file with a piece cut out, repeated, or replaced by noise."""
    start = draw(st.integers(0, len(example)))
    stop = draw(st.integers(start, min(len(example), start + 80)))
    noise = draw(st.one_of(st.binary(max_size=24), st.sampled_from(marks)))
    return example[:start] + noise + example[start if draw(st.booleans()) else stop :]


def any_bytes(example: bytes, marks: Sequence[bytes] = MARKS) -> st.SearchStrategy[bytes]:
    """Noise, text of all scripts, and the good file `whole` damaged."""
    text = st.text(max_size=200).map(lambda string: string.encode("utf-8", "surrogatepass"))
    return st.one_of(st.binary(max_size=400), damaged(example, marks), text)
