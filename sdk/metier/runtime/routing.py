"""Who answers a task, a LoRA adapter or a head, and a head's answers by way of the engine: inputs made whole, answers
recorded. It knows no graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metier.contracts import Check, UsageError, Value
from metier.runtime.recorder import Asker
from metier.runtime.retries import Answer

if TYPE_CHECKING:
    from metier.runtime.engine import Engine


def trained_for(engine: Engine, task: str) -> str | None:
    """The one adapter or head that was trained for a task; None where there is none.

    Raises:
        UsageError: there are several.
    """
    manifest = engine.bundle.manifest
    found = [
        entry.name for entry in manifest.named if entry.card and task in {known.name for known in entry.card.tasks}
    ]
    if len(found) > 1:
        kinds = "adapters or heads" if manifest.heads else "adapters"
        raise UsageError(
            f"{len(found)} {kinds} were trained for {task}",
            where=str(engine.bundle.path),
            remedy=f"name one: adapter={found[0]!r} or another of {', '.join(found[1:6])}",
        )
    return found[0] if found else None


def head_for(engine: Engine, task: str, adapter: str | None) -> str | None:
    """The head that answers a task; None where the base does, with or without an adapter."""
    engine.bundle.task(task)
    name = adapter or (trained_for(engine, task) if engine.bundle.manifest.heads else None)
    return name if name in engine.heads else None


def chosen(
    engine: Engine,
    head: str,
    task: str,
    inputs: Iterable[Value],
    checks: Sequence[Check],
    asker: Asker,
    options: Mapping[str, Any],
) -> Iterator[Answer]:
    """A head's answers, in order. `Engine.answer_many` says what the arguments are."""
    whole = (engine.whole(task, input) for input in inputs)
    for input, prompt, answer in engine.heads.answers(head, task, whole, checks, options):
        id = engine.notes.write(
            task, input, answer.output, options.get("language"), prompt, head, answer.findings, asker
        )
        yield answer.model_copy(update={"id": id})
