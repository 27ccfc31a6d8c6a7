"""Meaning representations with references, as in the E2E data set (arXiv 1706.09254): columns mr and ref."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metier.contracts import BadRow, Sample
from metier_adcopy.reading.samples_from import sample_of
from metier_adcopy.reading.tables import header, rows_with, text
from metier_adcopy.tasks import DESCRIBE

_MEANING = ("mr", "meaning_representation", "meaning representation")
_REFERENCE = ("ref", "reference", "human_reference")


@dataclass(frozen=True)
class MeaningRepresentations:
    """CSV, TSV or JSONL with one (meaning representation, reference) a row."""

    name: str = "meaning_representation"
    task: str = DESCRIBE
    example: Path = Path(__file__).parent.parent / "examples" / "meaning.csv"

    def accepts(self, path: Path) -> bool:
        """Whether the table has both columns."""
        have = {name.strip().casefold() for name in header(path)}
        return bool(have & set(_MEANING) and have & set(_REFERENCE))

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample a row.

        Raises:
            DataError: no table, or a column is missing.
        """
        for row in rows_with(path, {"mr": _MEANING, "ref": _REFERENCE}):
            if isinstance(row, BadRow):
                yield row
                continue
            cells = {name.strip().casefold(): text(value) for name, value in row.values.items()}
            meaning = next(n for n in _MEANING if n in cells) if set(cells) & set(_MEANING) else _MEANING[0]
            reference = next((n for n in _REFERENCE if n in cells), _REFERENCE[0])
            yield sample_of(
                cells.get(meaning, ""), cells.get(reference, ""), row.provenance, fields=(meaning, reference)
            )
