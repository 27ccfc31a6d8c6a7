"""Names and texts use the words of the field: a list of private words stays out of identifiers, and a shorter list
out of messages and documentation. `python tests/test_words.py PATH …` checks some folders only.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("sdk", "plugins", "tests", "examples")
NAMES = frozenset({"said", "told", "asked", "worn", "wear", "doff", "mend", "mended", "kin", "heard"})
"""Not part of any identifier, split at underscores and at capitals."""
TEXTS = re.compile(r"\b(worn|doffed|mend|mended|kin)\b", re.IGNORECASE)
"""Not in a docstring, a message or a page."""
DATA = re.compile(r"(^|/)(samples|examples|fine_tunes|recipes|answers|results|corpora|data_files)/|/tests/|^tests/")
"""Files whose texts may be data: packaged samples, recorded answers, and what tests give a check to read. Their
docstrings are checked all the same."""
OWN = "tests/test_words.py"

Place = tuple[str, int, str]
"""File from the root, line, word."""


def parts(name: str) -> set[str]:
    """The words of an identifier: `whatTheyAsked_for` → what, they, asked, for."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)}


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of every name that a module defines or uses."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.keyword(arg=str(name)):
                yield line, name
            case ast.alias(name=name, asname=other):
                yield from ((line, part) for part in (name, other) if part)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield line, name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from ((line, name) for name in names)


def docstrings(tree: ast.AST) -> set[int]:
    """The `id` of every node that is documentation: a string that stands as a statement."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def strings(tree: ast.AST, *, documentation: bool) -> Iterator[tuple[int, str]]:
    """(line, text) of every string, or of documentation only."""
    documented = docstrings(tree)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (not documentation or id(node) in documented)
        ):
            yield from enumerate_lines(node.lineno, node.value)


def enumerate_lines(first: int, text: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(text.split("\n"), start=first)


def in_code(path: Path) -> Iterator[Place]:
    """Private words of a Python file."""
    place, source = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    tree = ast.parse(source)
    for line, name in identifiers(tree):
        yield from ((place, line, word) for word in sorted(parts(name) & NAMES))
    for line, text in strings(tree, documentation=bool(DATA.search(place))):
        yield from ((place, line, found[0]) for found in TEXTS.finditer(text))
    for line, text in enumerate(source.split("\n"), start=1):
        if found := re.search(r"(?:^|\s)# .*", text):
            yield from ((place, line, word[0]) for word in TEXTS.finditer(found[0]))


def in_page(path: Path) -> Iterator[Place]:
    """Private words of a README or a page of the docs."""
    place = path.relative_to(ROOT).as_posix()
    for line, text in enumerate_lines(1, path.read_text("utf-8")):
        yield from ((place, line, found[0]) for found in TEXTS.finditer(text))


def files(folders: tuple[str, ...], suffix: str) -> list[Path]:
    """Files of the project, without what tools leave behind."""
    by_tools = re.compile(r"(^|/)(\.|__pycache__/|node_modules/|[^/]+\.egg-info/)")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob(f"*{suffix}"))]
    found += [path for folder in folders if (path := ROOT / folder).is_file() and path.suffix == suffix]
    return [path for path in found if not by_tools.search(path.relative_to(ROOT).as_posix())]


def pages(folders: tuple[str, ...]) -> list[Path]:
    """READMEs and pages of the docs; the changelog tells history in the words of its day."""
    own = [path for path in sorted(ROOT.glob("*.md")) if path.name != "CHANGELOG.md"]
    return own + [path for path in files(folders, ".md") if not DATA.search(path.relative_to(ROOT).as_posix())]


def listed(found: list[Place]) -> str:
    return "\n".join(f"{place}:{line}: {word}" for place, line, word in found)


def test_an_identifier_is_split_into_its_words() -> None:
    assert parts("whatTheyAsked_for") == {"what", "they", "asked", "for"}
    assert parts("HTTPServer2_kin") == {"http", "server", "2", "kin"}
    assert parts("wearable") == {"wearable"} and not parts("wearable") & NAMES


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("said = 1", ["said"]),
        ("def f(x_told): ...", ["told"]),
        ("class Kin: ...", ["kin"]),
        ("f(asked=1)", ["asked"]),
        ("x.wear()", ["wear"]),
        ("import a as heard", ["heard"]),
        ("try: ...\nexcept E as mended: ...", ["mended"]),
        ("wearable = skin = saidly", []),
    ],
)
def test_every_kind_of_identifier_is_read(source: str, words: list[str]) -> None:
    found = [word for _, name in identifiers(ast.parse(source)) for word in parts(name) & NAMES]
    assert found == words


def test_no_identifier_comment_or_string_uses_a_private_word() -> None:
    found = [place for path in files(FOLDERS, ".py") if not path.match(OWN) for place in in_code(path)]
    assert not found, f"use the field's word:\n{listed(found)}"


def test_no_page_uses_a_private_word() -> None:
    found = [place for path in pages(FOLDERS) for place in in_page(path)]
    assert not found, f"use the field's word:\n{listed(found)}"


if __name__ == "__main__":
    chosen = tuple(Path(name).resolve().relative_to(ROOT).as_posix() for name in sys.argv[1:]) or FOLDERS
    code = [place for path in files(chosen, ".py") if not path.match(OWN) for place in in_code(path)]
    prose = [
        place
        for path in pages(chosen)
        if path.relative_to(ROOT).as_posix().startswith(chosen)
        for place in in_page(path)
    ]
    print(listed([*code, *prose]))
