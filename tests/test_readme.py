"""Every command and snippet of the READMEs is run as written, with the tiny base where the default one would take
minutes; the map of the house has every module, and the file trees in the plugins' READMEs are the tree on disk.
"""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from metier.terminal.error_output import EXIT_CODES

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))

sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "sdk/docs")]
import map as house_map  # noqa: E402

from readme_blocks import Block, blocks, code, run, small, tree, tree_block  # noqa: E402

BLOCKS = blocks(ENGLISH)


def named(name: str) -> list[Block]:
    found = [block for block in BLOCKS if (block.kind, block.name) == ("test", name)]
    assert found, f"no block is marked test: {name}"
    return found


@pytest.fixture
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkout's examples in it, as the README's reader has."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without its history, sharing the installed environment."""
    folder = tmp_path_factory.mktemp("clone") / "metier"
    skip = shutil.ignore_patterns(".git", ".venv", "__pycache__", "runs", "quickstart", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder, ignore=skip, symlinks=True)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_every_block_but_pictures_names_the_test_that_runs_it(path: Path) -> None:
    unmarked = [f"{path.name}:{b.line}" for b in blocks(path) if b.kind is None and b.language != "text"]
    assert unmarked == []
    known = {"tour", "plugin", "install", "quickstart", "trades", "make-test"}
    assert {b.name for b in blocks(path) if b.kind == "test"} == known


def test_both_languages_have_the_same_commands_with_inputs_of_their_own() -> None:
    def without_inputs(path: Path) -> list[tuple[str | None, str | None, str]]:
        literals = re.compile(r"--input-text '[^']*'|\{\"facts\".*?\}(?= for |$)", re.M)
        return [(kind, name, literals.sub("…", text)) for kind, name, text in code(path)]

    assert without_inputs(CHINESE) == without_inputs(ENGLISH)
    assert re.search(r"[\u4e00-\u9fff]", "".join(text for _, _, text in code(CHINESE)))


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_a_readme_is_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 160


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_every_link_to_a_file_of_the_checkout_leads_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.S | re.M)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def on_disk(folder: Path, root: Path) -> list[str]:
    """Files below `folder` relative to `root`, without what tools leave behind."""
    found = [file.relative_to(root) for file in sorted(folder.rglob("*")) if file.is_file()]
    by_tools = re.compile(r"(^|/)(\.|__pycache__/|[^/]+\.egg-info/)")
    return [file.as_posix() for file in found if not by_tools.search(file.as_posix())]


def check_tree(readme: Path, first: str, real: list[str]) -> None:
    documented = tree(readme, first)
    folders = tuple(path for path in documented if path.endswith("/"))
    named = [path for path in documented if not path.endswith("/")]
    assert [path for path in real if path not in named and not path.startswith(folders)] == [], (
        "on disk, not in the README"
    )
    assert [path for path in named if path not in real] == [], "in the README, not on disk"
    assert [path for path in folders if not any(file.startswith(path) for file in real)] == [], (
        "in the README, not on disk"
    )
    assert len(documented) == len(set(documented))
    bare = [line for line in tree_block(readme, first).text.splitlines() if not re.search(r"\S {2,}\S", line)]
    assert bare == [], "without a phrase"


def test_the_map_has_every_room_and_every_module_on_disk_with_a_phrase() -> None:
    page = house_map.page()
    rooms = {path.name for path in (ROOT / "sdk/metier").iterdir() if (path / "__init__.py").is_file()}
    assert {room for _, found in house_map.floors() for room in found} == rooms, "each room has a floor"
    listed = re.findall(r"^- `([^`]+)`: (.*)$", page, re.M)
    for folder in (*sorted(rooms), "docs", *(f"plugins/{plugin.name}" for plugin in PLUGINS)):
        root = ROOT / (folder if "/" in folder else "sdk/docs" if folder == "docs" else f"sdk/metier/{folder}")
        real = [path.relative_to(root).as_posix() for path in house_map.modules(root) if path.name != "__init__.py"]
        assert [path for path in real if path not in {name for name, _ in listed}] == [], folder
    assert [name for name, phrase in listed if not 10 <= len(phrase) <= house_map.LONGEST] == [], (
        "a module's first sentence is its phrase: what it is for, in one line"
    )


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_s_own_readme_names_its_files_and_every_module(plugin: Path) -> None:
    real = on_disk(plugin, plugin)
    check_tree(plugin / "README.md", "README.md ", real)
    folders = tuple(
        path for path in tree(plugin / "README.md", "README.md ") if path.endswith("/") and path != "tests/"
    )
    assert [path for path in real if path.endswith(".py") and path.startswith(folders)] == [], "modules are named"


def test_the_exit_codes_are_those_of_the_command() -> None:
    table = (ROOT / "sdk/docs/pages/machine.md").read_text("utf-8").partition("\n| 0 |")
    documented = {int(code) for code in re.findall(r"\| (\d+) \|", "".join(table[1:]).partition("\n\n")[0])}
    assert documented == {int(code) for code in re.findall(r"(?:^|[ ,])(\d+) ", EXIT_CODES)}


@pytest.mark.slow
@pytest.mark.xdist_group("readme")
@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_the_tour_from_fit_to_embedding_runs_as_written(path: Path, workspace: Path, tiny_base: Path) -> None:
    tour = [block for block in blocks(path) if (block.kind, block.name) == ("test", "tour")]
    printed = [run(block, workspace, **small(tiny_base)) for block in tour]
    rows = [json.loads(line) for line in (workspace / "runs/copy.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 3 and all(set(row) >= {"output", "findings", "attempts"} for row in rows)
    assert (workspace / "runs/adcopy/report.html").stat().st_size > 10_000
    assert len(printed[-1].splitlines()) >= 2
    if path == ENGLISH:  # the page on the Engine uses the bundle of this tour
        parts = [block for block in blocks(ROOT / "sdk/docs/pages/engine.md") if block.kind == "test"]
        program = replace(parts[0], text="\n".join(block.text for block in parts))
        assert "ContractError" in run(program, workspace).splitlines()


def test_the_embedding_is_ten_lines() -> None:
    (embed,) = [b.text for b in named("tour") if b.language == "python"]
    assert sum(bool(line.strip()) for line in embed.splitlines()) <= 10


def test_the_plugin_s_commands_are_those_of_the_guide_whose_test_runs_them() -> None:
    guide = blocks(ROOT / "sdk/docs/pages/guide.md")
    typed = "".join(block.text for block in guide if block.kind == "test").splitlines()
    lines = [line for block in named("plugin") for line in block.text.splitlines()]
    assert lines and [line for line in lines if line not in typed] == []


@pytest.mark.parametrize("block", named("install"), ids=lambda block: f"line {block.line}")
def test_the_install_lines_are_ones_that_pip_takes(block: Block, checkout: Path, tmp_path: Path) -> None:
    # A dry run without dependencies: metadata of both packages is built for real, gigabytes are not fetched.
    dry = 'pip() { command pip "$@" --dry-run --no-deps; }\n'
    clone = tmp_path / "clone"
    shutil.copytree(checkout, clone, ignore=shutil.ignore_patterns(".venv"))
    assert "Would install metier-" in run(replace(block, text=dry + block.text), clone)


# The copy shares this environment: building it again would point everyone's `metier` at the copy.
MAKE = 'make() { command make -o .venv/.installed "$@"; }\n'


def test_make_test_lints_and_finds_every_test(checkout: Path) -> None:
    (block,) = named("make-test")
    shown = run(replace(block, text=MAKE.replace('"$@"', '--dry-run "$@"') + block.text), checkout)
    assert [
        tool for tool in ("ruff format", "ruff check", "mypy", "lint-imports", "mkdocs", "pytest") if tool not in shown
    ] == []
    # What is linted here was linted by the `make test` that runs this.
    found = replace(block, text=MAKE.replace('"$@"', '-o lint -o docs "$@"') + block.text)
    assert re.search(r"\d+ tests collected", run(found, checkout, PYTEST_ADDOPTS="--collect-only -p no:cacheprovider"))


@pytest.mark.xdist_group("quickstart")
def test_make_quickstart_ends_with_copy_table_and_report(checkout: Path, tiny_base: Path) -> None:
    (block,) = (replace(block, text=MAKE + block.text) for block in named("quickstart"))
    settings = small(tiny_base)
    printed = run(block, checkout, **settings)
    assert printed.count("  → ") == 4, "two answers of each language"
    assert "held-out inputs" in printed
    assert "report: quickstart/report.html" in printed
    begun = (checkout / "quickstart/bundle/bundle.json").stat().st_mtime_ns
    assert "report: quickstart/report.html" in run(block, checkout, **settings)
    assert (checkout / "quickstart/bundle/bundle.json").stat().st_mtime_ns == begun, "a second run does nothing twice"
