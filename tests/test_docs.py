"""The docs: the guide's commands run as written, its code is what `metier new` makes, the READMEs' table is what the
cards say, and every answer shown was given to a packaged held-out input by the weights that ship.
"""

import json
import re
import shlex
import sys
import sysconfig
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.core import TyperGroup
from typer.exceptions import TyperException

from metier.cli.app import app
from metier.contracts import problems
from metier.data.training import packaged

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "sdk/docs"
sys.path[:0] = [str(Path(__file__).parent), str(DOCS)]
import gains  # noqa: E402
from shipped import ANSWERS, shipped, trades  # noqa: E402

from readme_blocks import blocks, code, run, small  # noqa: E402

GUIDE = DOCS / "pages/guide.md"


@pytest.mark.xdist_group("readme")
def test_the_guide_runs_as_written_from_an_empty_folder_to_an_answer(tmp_path: Path, tiny_base: Path) -> None:
    # pip puts it beside the environment, not into it: other tests run in that environment at the same time. There an
    # editable install's .pth file is not read, hence the second folder.
    site = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "prefix")})
    settings = small(tiny_base) | {"METIER_SET": "epochs=1", "PIP_PREFIX": str(tmp_path / "prefix")}
    settings |= {"PYTHONPATH": f"{site}:{tmp_path / 'press'}", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    printed = []
    for block in blocks(GUIDE):
        assert block.name is not None
        if block.kind == "test":
            printed.append(run(block, tmp_path, **settings))
        elif block.kind == "shows":
            assert (tmp_path / block.name).read_text("utf-8") == block.text, "the template has changed"
        else:
            assert (tmp_path / block.name).is_file(), "the guide changes what `metier new` made"
            (tmp_path / block.name).write_text(block.text, "utf-8")
    assert re.search(r"^press +0.1.0 +ok +verticals: press", printed[0], re.M)
    assert [bool(re.search(r"\d+ passed", output)) for output in printed[:2]] == [True, True]
    assert "press.title" in printed[2] and "no_stop" in (tmp_path / "runs/press/report.json").read_text("utf-8")
    assert printed[-1].strip(), "the bundle answers"


def commands(page: Path) -> list[str]:
    """Every command of a page, in a block or between backticks."""
    text = page.read_text("utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    scripts = "".join(block.text for block in blocks(page) if block.language == "sh").replace("\\\n", " ")
    return [*re.findall(r"^metier .+$", scripts, re.M), *re.findall(r"`(metier [^`]+)`", prose)]


def wrong_with(line: str) -> str | None:
    """The usage error of a command line, found without running it; the bare name of a command is no call of it.
    Arguments in brackets are optional."""
    command, words = typer.main.get_command(app), shlex.split(re.sub(r"[\[\]]", "", line), comments=True)[1:]
    while isinstance(command, TyperGroup):
        if not words:
            return None
        if (inner := command.get_command(None, words[0])) is None:
            return f"there is no command {words[0]}"
        command, words = inner, words[1:]
    try:
        if words:
            command.make_context(command.name, words)
    except TyperException as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("page", sorted((DOCS / "pages").rglob("*.md")), ids=lambda page: page.stem)
def test_every_command_of_a_page_has_what_it_needs(page: Path) -> None:
    assert {line: wrong for line in commands(page) if (wrong := wrong_with(line))} == {}


def test_both_languages_of_the_guide_have_the_same_commands_and_files() -> None:
    assert code(DOCS / "pages/guide.zh.md") == code(GUIDE)


@pytest.mark.parametrize("language", gains.READMES)
def test_the_readmes_tables_are_what_cards_and_recorded_answers_hold(language: str) -> None:
    path = gains.READMES[language]
    for (begin, end), text in gains.sections(language).items():
        assert gains.between(path, begin, end) == text, "run: make format"


def test_every_trade_has_a_page_with_all_its_tasks() -> None:
    nav = str(yaml.safe_load((DOCS / "mkdocs.yml").read_text("utf-8"))["nav"])
    for vertical in trades():
        assert f"trades/{vertical.name}.md" in nav
        assert (DOCS / "pages/trades" / f"{vertical.name}.md").read_text("utf-8").count("<!-- tasks -->") == 1
        assert all(f"| `{task.name}` |" in gains.table("en") for task in vertical.tasks)


def test_a_trade_page_shows_an_answer_only_beside_the_weights_that_gave_it() -> None:
    from trade_pages import tasks_of

    adcopy = next(vertical for vertical in trades() if vertical.name == "adcopy")
    page, (fine_tune, *_) = tasks_of(adcopy), adcopy.fine_tunes
    assert f"The fine-tune `{fine_tune.card.name}` answers" in page
    other = fine_tune.model_copy(update={"card": fine_tune.card.model_copy(update={"weights_sha256": "other"})})
    page = tasks_of(adcopy.model_copy(update={"fine_tunes": (other,)}))
    assert "answers (" not in page and "not recorded yet" in page


@pytest.mark.parametrize("path", sorted(ANSWERS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_answers_are_to_packaged_held_out_inputs_and_satisfy_their_contract(path: Path) -> None:
    recorded = json.loads(path.read_text("utf-8"))
    found = {task.name: (vertical, task) for vertical in trades() for task in vertical.tasks}
    for row in recorded["answers"] if isinstance(recorded, dict) else []:
        vertical, task = found[row["task"]]
        fine_tune = shipped(vertical, task)
        if fine_tune is None or fine_tune.card.weights_sha256 != row["weights_sha256"]:
            continue  # not shown any more
        assert row["input"] in [sample.input for sample in packaged(vertical, task, "held_out")]
        assert "problem" in row or not problems(task.for_input(row["input"]).output, row["output"])
        assert set(row.get("checks", {})) <= {check.name for check in vertical.checks}


def test_the_tables_of_transfer_show_every_measured_preset() -> None:
    import transfer_tables

    found = json.loads(transfer_tables.RESULTS.read_text("utf-8"))
    page = (DOCS / "pages/transfer.md").read_text("utf-8")
    shown = transfer_tables.on_page_markdown(page, None, None, None)
    assert {row["task"] for row in found["runs"]} <= {
        task for tasks in transfer_tables.TABLES.values() for task in tasks
    }
    assert "<!-- transfer" not in shown
    for base, preset in {(row["base"], row["preset"]) for row in found["runs"]}:
        kind, method, *layers = preset.split("/")
        assert f"| `{base}` | {kind} | {method} | {layers[0] if layers else 'all'} |" in shown
