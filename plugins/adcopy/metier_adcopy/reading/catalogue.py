"""A shop's catalogue, CSV or Excel: whatever its columns are called in English or Chinese, one row is one product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, DataError, Provenance, Sample
from metier_adcopy.facts import Fact
from metier_adcopy.reading.columns import label_of, role_of, unit_of
from metier_adcopy.reading.samples_from import facts_of, sample_of
from metier_adcopy.reading.tables import header, rows_with, text
from metier_adcopy.tasks import DESCRIBE


@dataclass(frozen=True)
class Catalogue:
    """Any table with a product name and a description; every other column that means something is a fact."""

    name: str = "catalogue"
    task: str = DESCRIBE
    example: Path = Path(__file__).parent.parent / "examples" / "catalogue.csv"

    def accepts(self, path: Path) -> bool:
        """Whether the table has a column for the name and one for the description."""
        return {"name", "description"} <= {role_of(column) for column in header(path)}

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample a row.

        Raises:
            DataError: no table, or no column is a name or a description.
        """
        known: dict[tuple[str, ...], dict[str, str | None]] = {}
        for row in rows_with(path, {}):
            if isinstance(row, BadRow):
                yield row
                continue
            columns = tuple(row.values)
            if columns not in known:
                known[columns] = roles = {column: role_of(column) for column in columns}
                _check(roles, path)
            yield _sample(row.values, known[columns], row.provenance)


def _check(roles: dict[str, str | None], path: Path) -> None:
    for needed in ("name", "description"):
        if needed not in roles.values():
            raise DataError(
                f"no column is the product's {needed}; the columns are {', '.join(roles) or 'none'}",
                where=f"{path}:1",
                remedy=f"head the column {needed} or {'商品名' if needed == 'name' else '描述'}",
            )


def _sample(row: dict[str, Any], roles: dict[str, str | None], provenance: Provenance) -> Sample | BadRow:
    pairs: list[tuple[str, str]] = []
    names: list[tuple[str, str]] = []
    brief: dict[str, Any] = {}
    written, name_column, text_column = "", "", "description"
    for column, role in roles.items():
        value = text(row.get(column)).strip()
        if role is None:
            continue
        if role == "description":
            if not written:  # The first that holds something: short beside long description.
                written, text_column = value, column
        elif role in ("audience", "tone", "max_chars"):
            if Fact(role, value).known:
                brief[role] = value
        else:
            unit = unit_of(column)
            bare = value.replace(".", "", 1).replace(",", "").isdigit()
            pair = (label_of(role, column), f"{value} {unit}" if unit and bare else value)
            if role == "name":
                name_column = name_column or column
                names.append(pair)
            else:
                pairs.append(pair)
    if "max_chars" in brief:
        try:
            brief["max_chars"] = int(brief["max_chars"])
            if brief["max_chars"] < 1:
                raise ValueError
        except ValueError:
            return BadRow(
                provenance=provenance,
                field="max_chars",
                reason=f"{brief['max_chars']!r} is no limit in characters",
                remedy="write a whole number of at least 1, or leave the cell empty",
            )
    if not any(Fact(*pair).known for pair in names):
        return BadRow(
            provenance=provenance,
            field=name_column,
            reason="the product has no name",
            remedy=f"fill {name_column}, or leave the row out",
        )
    sample = sample_of(facts_of([*names, *pairs]), written, provenance, fields=(name_column, text_column))
    if isinstance(sample, BadRow) or not brief:
        return sample
    return sample.model_copy(update={"input": {**sample.input, **brief}})
