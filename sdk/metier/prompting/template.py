"""Jinja templates of a contract over one input's fields: its prompts, and the grammar of its reply.

Templates are sandboxed, since a bundle may come from a stranger.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template

from metier.contracts import TaskContract, Value
from metier.contracts.schema import resolve
from metier.decoding.sandbox import BoundedEnvironment


def scope_of(contract: TaskContract, input: Value) -> dict[str, Any]:
    """The names that a template can use: the input's fields, missing ones with their default."""
    root = contract.input
    fields = resolve(root, root).get("properties", {})
    return {**{name: node.get("default") for name, node in fields.items()}, **input}


@lru_cache(maxsize=512)
def template(source: str) -> Template:
    """A compiled template. An undefined name is an error, so that a misspelt field is found; None renders as nothing.

    Filters beside Jinja's own: `regex` writes a text as a regular expression that matches it alone, for grammars in
    Lark's form; `tojson` writes plain JSON, as a chat template's does, where Jinja's own escapes for HTML.

    Raises:
        jinja2.TemplateError: the source does not compile.
    """
    environment = BoundedEnvironment(
        undefined=StrictUndefined, finalize=lambda value: "" if value is None else value, keep_trailing_newline=True
    )
    environment.filters["regex"] = _regex
    environment.filters["tojson"] = _tojson
    return environment.from_string(source)


def _regex(text: str) -> str:
    # Not re.escape: it escapes spaces too, which the grammar's regular expressions refuse.
    return re.sub(r"[\\.+*?()|\[\]{}^$/\-#&~]", lambda found: "\\" + found[0], " ".join(str(text).split()))


def _tojson(value: Any, indent: int | None = None) -> str:
    # Characters are not escaped: the model reads Chinese and apostrophes, not their escapes.
    return json.dumps(value, ensure_ascii=False, indent=indent)
