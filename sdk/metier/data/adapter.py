"""The data adapter that most plugins need: a table whose columns have the trade's own names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from metier.contracts.errors import MetierError
from metier.contracts.sample import BadRow, Sample
from metier.contracts.task import TaskContract
from metier.data.columns import map_columns, target_of, targets
from metier.data.sampling import Build, samples_from
from metier.readers.row import Row
from metier.readers.tables import SUFFIXES, read_rows


class TableAdapter:
    """Reads CSV, TSV, JSONL, Parquet and Excel into samples of one task; satisfies `DataAdapter`.

    Args:
        name: short name, such as `catalogue`.
        task: the task whose samples it gives.
        columns: the trade's header → the contract's field, or `input.field` or `output.field` where both sides have
            it; several headers may name one field. With `build`, the headers that a file must have.
        example: a small file, packaged with the plugin, that it reads.
        suffixes: kinds of file it takes; all tables where not given.
        build: a row's cells → (input, output), where a field is made from several columns. Raise ValueError for a
            row that cannot be one.

    Raises:
        UsageError: `columns` names a field that the contract does not have.
    """

    def __init__(
        self,
        name: str,
        task: TaskContract,
        *,
        example: Path,
        columns: Mapping[str, str] | None = None,
        suffixes: frozenset[str] | set[str] | tuple[str, ...] = tuple(SUFFIXES),
        build: Build | None = None,
    ) -> None:
        self.name, self.contract, self.example = name, task, example
        self.columns, self.suffixes, self.build = dict(columns or {}), frozenset(suffixes), build
        if build is None:
            for field in self.columns.values():
                target_of(task, targets(task), field)

    @property
    def task(self) -> str:
        """Full name of the task."""
        return self.contract.name

    def accepts(self, path: Path) -> bool:
        """Whether the suffix is one of its own and the columns that it needs are there. Never raises."""
        if Path(path.name.lower().removesuffix(".gz")).suffix not in self.suffixes:
            return False
        rows = read_rows(path)
        try:
            first = next((row for row in rows if isinstance(row, Row)), None)
            if first is None:
                return False
            if self.build is not None:
                have = {name.strip().casefold() for name in first.values}
                return all(name.casefold() in have for name in self.columns)
            map_columns(self.contract, list(first.values), synonyms=self.synonyms())
        except (MetierError, OSError, ValueError):
            return False
        finally:
            rows.close()
        return True

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples and bad rows in the file's order; opens nothing before the first."""
        yield from samples_from(read_rows(path), self.contract, synonyms=self.synonyms(), build=self.build)

    def synonyms(self) -> dict[str, list[str]]:
        """Field → the headers that the trade uses for it."""
        found: dict[str, list[str]] = {}
        for header, field in self.columns.items():
            found.setdefault(field, []).append(header)
        return found
