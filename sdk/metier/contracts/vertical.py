"""A vertical: everything of one trade, as one frozen object that its plugin returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, InstanceOf, model_validator
from pydantic.json_schema import SkipJsonSchema

from metier.contracts.adapter import DataAdapter
from metier.contracts.check import Check
from metier.contracts.errors import UsageError
from metier.contracts.finetune import FineTune
from metier.contracts.nearest import did_you_mean
from metier.contracts.recipe import Recipe
from metier.contracts.schema import SCHEMA_VERSION, Data
from metier.contracts.task import TaskContract


class SampleSet(Data):
    """A task's packaged samples: two JSONL files of `{"input": …, "output": …}` rows, and their data statement."""

    train: Path
    held_out: Path
    statement: Path | None = None
    licence: str


class Vertical(Data):
    """A trade: its tasks, data adapters, recipes, fine-tunes, checks and samples."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    schema_version: Literal["2"] = SCHEMA_VERSION
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str = ""
    description: str = ""
    version: str = "0"
    sdk: str = ">=0.1"
    """PEP 440 specifier of the Metier versions it works with."""
    tasks: tuple[TaskContract, ...] = Field(min_length=1)
    data_adapters: SkipJsonSchema[tuple[InstanceOf[DataAdapter], ...]] = Field(default=(), exclude=True)
    """In order of preference: the first that accepts a file reads it."""
    recipes: dict[str, Recipe] = {}
    """Task name → the recipe that adapts it best; the vertical's own name → the one for several tasks at once."""
    fine_tunes: tuple[FineTune, ...] = ()
    checks: SkipJsonSchema[tuple[Check, ...]] = Field(default=(), exclude=True)
    samples: dict[str, SampleSet] = {}
    """Task name → packaged samples."""

    @model_validator(mode="after")
    def _own_tasks(self) -> Self:
        names = [task.name for task in self.tasks]
        if doubled := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"task named twice: {', '.join(sorted(doubled))}")
        if foreign := [n for n in names if n.split(".")[0] != self.name]:
            raise ValueError(f"tasks of vertical {self.name} must be named {self.name}.*, not {', '.join(foreign)}")
        known = set(names)
        referred: dict[str, Any] = {
            **{f"recipe for {n}": n for n in self.recipes if n != self.name},
            **{f"samples for {n}": n for n in self.samples},
            **{f"data adapter {a.name}": a.task for a in self.data_adapters},
            **{f"check {c.name}": n for c in self.checks for n in c.tasks},
        }
        if lost := [what for what, n in referred.items() if n not in known]:
            raise ValueError(f"no such task in {self.name}: {'; '.join(lost)}")
        return self

    def task(self, name: str) -> TaskContract:
        """The task of that full name.

        Raises:
            UsageError: there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        names = [task.name for task in self.tasks]
        raise UsageError(
            f"{self.name} has no task {name}{did_you_mean(name, names)}", remedy=f"use one of: {', '.join(names)}"
        )

    def tasks_of(self, name: str) -> tuple[TaskContract, ...]:
        """The task of that name; for the vertical's own name all tasks that it packages samples of.

        Raises:
            UsageError: the task does not exist, or the vertical packages no samples.
        """
        if name != self.name:
            return (self.task(name),)
        found = tuple(task for task in self.tasks if task.name in self.samples)
        if not found:
            raise UsageError(f"{name} packages no samples", remedy="name one of its tasks, and give a file of samples")
        return found

    def checks_for(self, task: TaskContract | str) -> tuple[Check, ...]:
        """Checks that apply to a task, in order; empty where the task has none.

        Args:
            task: the contract or its full name.

        Raises:
            UsageError: the vertical has no such task.
        """
        name = self._name_of(task)
        return tuple(check for check in self.checks if name in check.tasks)

    def adapters_for(self, task: TaskContract | str) -> tuple[DataAdapter, ...]:
        """Data adapters that give samples of a task, in order of preference.

        Args:
            task: the contract or its full name.

        Raises:
            UsageError: the vertical has no such task.
        """
        name = self._name_of(task)
        return tuple(adapter for adapter in self.data_adapters if adapter.task == name)

    def _name_of(self, task: TaskContract | str) -> str:
        return self.task(task.name if isinstance(task, TaskContract) else task).name
