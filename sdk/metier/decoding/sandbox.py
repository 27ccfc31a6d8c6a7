"""Jinja templates of strangers, in a sandbox with bounds: what they may do, how long, and how much they may write.

Jinja's own sandbox keeps a template from code and from changing what it is given; it does not bound loops, recursion
or the size of texts (https://jinja.palletsprojects.com/en/stable/sandbox/).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextvars import ContextVar
from typing import Any

from jinja2 import Template, TemplateRuntimeError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

STEPS = 2_000_000
"""Rounds of loops and calls of one rendering."""
SIZE = 4_000_000
"""Characters, or items, of one value and of the whole text."""
WIDTH = 10_000
"""Largest number that pads, indents, wraps or repeats."""
_CALL = 20
"""Steps of a call: what it takes beside a round of a loop."""
_WIDE = re.compile(r"\d{5}")
_PADDING = frozenset(
    ["center", "expandtabs", "indent", "ljust", "rjust", "wordwrap", "zfill", "round", "batch", "slice"]
)
_REMOVED = ("lipsum",)
_steps: ContextVar[int] = ContextVar("steps", default=0)


class TemplateLimitError(TemplateRuntimeError):
    """A template does more than a prompt needs."""


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """The text of a template of a `BoundedEnvironment`.

    Raises:
        jinja2.TemplateError: it refuses the variables, fails in any way, or does more than the bounds allow.
    """
    token = _steps.set(0)
    parts, size = [], 0
    try:
        for part in template.generate(dict(variables)):
            size += len(part)
            if size > SIZE:
                raise TemplateLimitError(f"the text has more than {SIZE} characters")
            parts.append(part)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise TemplateRuntimeError(f"it fails: {type(error).__name__}: {str(error)[:200]}") from error
    finally:
        _steps.reset(token)
    return "".join(parts)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, whose loops, calls and texts are counted. Render its templates with `render`."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in _REMOVED:
            self.globals.pop(name, None)
        self.filters = {name: _bounded(name, function) for name, function in self.filters.items()}
        self.filters["bounded_items"] = _items
        self.filters["bounded_text"] = _text
        self.globals["range"] = _range

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        return _Counting().visit(parsed)  # type: ignore[no-any-return]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _check_size(_length(left) * _number(right), _length(right) * _number(left))
        elif operator == "+":
            _check_size(_length(left) + _length(right))
        elif operator == "**" and (_number(right) > 64 or _number(left) > 1 << 64):
            raise TemplateLimitError("a power is too large")
        elif operator == "%" and isinstance(left, str) and _WIDE.search(left):
            raise TemplateLimitError("a format is too wide")
        return _checked(super().call_binop(context, operator, left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja
        _count(_CALL)
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, str):
            _check_call(name, owner, args, kwargs)
        return _checked(super().call(__context, __obj, *args, **kwargs))


class _Counting(NodeTransformer):
    """Counts the rounds of loops, and bounds texts that a template joins or keeps."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - as in Jinja
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "bounded_items", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - as in Jinja
        self.generic_visit(node)
        return nodes.Filter(node, "bounded_text", [], [], None, None, lineno=node.lineno)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802 - as in Jinja
        self.generic_visit(node)
        node.filter = nodes.Filter(node.filter, "bounded_text", [], [], None, None, lineno=node.lineno)
        return node


def _count(steps: int) -> None:
    total = _steps.get() + steps
    if total > STEPS:
        raise TemplateLimitError(f"it takes more than {STEPS} steps")
    _steps.set(total)


def _items(value: Any) -> Any:
    """The iterable of a loop, its rounds counted."""
    if isinstance(value, Sized):
        _count(len(value))
        return value
    return _counted(value)


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        _count(1)
        yield value


def _text(value: Any) -> Any:
    return _checked(value)


def _range(*bounds: Any) -> range:
    found = range(*bounds)
    _check_size(len(found))
    return found


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that checks what would make it large, and what it made."""

    @functools.wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        _count(1)
        value = next((arg for arg in args if isinstance(arg, str)), "")
        _check_call(name, value, [arg for arg in args if arg is not value], kwargs)
        return _checked(function(*args, **kwargs))

    return filtered


def _check_call(name: str, owner: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
    given = [*args, *kwargs.values()]
    if name in _PADDING and any(_number(arg) > WIDTH for arg in given):
        raise TemplateLimitError(f"{name} is too wide")
    if name in ("format", "format_map") and _WIDE.search(owner):
        raise TemplateLimitError("a format is too wide")
    if name == "replace" and len(given) > 1:
        _check_size(len(owner) + owner.count(str(given[0])) * len(str(given[1])))
    if name == "join":
        _check_size(sum(len(owner) * len(arg) for arg in given if isinstance(arg, Sized)))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _number(value: Any) -> int:
    return abs(int(value)) if isinstance(value, int) else 0


def _check_size(*sizes: int) -> None:
    if max(sizes, default=0) > SIZE:
        raise TemplateLimitError(f"a value has more than {SIZE} characters or items")


def _checked(value: Any) -> Any:
    _check_size(_length(value))
    return value
