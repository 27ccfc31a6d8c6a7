"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from metier.contracts import FineTune, TaskContract, UsageError
from metier.contracts.alignment import Schedule
from metier.contracts.bundle import Precision
from metier.contracts.nearest import did_you_mean

AnySettings = TypeVar("AnySettings", bound=Schedule)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, and nothing else there.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Task = Annotated[str, typer.Argument(metavar="TASK", help="Full name of a task, such as adcopy.describe.")]
DataFile = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", help="CSV, TSV, JSONL, Parquet, Excel, or a format of the trade's own."),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="HEADER=FIELD,…", help="Which column is which field of the task, such as mr=facts,ref=text."),
]
BaseName = Annotated[
    str | None,
    typer.Option("--base", metavar="BASE", envvar="METIER_BASE", help="Base model: a name, a hub id or a folder."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", envvar="METIER_SET", help="One value of the recipe, as lora.rank=8."),
]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting of the method, as beta=0.2; may be given again."),
]

Bad = Annotated[
    Literal["raise", "skip"],
    typer.Option("--on-bad", help="A row that does not satisfy the task: stop there, or report and skip it."),
]

Watching = Annotated[
    int,
    typer.Option(
        "--watch", min=0, metavar="INPUTS", help="Held-out inputs of a task to answer four times during training."
    ),
]

PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        envvar="METIER_PRECISION",
        help="Of the weights.  [default: int8; int4 from 1 B parameters on or for cuda; fp16 for what heads read]",
    ),
]


def pairs(text: str | None, option: str) -> dict[str, str]:
    """`a=b,c=d` as a mapping.

    Raises:
        UsageError: a part has no `=`.
    """
    found: dict[str, str] = {}
    for part in (text or "").split(","):
        left, equals, right = part.partition("=")
        if part.strip() and not (equals and left.strip() and right.strip()):
            raise UsageError(f"{option}: {part!r} is not NAME=NAME", remedy=f"write {option} header=field,header=field")
        if part.strip():
            found[left.strip()] = right.strip()
    return found


def tasks_of(finetune: FineTune, names: list[str] | None) -> list[TaskContract]:
    """The tasks of a fine-tune that `--task` names; all of them where it names none.

    Raises:
        UsageError: it has no such task.
    """
    known = {task.name: task for task in finetune.card.tasks}
    if lost := [name for name in names or () if name not in known]:
        raise UsageError(
            f"the fine-tune has no task {lost[0]}{did_you_mean(lost[0], known)}", remedy=f"it has: {', '.join(known)}"
        )
    return [known[name] for name in dict.fromkeys(names or known)]


def settings_of(kind: type[AnySettings], given: list[str] | None) -> AnySettings:
    """A method's settings, with `KEY=VALUE` over what it comes with.

    Raises:
        UsageError: a part has no `=`. RecipeError: a key or value is wrong.
    """
    import yaml

    values = {key: value for text in given or [] for key, value in pairs(text, "--set").items()}
    return kind.parse({key: yaml.safe_load(value) for key, value in values.items()})
