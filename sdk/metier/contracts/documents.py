"""Reading a document that Metier wrote: one clear error where it is missing, damaged, or of another schema version.

It takes the type and the path, and knows nothing of what the document means.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from metier.contracts.errors import DataError, MetierError
from metier.contracts.schema import SCHEMA_VERSION

_Document = TypeVar("_Document", bound=BaseModel)


def read_document(
    of: type[_Document], path: Path, *, remedy: str, error: type[MetierError] = DataError, name: str = "the file"
) -> _Document:
    """The document in a JSON file.

    Args:
        of: its type.
        path: its file.
        remedy: what to do about a document that is not valid or of another version, such as `adapt again`.
        error: type of the error that is raised.
        name: what the document is, in an error message.

    Raises:
        MetierError: of the type `error`; the file cannot be read, was written by another schema version, or does not
            parse.
    """
    try:
        return of.model_validate_json(path.read_bytes())
    except OSError as failure:
        raise error(f"{name} cannot be read: {failure.strerror}", where=str(path), remedy=remedy) from failure
    except ValidationError as failure:
        what = other_version(failure, name) or f"{name} is not valid: {first_problem(failure)}"
        raise error(what, where=str(path), remedy=remedy) from failure


def other_version(error: ValidationError, name: str) -> str | None:
    """What to say of a document of another schema version; None where its version is not what is wrong."""
    for problem in error.errors():
        if problem["loc"] and problem["loc"][-1] == "schema_version":
            return f"{name} was written by schema version {problem['input']}; this Metier reads {SCHEMA_VERSION}"
    return None


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with a document: dotted key and reason."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]
