"""The command tree: imports little, and takes commands of plugins."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import metier as package
from metier.cli import app as tree
from metier.plugins import Registry, hookimpl
from metier.plugins.command import CORE_COMMANDS, Command

Runner = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("torch", "transformers", "peft", "onnx", "onnxruntime", "pyarrow", "matplotlib")
COMMANDS = sorted(
    set(typer.main.get_command(tree.app).list_commands(None)) & CORE_COMMANDS  # type: ignore[arg-type]
)


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["adapt", "--help"], ["plugins"]])
def test_opening_the_tree_loads_nothing_heavy(args: list[str]) -> None:
    script = (
        "import sys, contextlib\nfrom metier.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({args!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_every_command_of_the_tree_is_reserved() -> None:
    own = [command.name for command in (*tree.app.registered_commands, *tree.app.registered_groups)]
    assert {"feedback", "prefer", "reward", "reinforce", "iterate"} <= set(own) <= CORE_COMMANDS


@pytest.mark.parametrize("name", ["feedback", "prefer", "reward", "reinforce", "serve"])
def test_a_plugins_command_with_a_reserved_name_is_reported_and_not_shadowed(name: str) -> None:
    class Plugin:
        @hookimpl
        def metier_commands(self) -> list[Command]:
            return [Command(name, lambda: None)]

    row = Registry().add(Plugin(), "clashing", strict=False)
    assert row.status == "broken" and f"command {name} is one of Metier's own" in row.reason


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_is_in_the_list(command: str) -> None:
    runner = CliRunner(env={"COLUMNS": "200"})
    listed, own = runner.invoke(tree.app, ["--help"]), runner.invoke(tree.app, [command, "--help"])
    assert f" {command} " in listed.output
    assert own.exit_code == 0
    assert "Usage: metier " in own.output


@pytest.mark.parametrize(
    "line", ["plugins", "bases list", "bases show", "bases pull", "data report", "fit", "adapt", "new"]
)
def test_every_result_can_be_had_as_json(line: str, metier: Runner) -> None:
    assert "--json" in metier(*line.split(), "--help", COLUMNS="200").stdout


def test_help_is_plain_and_no_command_s_line_is_cut() -> None:
    commands = CliRunner().invoke(tree.app, ["--help"], env={"COLUMNS": "80"}).output.partition("Commands:")[2]
    assert commands and "..." not in commands
    for command in COMMANDS:
        output = CliRunner().invoke(tree.app, [command, "--help"], env={"COLUMNS": "100"}).output
        assert "<bool>" not in output and "Usage: " in output


def test_the_version_is_the_packages_own(metier: Runner) -> None:
    assert metier("--version").stdout == f"metier {package.__version__}\n"


def test_a_mistyped_command_is_a_usage_error_with_the_nearest_name(metier: Runner) -> None:
    done = metier("evalute")
    assert done.returncode == 2
    assert "Did you mean 'evaluate'?" in done.stderr


def test_a_plugins_command_joins_the_tree_and_loads_only_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def greet(name: str, loud: bool = False) -> None:
        print(f"HELLO {name}" if loud else f"hello {name}")

    def load() -> object:
        loads.append(1)
        return greet

    monkeypatch.setattr(tree, "_plugin_commands", lambda: {"greet": Command("greet", load, help="Say hello.")})
    runner = CliRunner()
    assert "Say hello." in runner.invoke(tree.app, ["--help"]).output
    assert loads == []
    assert runner.invoke(tree.app, ["greet", "Ada", "--loud"]).output == "HELLO Ada\n"
    assert "--loud" in runner.invoke(tree.app, ["greet", "--help"]).output
    assert runner.invoke(tree.app, ["greet"]).exit_code == 2


def test_a_data_report_reads_a_format_of_a_trade_without_naming_a_task(metier: Runner) -> None:
    example = Path(__file__).parents[2] / "plugins/npc/metier_npc/examples/inn.yarn"
    done = metier("data", "report", example, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["format"] == "yarn" and found["data_adapter"] and found["good_rows"] > 0
    assert found["task"] == "npc.line"
