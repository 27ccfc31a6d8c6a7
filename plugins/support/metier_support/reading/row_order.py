"""The order of a log's rows: as they stand, or by their times where the file does not keep a conversation's order.

Exports list the newest message first, or mix both; to answer ahead of the question would be wrong in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from metier.contracts import BadRow, Provenance
from metier_support.reading.cells import column, text
from metier_support.reading.scratch import scratch_database

if TYPE_CHECKING:
    from metier.readers.tables import Row

TIME = (
    "sent_at", "timestamp", "time", "created_at", "created", "datetime", "date_time", "date", "sent", "ts",
    "message_time",
    "发送时间", "时间", "消息时间", "创建时间", "日期",
)  # fmt: skip
MOST_REMEMBERED = 100_000
"""Conversations whose last time is known; then they are forgotten, so that memory stays bounded."""
LOOKED_AT = 5_000
"""Rows that decide whether a file keeps its order."""


def time_of(value: Any) -> float | None:
    """Seconds of a time cell, for comparing; None where it is none that can be read for certain.

    ISO 8601 (`/` for `-` too), seconds or milliseconds since 1970, and a time of day alone.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, datetime):
        return value.timestamp()
    cell = text(value)
    if re.fullmatch(r"\d{9,13}(\.\d+)?", cell):
        return float(cell)
    if found := re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", cell):
        return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
    cell = re.sub(r"^(\d{4})[/.年](\d{1,2})[/.月](\d{1,2})日?", _dashed, cell)
    try:
        return datetime.fromisoformat(cell.replace(" UTC", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def _dashed(found: re.Match[str]) -> str:
    return f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"


def in_order(
    rows: Iterable[tuple[Row, dict[str, str]] | BadRow], id_of: Callable[[Row, dict[str, str]], str]
) -> Iterator[tuple[Row, dict[str, str]] | BadRow]:
    """Rows in an order in which each conversation goes from its first message to its last.

    A file whose first rows keep that order is passed through; a later row that is older than its conversation's last
    one is then a bad row. Another file is sorted by conversation and time, on disk.

    Args:
        rows: of a log, with the names of their columns.
        id_of: the conversation of a row.
    """
    source = iter(rows)
    first = list(islice(source, LOOKED_AT))
    last: dict[str, float] = {}
    if any(_is_older(item, id_of, last) for item in first):
        yield from _sorted(first, source, id_of)
        return
    last.clear()
    for item in chain(first, source):
        if _is_older(item, id_of, last):
            row = item[0]  # type: ignore[index]
            yield BadRow(
                provenance=row.provenance,
                field=column(row, TIME) or "time",
                reason="it is older than the message of the same conversation above it",
                remedy="sort the file by time within each conversation",
            )
            continue
        yield item


def _is_older(item: Any, id_of: Callable[[Row, dict[str, str]], str], last: dict[str, float]) -> bool:
    """Whether a row is older than its conversation's last one; its time becomes the last."""
    if isinstance(item, BadRow):
        return False
    row, named = item
    time = _time(row)
    if time is None:
        return False
    id = id_of(row, named)
    before = last.get(id)
    if before is not None and time < before:
        return True
    if len(last) > MOST_REMEMBERED:
        last.clear()
    last[id] = time
    return False


def _sorted(
    first: list[Any], source: Iterator[Any], id_of: Callable[[Row, dict[str, str]], str]
) -> Iterator[tuple[Row, dict[str, str]] | BadRow]:
    """All rows by conversation and time; of equal times, the lower one first where the file is newest first."""
    from metier.readers.tables import Row

    with scratch_database("create table log (talk integer, time real, place integer, body text)") as disk:
        disk.execute("begin")
        talks: dict[str, int] = {}
        falling, rising, before, place = 0, 0, None, 0
        for item in chain(first, source):
            if isinstance(item, BadRow):
                yield item
                continue
            row, named = item
            time = _time(row)
            place += 1
            if time is not None:
                if before is not None:
                    falling, rising = falling + (time < before), rising + (time > before)
                before = time
            body = json.dumps([row.values, row.provenance.model_dump(mode="json"), named], default=str)
            talk = talks.setdefault(id_of(row, named), len(talks))
            disk.execute("insert into log values (?, ?, ?, ?)", (talk, time, place, body))
        disk.execute("commit")
        direction = -1 if falling > rising else 1
        query = "select body from log order by talk, time is null, time, place * ?"
        for (body,) in disk.execute(query, (direction,)):
            values, provenance, named = json.loads(body)
            yield Row(values, Provenance.model_validate(provenance)), named


def _time(row: Row) -> float | None:
    """The row's time, where it has one that can be read for certain."""
    name = column(row, TIME)
    return time_of(row.values[name]) if name else None
