"""A vertical's packaged samples, and an input where none is packaged, for the checks to try things on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metier.contracts.sample import Provenance, Sample, Value
from metier.contracts.schema import problems, resolve
from metier.contracts.task import TaskContract
from metier.contracts.vertical import Vertical


def rows(task: TaskContract, path: Path) -> Iterator[tuple[str, Sample | str]]:
    """(place, sample) for each row of a packaged JSONL file, or (place, what is wrong with the row).

    A row may leave out its task.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            place = f"{path.name}:{number}"
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
                given = {"task": task.name, "provenance": Provenance(source=path.name, line=number), **row}
                yield place, Sample.model_validate(given)
            except ValidationError as error:
                first = error.errors()[0]
                yield place, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            except json.JSONDecodeError as error:
                yield place, f"not JSON: {error.msg} at column {error.pos + 1}"
            except (ValueError, TypeError) as error:
                yield place, f"not a JSON object: {error}"


def samples(vertical: Vertical, task: TaskContract, part: str | None = None) -> Iterator[tuple[str, Sample]]:
    """Packaged samples that can be read, of `train`, `held_out`, or both."""
    if packaged := vertical.samples.get(task.name):
        for name in (part,) if part else ("train", "held_out"):
            path: Path = getattr(packaged, name)
            if path.is_file():
                for place, row in rows(task, path):
                    if isinstance(row, Sample):
                        yield place, row


def inputs(vertical: Vertical, task: TaskContract) -> Iterator[tuple[str, Value]]:
    """Inputs that satisfy the contract: the packaged ones, else one made from the schema where that is possible."""
    found = False
    for place, sample in samples(vertical, task):
        if not problems(task.input, sample.input):
            found = True
            yield place, sample.input
    if not found:
        example = _example(task.input, task.input)
        if isinstance(example, dict) and not problems(task.input, example):
            yield "an input made from the schema", example


def _example(root: Mapping[str, Any], raw: Mapping[str, Any]) -> Any:
    node = resolve(root, raw)
    for key in ("const", "default"):
        if key in node:
            return node[key]
    for key in ("examples", "enum"):
        if node.get(key):
            return node[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if node.get(key):
            return _example(root, node[key][0])
    match node.get("type"):
        case "object":
            needed = node.get("required", ())
            return {name: _example(root, node.get("properties", {}).get(name, {})) for name in needed}
        case "array":
            return [_example(root, node.get("items", {}))] * max(1, node.get("minItems", 1))
        case "integer" | "number":
            return node.get("minimum", node.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
        case "null":
            return None
    return "some text".ljust(node.get("minLength", 0), ".")[: node.get("maxLength")]
