"""The command tree: which file implements which command, and how plugins' commands are added."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from metier.cli import (
    adapt,
    bases,
    bundle,
    compare,
    data,
    doctor,
    evaluate,
    explain,
    export,
    feedback,
    fit,
    iterate,
    new,
    plugins,
    prefer,
    quickstart,
    reinforce,
    reward,
    run,
    serve,
)
from metier.terminal.error_output import EXIT_CODES, failures

DEBUG = "--debug"


class Commands(TyperGroup):
    """The core commands and, for other names and for help, the plugins' commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """`--debug` is accepted anywhere before a `--`, so that it can be added to the end of a failed line."""
        end = args.index("--") if "--" in args else len(args)
        if DEBUG in args[:end]:
            args = [DEBUG, *(arg for arg in args[:end] if arg != DEBUG), *args[end:]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with failures(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_plugin_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        core = super().get_command(ctx, cmd_name)
        return core if core is not None or cmd_name.startswith("-") else _mounted(cmd_name)


app = typer.Typer(
    name="metier",
    cls=Commands,
    help="Teach one general model many media trades; ship the result as ONNX.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: no `<bool>` beside a flag, and a "[default: 60]" is no markup
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from metier import __version__

        typer.echo(f"metier {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Print the traceback of an error; also accepted after the command.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del debug, version  # read from the context by Commands.invoke, and by the callback


app.command("plugins")(plugins.plugins)
app.add_typer(bases.app, name="bases")
app.add_typer(data.app, name="data")
app.command("fit")(fit.fit)
app.command("adapt")(adapt.adapt)
app.command("compare")(compare.compare)
app.command("prefer")(prefer.prefer)
app.command("reward")(reward.reward)
app.command("reinforce")(reinforce.reinforce)
app.command("evaluate")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.add_typer(bundle.app, name="bundle")
app.command("run")(run.run)
app.command("serve")(serve.serve)
app.add_typer(feedback.app, name="feedback")
app.add_typer(iterate.app, name="iterate")
app.command("doctor")(doctor.doctor)
app.command("new")(new.new)
app.command("quickstart")(quickstart.quickstart)


def _plugin_commands() -> dict[str, Any]:
    from metier.plugins import load_plugins

    return load_plugins().commands


def _mounted(name: str) -> Any:
    """The command that a plugin brings under this name: its help line without loading it, itself when it runs."""
    from metier.terminal.plugin_commands import mounted

    command = _plugin_commands().get(name)
    return None if command is None else mounted(command)
