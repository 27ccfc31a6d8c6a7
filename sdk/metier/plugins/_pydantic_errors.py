"""pydantic's validation errors in plain words: which object, the file and line that builds it, which field. Contract
types are looked up by name only, to suggest the right field.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from metier import contracts
from metier.contracts.nearest import did_you_mean

MOST = 3
"""Errors that are listed; fixing these often fixes the rest."""


def describe_validation_error(error: ValidationError) -> str:
    """One line: the object with the author's file and line, and each fault with its field."""
    faults = error.errors(include_url=False)
    descriptions = [_fault(error.title, fault) for fault in faults[:MOST]]
    more = f"; and {len(faults) - MOST} more" if len(faults) > MOST else ""
    return (
        f"{error.title}{_named(faults)} is not valid ({_place(error)}): {'; '.join(dict.fromkeys(descriptions))}{more}"
    )


def _fault(title: str, fault: Mapping[str, Any]) -> str:
    field = ".".join(map(str, fault["loc"]))
    wrong = re.sub(r"^(Value error, |Assertion failed, )", "", fault["msg"]).replace("Input should be", "must be")
    match fault["type"]:
        case "missing":
            return f"the field {field} is missing"
        case "extra_forbidden":
            known = getattr(getattr(contracts, title, None), "model_fields", {}) if len(fault["loc"]) == 1 else {}
            return f"there is no field {field}{did_you_mean(field, known)}"
        case "enum" | "literal_error":
            allowed = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
            return f"{field} {wrong}, not {fault['input']!r}{did_you_mean(str(fault['input']), allowed)}"
        case "string_pattern_mismatch":
            return f"{field} {fault['input']!r} must look like {fault['ctx']['pattern']}"
    return f"{field}: {wrong}" if field else wrong


def _named(faults: list[Any]) -> str:
    """The object's own name, where an error has the object's values; else the file and line identify it."""
    for fault in faults:
        value = fault["input"] if fault["type"] in {"missing", "value_error"} and len(fault["loc"]) <= 1 else None
        if isinstance(value, dict) and isinstance(name := value.get("name"), str):
            return f" {name}"
    return ""


def _place(error: ValidationError) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/pydantic/" not in f.filename.replace("\\", "/")]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "no place known"
