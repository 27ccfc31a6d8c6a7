"""Which of a user's columns holds which field of a contract: by name, by synonym, or by the user's mapping."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from metier.contracts.errors import DataError, UsageError
from metier.contracts.nearest import did_you_mean
from metier.contracts.schema import JsonSchema, resolve
from metier.contracts.task import TaskContract


class Target(NamedTuple):
    """A field of a contract."""

    side: str
    """`input` or `output`."""
    field: str
    schema: Mapping[str, Any]
    """The field's own schema, `$ref` resolved."""
    required: bool


def targets(task: TaskContract) -> list[Target]:
    """Every field of a task's input and output, in order."""
    return [*_fields("input", task.input), *_fields("output", task.output)]


def map_columns(
    task: TaskContract,
    header: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    synonyms: Mapping[str, Iterable[str]] | None = None,
    where: str | None = None,
) -> dict[str, Target]:
    """Column → field. The user's mapping comes first, then equal names, then synonyms; other columns stay unused.

    Args:
        task: the contract.
        header: the file's column names. Case, spaces, underscores and hyphens do not count.
        columns: the user's mapping, column → field, or `input.field` or `output.field` where both sides have it.
        synonyms: field, or `input.field` or `output.field` → other names that the trade uses for it.
        where: the header's place, for messages.

    Raises:
        UsageError: `columns` names a field that the contract does not have.
        DataError: `columns` names a column that is not there, or a required field has no column.
    """
    known = targets(task)
    found: dict[str, Target] = {}
    by_key = {_key(name): name for name in header}
    for column, field in (columns or {}).items():
        name = column if column in header else by_key.get(_key(column))
        if name is None:
            raise DataError(
                f"there is no column {column}{did_you_mean(column, header)}",
                where=where,
                remedy=f"the columns are: {', '.join(header)}",
            )
        found[name] = target_of(task, known, field)
    for target in known:
        if target in found.values():
            continue
        names = [f"{target.side}.{target.field}", target.field, *_called(synonyms, target)]
        for name in filter(None, (by_key.get(_key(n)) for n in names)):
            if name not in found:
                found[name] = target
                break
    taken = {(t.side, t.field) for t in found.values()}
    if lost := [t for t in known if t.required and (t.side, t.field) not in taken]:
        listed = ", ".join(f"{t.side} {t.field}" for t in lost)
        raise DataError(
            f"no column for {listed}; the columns are {', '.join(header)}",
            where=where,
            remedy=_remedy(lost, [n for n in header if n not in found], synonyms),
        )
    return found


def _remedy(lost: Sequence[Target], free: Sequence[str], synonyms: Mapping[str, Iterable[str]] | None) -> str:
    """What to do about fields without a column, all of them, given the columns that hold nothing yet."""
    wanted = [next(iter(_called(synonyms, target)), target.field) for target in lost]
    it = "it" if len(lost) == 1 else "them"
    if len(free) < len(lost):
        return f"add the column{'s' * (len(lost) > 1)} {', '.join(wanted)}"
    example = ",".join(f"{column}={target.field}" for column, target in zip(free, lost, strict=False))
    return f"name {it} {', '.join(wanted)}, or map {it}: --columns {shlex.quote(example)}"


def _fields(side: str, schema: JsonSchema) -> list[Target]:
    root = resolve(schema, schema)
    required = set(root.get("required", ()))
    return [
        Target(side, name, {**resolve(schema, node), "$root": schema}, name in required)
        for name, node in root.get("properties", {}).items()
    ]


def target_of(task: TaskContract, known: Sequence[Target], field: str) -> Target:
    """The one field of that name.

    Raises:
        UsageError: there is none, or both sides have it.
    """
    fits = [t for t in known if field in {t.field, f"{t.side}.{t.field}"}]
    if not fits:
        names = [t.field for t in known]
        raise UsageError(
            f"{task.name} has no field {field}{did_you_mean(field, names)}", remedy=f"its fields: {', '.join(names)}"
        )
    if len(fits) > 1:
        raise UsageError(
            f"both input and output of {task.name} have a field {field}",
            remedy=f"write input.{field} or output.{field}",
        )
    return fits[0]


def _called(synonyms: Mapping[str, Iterable[str]] | None, target: Target) -> list[str]:
    """What the trade calls a field."""
    given = synonyms or {}
    return [*given.get(target.field, ()), *given.get(f"{target.side}.{target.field}", ())]


def _key(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()
