"""Adds the tasks to a trade's page: inputs and outputs, a held-out input with the recorded answer of the shipped
fine-tune (answers/, written by record.py), and the figures of its card. It knows no trade by name.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from shipped import ANSWERS, shipped, trades

from metier.contracts import FineTune, TaskContract, Vertical
from metier.contracts.schema import resolve

TASKS, BRIDGES = "<!-- tasks -->", "<!-- bridges -->"
LONGEST = 400
"""Characters of one string of a value: a photo within its JSON would fill the page."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """mkdocs calls this for every page: markers are replaced by their text."""
    markdown = markdown.replace(BRIDGES, bridges())
    if TASKS not in markdown:
        return markdown
    name = PurePosixPath(page.file.src_uri).stem
    found = [vertical for vertical in trades() if vertical.name == name]
    written = tasks_of(found[0]) if found else f"The plugin `metier-{name}` was not installed where this was built."
    return markdown.replace(TASKS, written)


def tasks_of(vertical: Vertical) -> str:
    """All tasks of a trade."""
    path = ANSWERS / f"{vertical.name}.json"
    recorded: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {"answers": []}
    return "\n\n".join(_task(vertical, task, recorded) for task in vertical.tasks)


def bridges() -> str:
    """Photos of packaged samples, and what a bridge read off them."""
    path = ANSWERS / "bridges.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    page = ["## A real photo, and what is read off it"] if rows else []
    for row in rows:
        photo = f'<img src="{row["source"]}" alt="a packaged photo" width="320">'
        page += [f"A held-out input of `{row['task']}`; the field `{row['field']}` is read off it:", photo]
        page.append(f"```text\n{row['read']}\n```")
    return "\n\n".join(page)


def _task(vertical: Vertical, task: TaskContract, recorded: dict[str, Any]) -> str:
    fine_tune = shipped(vertical, task)
    page = [f"## {task.name}", task.description, _fields(task)]
    if fine_tune is None:
        return "\n\n".join(
            [*page, f"No fine-tune ships for this task yet: `metier adapt {task.name} --out RUN` makes one."]
        )
    # An answer of other weights than those that ship is no answer of theirs.
    digest = fine_tune.card.weights_sha256
    rows = [row for row in recorded["answers"] if (row["task"], row["weights_sha256"]) == (task.name, digest)]
    for row in rows:
        page += _answer(row, task, recorded)
    if not rows:
        page.append(f"The answers of `{fine_tune.card.name}` are not recorded yet: `python sdk/docs/record.py`.")
    return "\n\n".join([*page, _figures(task, fine_tune)])


def _fields(task: TaskContract) -> str:
    lines = ["| | field | |", "|---|---|---|"]
    for side, schema in (("in", task.input), ("out", task.output)):
        root = resolve(schema, schema)
        for name, node in root.get("properties", {}).items():
            about = resolve(schema, node).get("description", "").replace("\n", " ").replace("|", "&#124;")
            needed = "" if name in root.get("required", ()) or side == "out" else " *(optional)*"
            lines.append(f"| {side} | `{name}`{needed} | {about} |")
    return "\n".join(lines)


def _answer(row: dict[str, Any], task: TaskContract, recorded: dict[str, Any]) -> list[str]:
    if "output" not in row:
        return [
            f"A held-out input ({row['language']}), which it could not answer: {row['problem']}",
            _code(row["input"]),
        ]
    field = task.text_field
    answer = f"```text\n{row['output'][field]}\n```" if field else _code(row["output"])
    found = [f"`{name}`: {'; '.join(messages)}" for name, messages in row["checks"].items() if messages]
    judged = f"The checks find: {'. '.join(found)}." if found else f"All {len(row['checks'])} checks pass."
    return [
        f"A held-out input ({row['language']}):",
        _code(row["input"]),
        f"The fine-tune `{row['fine_tune']}` answers ({recorded['precision']} bundle on {recorded['base']},"
        f" {recorded['when']}):",
        answer,
        judged if row["checks"] else "",
    ]


def _code(value: Any) -> str:
    return f"```json\n{json.dumps(_short(value), ensure_ascii=False, indent=1)}\n```"


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:40]}… ({len(value)} characters)"
    if isinstance(value, list):
        return [_short(item) for item in value]
    return {key: _short(item) for key, item in value.items()} if isinstance(value, dict) else value


def _figures(task: TaskContract, fine_tune: FineTune) -> str:
    measured: Any = fine_tune.card.metrics.get(task.name)
    if not measured:
        return f"`{fine_tune.card.name}` was not measured on this task."
    systems = {"before": "zero-shot", "before_few_shot": "few-shot", "after": "fine-tuned"}
    shown = [key for key in systems if key in measured]
    lines = [
        f"| {measured['inputs']} held-out inputs | {' | '.join(systems[k] for k in shown)} |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for name in measured["after"]:
        cells = (f"{f['value']:.1f} [{f['low']:.1f}, {f['high']:.1f}]" for f in (measured[k][name] for k in shown))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)
