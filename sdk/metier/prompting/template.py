"""Jinja templates of a contract over one input's fields: its prompts, and the grammar of its reply. Sandboxed, since a
bundle may come from anywhere."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from metier.contracts import TaskContract, Value
from metier.contracts.schema import resolve


def scope_of(contract: TaskContract, input: Value) -> dict[str, Any]:
    """What a template may name: the input's fields, those that are missing as their default."""
    root = contract.input
    fields = resolve(root, root).get("properties", {})
    return {**{name: node.get("default") for name, node in fields.items()}, **input}


@lru_cache(maxsize=512)
def template(source: str) -> Template:
    """A compiled template. Undefined names are an error, so that a misspelt field is found; nothing renders as nothing.

    The filter `regex` writes a text as a regular expression that matches it alone, for grammars in Lark's form.

    Raises:
        jinja2.TemplateError: the source does not compile.
    """
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, finalize=lambda value: "" if value is None else value, keep_trailing_newline=True
    )
    environment.filters["regex"] = _regex
    return environment.from_string(source)


def _regex(text: str) -> str:
    # Not re.escape: it escapes spaces, too, which the grammar's regular expressions refuse.
    return re.sub(r"[\\.+*?()|\[\]{}^$/\-#&~]", lambda found: "\\" + found[0], " ".join(str(text).split()))
