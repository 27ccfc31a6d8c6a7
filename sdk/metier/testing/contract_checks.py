"""Checks of what a vertical declares: SDK version, schemas, prompts, recipes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import ValidationError

from metier import __version__
from metier.contracts.errors import MetierError
from metier.contracts.modality import Modality, modalities_of
from metier.contracts.recipe import Recipe
from metier.contracts.sample import Value
from metier.contracts.schema import nodes, problems, resolve
from metier.contracts.task import TaskContract
from metier.contracts.vertical import Vertical
from metier.prompting.prompt import messages
from metier.testing import packaged

MOST = 200
"""Packaged inputs that are tried per task."""
_ROLES = {"system", "user", "assistant"}


def sdk_version_fits(vertical: Vertical) -> Iterator[str]:
    """The required SDK versions include this one."""
    try:
        if not SpecifierSet(vertical.sdk).contains(__version__, prereleases=True):
            yield f"sdk={vertical.sdk!r} leaves out this Metier, {__version__}: widen it, or test with one it allows"
    except InvalidSpecifier:
        yield f"sdk={vertical.sdk!r} is not a version specifier: write it as in PEP 440, such as '>=0.1,<1'"


def contracts_serialise(vertical: Vertical) -> Iterator[str]:
    """Schemas are valid JSON Schema, and each contract survives JSON unchanged."""
    for task in vertical.tasks:
        sound = True
        for side in ("input", "output"):
            for fault in _schema_faults(getattr(task, side)):
                sound = False
                yield f"{task.name}: the {side} schema {fault}"
        if not sound:
            continue
        try:
            again = TaskContract.model_validate_json(task.model_dump_json())
        except (ValidationError, ValueError) as error:
            yield f"{task.name} does not come back from JSON ({error}): use plain data in every field"
            continue
        if again != task:
            changed = [name for name in TaskContract.model_fields if getattr(again, name) != getattr(task, name)]
            yield f"{task.name} comes back from JSON with another {', '.join(changed)}: use plain data there"


def _schema_faults(schema: Any) -> Iterator[str]:
    try:
        written = json.loads(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError) as error:
        yield f"cannot be written as JSON ({error}): pass a pydantic model, or a schema of plain JSON data"
        return
    if written != schema:
        yield "changes when it is written as JSON: use lists instead of tuples, and strings as keys"
        return
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "its top"
        yield f"is not valid JSON Schema at {place}: {error.message[:200]}: correct it, or pass a pydantic model"
        return
    try:
        for _ in nodes(schema):
            pass
    except (KeyError, TypeError) as error:
        yield f"refers to a definition that is not in it ({error}): put it under $defs"


def prompts_render(vertical: Vertical) -> Iterator[str]:
    """Every language's prompt renders for every packaged input, and with the optional fields missing."""
    for task in vertical.tasks:
        for language in task.languages:
            for place, value in _tried(vertical, task):
                if fault := _render_fault(task, value, language):
                    yield f"{task.name}, prompt {language!r}, {place}: {fault}"
                    break


def _tried(vertical: Vertical, task: TaskContract) -> Iterator[tuple[str, Value]]:
    root = resolve(task.input, task.input)
    needed = set(root.get("required", ()))
    bare_seen = False
    for place, value in islice(packaged.inputs(vertical, task), MOST):
        bare = {name: item for name, item in value.items() if name in needed}
        if not bare_seen and not problems(task.input, bare):
            bare_seen = True
            yield f"{place} without its optional fields", bare
        yield place, value


def _render_fault(task: TaskContract, value: Value, language: str) -> str | None:
    try:
        rendered = messages(task, value, language=language)
    except MetierError as error:
        return f"{error.what}: correct the template; {error.remedy or ''}".rstrip("; ")
    if not rendered or rendered[-1]["role"] != "user":
        last = f"ends with the {rendered[-1]['role']}'s turn" if rendered else "is empty"
        return f"the prompt {last}: let the last turn be the user's, so that the model answers it"
    if foreign := {m["role"] for m in rendered} - _ROLES:
        return f"the role {', '.join(sorted(foreign))} is none of {', '.join(sorted(_ROLES))}: rename it"
    return None


def prompts_use_required_fields(vertical: Vertical) -> Iterator[str]:
    """Every required field that a prompt can state changes the prompt of every language."""
    for task in vertical.tasks:
        root = resolve(task.input, task.input)
        values = [value for _, value in islice(packaged.inputs(vertical, task), MOST)]
        for name in root.get("required", ()):
            node = root.get("properties", {}).get(name, {})
            within = {**node, "$defs": task.input.get("$defs", {})}
            # `language` chooses the prompt; a photo is for a bridge or the model's own eye.
            if name == "language" or modalities_of(within) != {Modality.TEXT}:
                continue
            for language in task.languages:
                if _ignored(task, language, name, values):
                    yield (
                        f"{task.name}: the prompt {language!r} is the same for every {name}: "
                        f"use {{{{ {name} }}}} in it, or take the field out of the input"
                    )


def _ignored(task: TaskContract, language: str, name: str, values: list[Value]) -> bool:
    """Whether no other value of the field, in no packaged input, changes the prompt. False when none was tried."""
    tried = False
    for value in values[:20]:
        for other in _others(task, name, value, values):
            changed = {**value, name: other}
            if problems(task.input, changed):
                continue
            tried = True
            if messages(task, changed, language=language) != messages(task, value, language=language):
                return False
    return tried


def _others(task: TaskContract, name: str, value: Value, values: list[Value]) -> Iterator[Any]:
    now = value[name]
    root = resolve(task.input, task.input)
    node: Mapping[str, Any] = resolve(task.input, root.get("properties", {}).get(name, {}))
    yield from (other for other in node.get("enum", ()) if other != now)
    if isinstance(now, bool):
        yield not now
    elif isinstance(now, int | float):
        yield from (now + 1, now - 1, now * 2)
    elif isinstance(now, str):
        yield from (now[::-1] + " qzx", "qzx")
    yield from (found[name] for found in values if name in found and found[name] != now)


def recipes_hold(vertical: Vertical) -> Iterator[str]:
    """Every recipe is valid, survives YAML, and leaves room for the task's reply."""
    for name, recipe in vertical.recipes.items():
        try:
            again = Recipe.parse(recipe.model_dump(mode="json"), where=f"recipe for {name}")
        except MetierError as error:
            yield f"{error.where}: {error.what}: correct or remove the key; {error.remedy}"
            continue
        if again != recipe:
            yield f"recipe for {name} changes when it is written and read: build it with Recipe(...) or Recipe.parse"
        if not recipe.lora.targets:
            yield f"recipe for {name} adapts no module: name lora.targets, or leave 'all-linear'"
        names = [t.name for t in vertical.tasks] if name == vertical.name else [name]
        reply = max(vertical.task(task).max_reply_tokens for task in names)
        if recipe.max_length <= reply:
            yield (
                f"recipe for {name} has max_length {recipe.max_length}, but a reply alone may take {reply} tokens: "
                "raise max_length, or lower the task's max_reply_tokens"
            )
