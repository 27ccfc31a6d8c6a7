"""Queries with ads or products and how well they match, such as the Shopping Queries data set (ESCI, arXiv
2206.06588): one pair a row, its grade as a name, ESCI's letter, or a number from 3 (exact) to 0 (irrelevant)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, DataError, Sample
from metier.contracts.script import language_by_script
from metier_adcopy.reading.samples_from import plain_text
from metier_adcopy.reading.tables import header, own_names, rows_with, text
from metier_adcopy.tasks import SEARCH_MATCH

_COLUMNS = {
    "query": "query search_query search_term keyword 搜索词 查询 查询词 关键词",
    "title": "title ad_title product_title headline headline_1 ad 标题 广告标题 商品标题 商品名称",
    "grade": "grade esci_label label relevance relevance_label relevance_grade 相关性 等级 相关度",
    "text": "text ad_text description description_1 ad_description product_description 描述 广告描述 商品描述",
}
_GRADES = {
    "exact": "exact e 3 完全匹配 完全相关",
    "substitute": "substitute s 2 替代 可替代",
    "complement": "complement c 1 搭配 互补",
    "irrelevant": "irrelevant i 0 不相关 无关",
}
_GRADE_OF = {spelling: grade for grade, spellings in _GRADES.items() for spelling in spellings.split()}
LONGEST = 400
"""Characters of a description that are kept: a grade rests on the first lines, and a prompt has to hold them."""


@dataclass(frozen=True)
class RelevanceTable:
    """Any table with a query, a title and a grade."""

    name: str = "query_relevance"
    task: str = SEARCH_MATCH
    example: Path = Path(__file__).parent.parent / "examples" / "relevance.csv"

    def accepts(self, path: Path) -> bool:
        """Whether there are columns for all three."""
        return {"query", "title", "grade"} <= own_names(header(path), _COLUMNS).keys()

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample a row.

        Raises:
            DataError: no table, or a column is missing.
        """
        for row in rows_with(path, {}):
            if isinstance(row, BadRow):
                yield row
                continue
            names = own_names(row.values, _COLUMNS)
            if lost := [name for name in ("query", "title", "grade") if name not in names]:
                raise DataError(
                    f"there is no column {lost[0]}; the columns are {', '.join(list(row.values)[:20]) or 'none'}",
                    where=f"{path}:{row.provenance.line}",
                    remedy=f"name one of the columns {' or '.join(_COLUMNS[lost[0]].split()[:4])}",
                )
            cells = {name: plain_text(text(row.values.get(column))) for name, column in names.items()}
            yield _sample(cells, names, row)


def _sample(cells: dict[str, str], names: dict[str, str], row: Any) -> Sample | BadRow:
    grade = _GRADE_OF.get(cells["grade"].casefold().removesuffix(".0"))
    empty = next((name for name in ("query", "title") if not cells[name]), None)
    if empty or grade is None:
        field = empty or "grade"
        reason = f"there is no {field}" if not cells[field] else f"{cells[field]!r} is not a grade"
        remedy = "leave the row out" if empty else "write exact, substitute, complement or irrelevant (E, S, C, I)"
        return BadRow(provenance=row.provenance, field=names[field], reason=reason, remedy=remedy)
    input: dict[str, Any] = {"query": cells["query"], "title": cells["title"]}
    if cells.get("text"):
        input["text"] = cells["text"][:LONGEST]
    if language_by_script(cells["query"], ("zh",)):
        input["language"] = "zh"
    return Sample(task=SEARCH_MATCH, input=input, output={"grade": grade}, provenance=row.provenance)
