"""Dialogue sheets, one line a row, as narrative designers keep them in CSV or Excel; headers English or Chinese."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.contracts import BadRow, DataError, MetierError, Provenance, Sample
from metier.contracts.script import language_by_script
from metier_npc.reading.samples_from import HISTORY, NARRATOR, emotion_of, line_sample
from metier_npc.tasks import BARK, LINE, NONE

if TYPE_CHECKING:
    from metier.readers.tables import Row

SUFFIXES = frozenset({".csv", ".tsv", ".xlsx", ".xlsm", ".jsonl", ".parquet"})
HEADERS = {
    "speaker": "speaker character actor who npc name charactername speakername 角色 说话人 人物 角色名",
    "line": "line text dialogue dialog linetext dialoguetext englishtext en string content 台词 对白 文本 对话 内容",
    "situation": "situation trigger barktype event barktrigger 触发 情境 情景 事件",
    "persona": "persona bio characterbio 人设 性格",
    "world": "world context setting scenedescription notes 背景 场景说明 备注",
    "emotion": "emotion mood expression tone 情绪 表情",
    "action": "action animation anim gesture 动作 动画",
    "choices": "choices options playerchoices responses 选项",
    "when": "condition conditions when requirement requires 条件",
    "tags": "tags tag 标签",
    "node": "conversation conversationid node scene sceneid dialogueid quest 场景 对话编号 节点 任务",
    "language": "language lang locale 语言",
}
_FIELD_OF = {name: field for field, names in HEADERS.items() for name in names.split()}
_LIST = re.compile(r"\s*[|\n;；]\s*")


def fields_of(columns: Any) -> dict[str, str]:
    """Column → field, by the headers that studios use; the first column of a field counts."""
    found: dict[str, str] = {}
    for column in columns:
        field = _FIELD_OF.get(re.sub(r"[\s_\-]+", "", str(column).casefold()))
        if field and field not in found.values():
            found[column] = field
    return found


def _fields_in(path: Path) -> set[str]:
    from metier.readers.tables import Row, read_rows

    if path.suffix.lower() not in SUFFIXES:
        return set()
    rows = read_rows(path)
    try:
        return next((set(fields_of(row.values).values()) for row in rows if isinstance(row, Row)), set())
    except (MetierError, OSError, ValueError):
        return set()
    finally:
        rows.close()


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[Row, dict[str, str]] | BadRow]:
    """Rows, each with its cells by field."""
    from metier.readers.tables import read_rows

    fields: dict[str, str] | None = None
    for row in read_rows(path):
        if isinstance(row, BadRow):
            yield row
            continue
        if fields is None:
            fields = fields_of(row.values)
            if lost := [name for name in needed if name not in fields.values()]:
                raise DataError(
                    f"there is no column {lost[0]}; the columns are {', '.join(map(str, row.values)) or 'none'}",
                    where=f"{path}:1",
                    remedy=f"name one of the columns {', '.join(HEADERS[lost[0]].split()[:4])}",
                )
        yield row, {field: _text(row.values.get(column)) for column, field in fields.items()}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(map(str, value))
    return " ".join(str(value).replace("\0", "").split()) if not _LIST.search(str(value)) else str(value).strip()


def _listed(cell: str) -> list[str]:
    return [part for part in _LIST.split(cell) if part]


@dataclass(frozen=True)
class DialogueSheet:
    """Rows of speaker and line; the rows before it in the same conversation are a line's history."""

    name: str = "dialogue_sheet"
    task: str = LINE
    example: Path = Path(__file__).parent.parent / "examples" / "dialogue.csv"

    def accepts(self, path: Path) -> bool:
        """Whether it is a table with speaker and line, and no barks. Never raises."""
        found = _fields_in(path)
        return {"speaker", "line"} <= found and "situation" not in found

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample a row.

        Raises:
            DataError: no table, or no column for the speaker or the line.
        """
        history: deque[dict[str, str]] = deque(maxlen=HISTORY)
        seen: list[str] = []
        node = None
        for row in _rows(path, ("speaker", "line")):
            if isinstance(row, BadRow):
                yield row
                continue
            place, cells = row[0].provenance, row[1]
            if cells.get("node") != node:
                node = cells.get("node")
                history.clear()
            action = cells.get("action") or NONE
            if action not in (*seen, NONE):
                seen.append(action)
                del seen[:-6]
            line = " ".join(cells["line"].split())
            speaker = cells["speaker"] or NARRATOR
            yield line_sample(
                {
                    "speaker": speaker,
                    "persona": cells.get("persona"),
                    "world": cells.get("world"),
                    "history": list(history),
                    "when": _listed(cells.get("when", "")),
                    "choices": _listed(cells.get("choices", "")),
                    "tags": _listed(cells.get("tags", "")),
                    "actions": [NONE, *seen] if seen else None,
                },
                {"line": line, "emotion": emotion_of([cells.get("emotion", "")]) or "neutral", "action": action},
                place,
            )
            if line and node:  # without conversations, neighbouring rows need not belong together
                history.append({"who": speaker, "text": line})


@dataclass(frozen=True)
class BarkSheet:
    """Rows of situation and line: one bark a row, as barks are recorded."""

    name: str = "bark_sheet"
    task: str = BARK
    example: Path = Path(__file__).parent.parent / "examples" / "barks.csv"

    def accepts(self, path: Path) -> bool:
        """Whether it is a table with a situation and a line. Never raises."""
        return {"situation", "line"} <= _fields_in(path)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """One sample a row; a cell with several lines, parted by `|`, is one sample with several variants.

        Raises:
            DataError: no table, or no column for the situation or the line.
        """
        for row in _rows(path, ("situation", "line")):
            yield row if isinstance(row, BadRow) else self._sample(row[1], row[0].provenance)

    def _sample(self, cells: Mapping[str, str], place: Provenance) -> Sample | BadRow:
        variants = [" ".join(v.split()) for v in _listed(cells["line"])]
        for field, wrong, reason in (
            ("situation", not cells["situation"], "there is no situation in it"),
            ("line", not variants, "there is no line in it"),
            ("line", len(variants) > 6, "it has more than six variants"),
            ("line", any(len(v) > 160 for v in variants), "a bark has at most 160 characters"),
        ):
            if wrong:
                return BadRow(provenance=place, field=field, reason=reason, remedy="correct the row, or leave it out")
        given = {
            "speaker": cells.get("speaker") or NARRATOR,
            "persona": cells.get("persona"),
            "world": cells.get("world"),
            "situation": cells["situation"],
            "count": len(variants),
            "language": language_by_script(variants[0], ("zh",)),
        }
        return Sample(
            task=BARK,
            input={k: v for k, v in given.items() if v},
            output={"variants": list(variants)},
            provenance=place,
        )
