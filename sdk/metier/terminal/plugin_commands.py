"""A plugin's command as part of the tree: its name and help line are known at once, its code loads when it runs."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from metier.plugins.command import Command


class Mounted(TyperCommand):
    """Represents a plugin's command until it is called; then it passes on every argument, including `--help`."""

    def __init__(self, command: Command) -> None:
        super().__init__(
            name=command.name,
            help=command.help,
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
            rich_help_panel="Commands of plugins",
        )
        self.command = command

    def invoke(self, ctx: Any) -> Any:
        loaded = self.command.load()
        if isinstance(loaded, typer.Typer):
            inner = typer.main.get_command(loaded)
        else:
            single = typer.Typer(add_completion=False)
            single.command(self.command.name)(loaded)
            inner = typer.main.get_command(single)
        arguments = list(ctx.args)
        with inner.make_context(self.command.name, arguments, parent=ctx.parent) as inside:
            return inner.invoke(inside)


def mounted(command: Command) -> Mounted:
    """The command, ready for the tree."""
    return Mounted(command)
