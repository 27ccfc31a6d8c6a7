"""A presenter's shooting script as a table, one line a row: facts in the first row of a script, then the spoken text,
with stress, gesture and seconds. Headers in English or Chinese, as in live-stream scripts (直播间脚本)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, ContractError, DataError, Provenance, Sample
from metier.contracts.script import language_by_script
from metier_adcopy.checks.spoken_time import spoken_seconds
from metier_adcopy.facts import parse_facts
from metier_adcopy.reading.tables import header, own_names, rows_with, text
from metier_adcopy.tasks import PRESENTER, presenter

_COLUMNS = {
    "facts": "facts brief product_facts 事实 商品信息 卖点",
    "say": "say line spoken words script text 台词 口播 话术",
    "stress": "stress emphasis stressed 重音 重读 强调",
    "gesture": "gesture action move 动作 手势",
    "seconds": "seconds duration time length_s 时长 秒数 秒",
    "presenter": "presenter host 主播 主持人",
    "audience": "audience 受众 目标人群",
    "tone": "tone 语气",
}
_GESTURES = {
    "none": "none no - 无",
    "wave": "wave waves greet 挥手 招手",
    "open_hands": "open_hands open shrug 摊手 张开双手",
    "point": "point points 指 指向 指下方",
    "show": "show shows hold 展示 举起 拿起",
    "count": "count counts 数 数手指",
    "nod": "nod nods 点头",
    "thumbs_up": "thumbs_up thumbs 点赞 竖大拇指",
    "hand_on_heart": "hand_on_heart heart 手放胸口 捂心",
}
_GESTURE_OF = {spelling: name for name, spellings in _GESTURES.items() for spelling in spellings.split()}
_TIME = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}(?:\.\d+)?)\s*(?:s|sec|seconds?|秒)?")


@dataclass
class _Script:
    place: Provenance
    input: dict[str, Any]
    lines: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False


@dataclass(frozen=True)
class ScriptTable:
    """Any table with facts and what is said."""

    name: str = "presenter_script"
    task: str = PRESENTER
    example: Path = Path(__file__).parent.parent / "examples" / "script.csv"

    def accepts(self, path: Path) -> bool:
        """Whether there are columns for facts, words, and a gesture or seconds."""
        have = own_names(header(path), _COLUMNS).keys()
        return {"facts", "say"} <= have and bool(have & {"gesture", "seconds"})

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample a script, at the line where it starts; one script is held at a time.

        Raises:
            DataError: no table, or a column is missing.
        """
        script: _Script | None = None
        for row in rows_with(path, {}):
            if isinstance(row, BadRow):
                if script:
                    script.broken = True
                yield row
                continue
            names = own_names(row.values, _COLUMNS)
            for lost in ("facts", "say"):
                if lost not in names:
                    raise DataError(
                        f"there is no column {lost}; the columns are {', '.join(list(row.values)[:20]) or 'none'}",
                        where=f"{path}:{row.provenance.line}",
                        remedy=f"name one of the columns {' or '.join(_COLUMNS[lost].split()[:4])}",
                    )
            cells = {name: " ".join(text(row.values.get(column)).split()) for name, column in names.items()}
            if cells["facts"] or script is None:
                yield from _finished(script)
                script = _Script(row.provenance, _input(cells))
                if fault := _fact_fault(cells["facts"]):
                    script.broken = True
                    yield _bad(row.provenance, names["facts"], *fault)
            if not script.broken and cells["say"]:
                line = _line(cells, names, row.provenance)
                if isinstance(line, BadRow):
                    script.broken = True
                    yield line
                elif len(script.lines) == 8:
                    script.broken = True
                    yield _bad(row.provenance, names["say"], "a script has at most 8 lines", "split the script")
                else:
                    script.lines.append(line)
        yield from _finished(script)


def _input(cells: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"facts": cells["facts"]}
    found.update({name: cells[name] for name in ("presenter", "audience", "tone") if cells.get(name)})
    if language_by_script(cells["say"], ("zh",)):
        found["language"] = "zh"
    return found


def _fact_fault(facts: str) -> tuple[str, str | None] | None:
    try:
        known = any(fact.known for fact in parse_facts(facts))
    except ContractError as error:
        return error.what, error.remedy
    return None if known else ("every fact is empty", "fill the facts of a script's first row")


def _line(cells: dict[str, str], names: dict[str, str], place: Provenance) -> dict[str, Any] | BadRow:
    gesture = _GESTURE_OF.get(re.sub(r"[\s-]+", "_", cells.get("gesture", "") or "none").casefold())
    if gesture is None:
        reason = f"{cells['gesture']!r} is no gesture of the task"
        return _bad(place, names["gesture"], reason, f"write one of {', '.join(_GESTURES)}")
    shortest, longest = spoken_seconds(cells["say"])
    seconds: float = max(1, round((shortest + longest) / 2))  # what a sheet without times most likely means
    if written := cells.get("seconds", ""):
        time = _TIME.fullmatch(written.casefold())
        seconds = 60 * int(time[1] or 0) + float(time[2]) if time else 0
    line = {
        "say": cells["say"],
        "stress": [s.strip() for s in re.split(r"[,，、;；/|]", cells.get("stress", "")) if s.strip()],
        "gesture": gesture,
        "seconds": round(seconds),
    }
    try:
        presenter.check_output({"lines": [line]})
    except ContractError as error:
        at = re.search(r"lines\.0\.(\w+)", error.what)
        return _bad(place, names.get(at[1] if at else "say", names["say"]), error.what, "correct or split the line")
    return line


def _finished(script: _Script | None) -> Iterator[Sample | BadRow]:
    if script and not script.broken:
        if script.lines:
            yield Sample(task=PRESENTER, input=script.input, output={"lines": script.lines}, provenance=script.place)
        else:
            yield _bad(script.place, "say", "the script has no spoken text", "add lines, or leave it out")


def _bad(place: Provenance, name: str, reason: str, remedy: str | None) -> BadRow:
    return BadRow(provenance=place, field=name, reason=reason, remedy=remedy)
