"""The reference, written from the code at every build: hooks, contracts, checks, metrics, commands. The meaning of a
name is in its docstring and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from shipped import trades

from metier import contracts


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """mkdocs calls this for the pages that are not files of the folder."""
    for name, write in (("hooks", hooks), ("contracts", names), ("checks", checks), ("commands", commands)):
        files.append(File.generated(config, f"reference/{name}.md", content=write()))
    return files


def hooks() -> str:
    """The five hooks, and what each one's list holds."""
    from metier.plugins import hookspecs
    from metier.plugins._validation import KINDS

    table = [f"| [`{hook}`](#{hookspecs.__name__}.{hook}) | `{kind.__name__}` |" for hook, kind in KINDS.items()]
    held = [f"{kind.__module__}.{kind.__name__}" for kind in KINDS.values()]
    return "\n\n".join(
        [
            f"# Hooks\n\n{inspect.getdoc(hookspecs)}",
            "\n".join(["| hook | returns a list of |", "|---|---|", *table]),
            *(_named(f"{hookspecs.__name__}.{hook}") for hook in KINDS),
            "## What the lists hold",
            *(_named(path) for path in held),
            "## Plugins found",
            *(_named(f"metier.plugins.registry.{name}") for name in ("load_plugins", "PluginRow")),
        ]
    )


def names() -> str:
    """Every public name of `metier.contracts`, by the module it is from."""
    by_module: dict[str, list[str]] = {}
    for name in contracts.__all__:
        module = getattr(getattr(contracts, name), "__module__", "")
        by_module.setdefault(module if module.startswith("metier.") else "", []).append(name)
    page = [f"# Contracts\n\n{inspect.getdoc(contracts)}"]
    for module, found in sorted(by_module.items()):
        if module:
            page.append(f"## {module.rpartition('.')[2].replace('_', ' ').capitalize()}")
            page.append(inspect.getdoc(__import__(module, fromlist=["_"])) or "")
            page += [_named(f"{module}.{name}") for name in found]
    return "\n\n".join(page)


def checks() -> str:
    """The checks of the conformance kit, the checks of each trade, and the metrics of `evaluate`."""
    from metier.metrics.selection import BUILT_IN
    from metier.testing.kit import vertical_checks

    found = trades()
    page = [
        "# Checks and metrics",
        "## What `check_vertical` requires of a plugin",
        "One line of pytest runs them all: `test_conformance = conformance_test(vertical)`.",
        _table(("check", "requires that"), ((f"`{c.name}`", c.about) for c in vertical_checks(found[0]))),
        "## What the trades ask of an answer",
        "Each is a [`Check`](contracts.md#metier.contracts.check.Check): a metric in `metier evaluate`, and what a"
        " product asks before it shows an answer.",
    ]
    for vertical in found:
        rows = (
            (f"`{c.name}`", ", ".join(f"`{t.partition('.')[2]}`" for t in c.tasks), c.description or _first(c.run))
            for c in vertical.checks
        )
        page += [f"### {vertical.title or vertical.name}", _table(("check", "tasks", "finds"), rows)]
    measures = ((f"`{m.name}`", m.title, m.unit) for m in BUILT_IN.values())
    page += ["## Metrics that a contract may name", _table(("name", "is", "unit"), measures)]
    return "\n\n".join(page)


def commands() -> str:
    """The page of the command line: the `--help` of every command."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from metier.cli.app import app

    tree: Any = get_command(app)
    inner = {name: getattr(command, "commands", None) for name, command in tree.commands.items()}
    paths = [[name, sub] for name, subs in inner.items() if subs for sub in subs] + [
        [n] for n, s in inner.items() if not s
    ]
    page = ["# Commands", "Every command also takes `--debug`, which prints the traceback of an error."]
    for path in [[], *sorted(paths)]:
        result = CliRunner().invoke(app, [*path, "--help"], prog_name="metier", env={"COLUMNS": "100"})
        page += [f"## {' '.join(['metier', *path])}", f"```text\n{result.output.strip()}\n```"]
    return "\n\n".join(page)


def _named(path: str) -> str:
    return f"::: {path}"


def _first(run: Any) -> str:
    return (inspect.getdoc(run) or "").partition("\n")[0]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |" for row in lines
    )
