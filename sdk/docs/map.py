"""The map of the house: every room with its floor, every module with a phrase, written from the code at each build.

A phrase is the first sentence of a module's docstring, or its first clause where the sentence is long.

    python sdk/docs/map.py        # print the page
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk/metier"
LONGEST = 110
"""Characters of a phrase: one line of the page."""

_INTRODUCTION = f"""# Map of the house

Every room of `sdk/metier` by floor, and every module with a phrase. A room imports only from lower floors. The page is
generated from the docstrings: a new file needs no entry here, but a first sentence or clause of at most {LONGEST}
characters.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """mkdocs calls this for pages beside those in the folder."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "map.md", content=page()))
    return files


def page() -> str:
    """The page in Markdown."""
    sections = [_INTRODUCTION, _table_of_floors()]
    for number, rooms in floors():
        for room in rooms:
            sections.append(_section(f"## {room}", SDK / room, f"Floor {number}. "))
    sections.append(_section("## The package itself", SDK, "", nested=False))
    sections += [_section(f"## Plugin {path.name}", path, "") for path in plugins()]
    sections.append(_section("## Documentation", ROOT / "sdk/docs", ""))
    sections.append(_section("## Examples", ROOT / "examples", ""))
    return "\n\n".join(sections) + "\n"


def floors() -> list[tuple[int, tuple[str, ...]]]:
    """(floor, rooms on it), highest first, from the import-linter contract; modules that are no folders left out."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    found = []
    for number, layer in enumerate(reversed(layers)):
        names = [name.strip(" ()").removeprefix("metier.") for name in layer.split("|")]
        if rooms := tuple(name for name in names if (SDK / name).is_dir()):
            found.append((number, rooms))
    return found[::-1]


def plugins() -> list[Path]:
    """Folders of the plugins in this checkout."""
    return sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))


def modules(folder: Path, *, nested: bool = True) -> list[Path]:
    """Python files of a folder, sorted, without tests, the template's files and what tools leave behind."""
    found = sorted(folder.rglob("*.py") if nested else folder.glob("*.py"))
    skipped = {"tests", "template", "build", "__pycache__"}
    return [
        path
        for path in found
        if not any(part in skipped or part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])
    ]


def phrase(path: Path) -> str:
    """A module's phrase: its docstring's first sentence, or first clause; empty where it has no docstring."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split())
    sentence = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0].rstrip(".")
    while len(sentence) > LONGEST and (cut := max(sentence.rfind(mark) for mark in (": ", "; ", ", ", " ("))) > 0:
        sentence = sentence[:cut]
    return sentence


def _table_of_floors() -> str:
    rows = [f"| {number} | {', '.join(f'[{room}](#{room})' for room in rooms)} |" for number, rooms in floors()]
    return "\n".join(["| floor | rooms |", "|---|---|", *rows])


def _section(title: str, folder: Path, before: str, *, nested: bool = True) -> str:
    found = modules(folder, nested=nested)
    package = folder / "__init__.py"
    about = f"{before}{phrase(package)}." if package in found else before
    return "\n\n".join(part for part in (title, about.strip(), "\n".join(_lines(folder, found))) if part)


def _lines(folder: Path, found: list[Path]) -> Iterator[str]:
    for path in found:
        if path != folder / "__init__.py":
            yield f"- `{path.relative_to(folder).as_posix()}`: {phrase(path)}"


if __name__ == "__main__":
    print(page(), end="")
