"""JSON Lines: one JSON object a line (jsonlines.org)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from metier.contracts.sample import BadRow, Provenance
from metier.readers.encoding import TextLines, line_problem
from metier.readers.row import Row, bad, no_table


def read_json_lines(path: Path, *, encoding: str | None = None) -> Iterator[Row | BadRow]:
    """Objects of a JSONL file; blank lines are passed over.

    Raises:
        DataError: the file is empty, or is one JSON document instead of one object a line.
    """
    lines, source, seen = TextLines(path, encoding), str(path), False
    for text in lines:
        stripped = text.strip()
        if not stripped:
            continue
        if not seen and stripped[0] == "[":
            raise no_table(
                path,
                "this is one JSON array, not one JSON object a line",
                line=lines.number,
                remedy=f"convert it, for example with `jq -c '.[]' {path.name}`",
            )
        if not seen and stripped == "{":
            raise no_table(
                path,
                "this is JSON over several lines, not one JSON object a line",
                line=lines.number,
                remedy=f"convert it, for example with `jq -c . {path.name}`",
            )
        seen = True
        problem = line_problem(text, lines.encoding)
        if problem:
            yield bad(path, lines.number, problem)
            continue
        try:
            value = json.loads(stripped, parse_constant=_not_json)
        except json.JSONDecodeError as error:
            yield bad(path, lines.number, f"this is not JSON: {error.msg} at column {error.colno}")
            continue
        except (ValueError, RecursionError) as error:
            yield bad(path, lines.number, f"this is not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield Row(value, Provenance(source=source, line=lines.number))
        else:
            kind = {list: "an array", str: "a string", type(None): "null"}.get(type(value), "a bare value")
            yield bad(path, lines.number, f"this is {kind}, not a JSON object", remedy='write {"field": …} a line')
    if not seen:
        raise no_table(path, "the file is empty", remedy="give a file with one JSON object a line")


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
