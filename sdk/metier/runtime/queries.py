"""From the arguments of an engine's calls to queries, and from outcomes to what these calls return."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from metier.contracts import ANONYMOUS, Answer, MetierError, UsageError, Value
from metier.runtime.predictor import PredictOptions
from metier.runtime.retries import Query

OnError: TypeAlias = Literal["raise", "yield"]


def query_of(task: str, input: Value, given: dict[str, Any]) -> Query:
    """The query of one input; what is no option of an answer is a field of `Sampling`."""
    options = dict(given)
    own = {
        "checks": tuple(options.pop("checks", ())),
        "retries": options.pop("retries", 0),
        "candidates": options.pop("candidates", 1),
        "caller": options.pop("caller", ANONYMOUS),
        "record": options.pop("record", True),
    }
    predict = PredictOptions(
        language=options.pop("language", None),
        shots=tuple(options.pop("shots", ())),
        adapter=options.pop("adapter", None),
        deadline=options.pop("deadline", None),
        sampling=options,
    )
    return Query(task, input, predict, **own)


def queries_of(task: str, inputs: Iterable[Value], given: dict[str, Any]) -> Iterator[Query]:
    """The queries of many inputs, lazily; `language` and `adapter` may be one value per input.

    Raises:
        UsageError: there are fewer languages or adapters than inputs.
    """
    options = dict(given)
    per_row = {
        name: iter(options.pop(name))
        for name in ("language", "adapter")
        if name in options and not isinstance(options[name], str | None)
    }
    query = query_of(task, {}, options)
    for number, input in enumerate(inputs, 1):
        own: dict[str, Any] = {}
        for name, values in per_row.items():
            try:
                own[name] = next(values)
            except StopIteration:
                raise UsageError(
                    f"there are more inputs than values of {name}",
                    where=f"row {number}",
                    remedy=f"give one {name} per input, or one for all",
                ) from None
        yield replace(query, input=input, options=replace(query.options, **own) if own else query.options)


def with_row(error: MetierError, row: int) -> MetierError:
    """The error with the number of its row, from 1."""
    where = f"row {row}, {error.where}" if error.where else f"row {row}"
    named = type(error)(error.what, where=where, remedy=error.remedy)
    named.__cause__ = error
    return named


def outcomes(answers: Generator[Answer | MetierError, None, None], on_error: OnError) -> Iterator[Answer | MetierError]:
    """Answers, with an error raised or in place of its answer; it names its row.

    Raises:
        MetierError: an answer failed, with `on_error="raise"`.
    """
    with closing(answers):  # a raised error cancels the rows behind it at once
        for row, outcome in enumerate(answers, 1):
            if isinstance(outcome, MetierError):
                outcome = with_row(outcome, row)
                if on_error == "raise":
                    raise outcome
            yield outcome
