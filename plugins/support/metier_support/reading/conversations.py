"""Chat logs with a whole conversation a row: a list of messages (JSONL), or lines such as `Customer: …` in a cell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, Sample
from metier_support.reading.cells import column, first_row, rows_with, text
from metier_support.reading.dialogue import Message, label, replies_of, speaker
from metier_support.reading.order_facts import order_of
from metier_support.tasks import REPLY

TALK = (
    "messages", "conversation", "dialogue", "dialog", "transcript", "turns", "chat", "log", "utterances", "对话",
    "聊天记录", "会话内容",
)  # fmt: skip
INTENT = ("intent", "label", "category", "意图")
WHO = ("role", "speaker", "who", "from", "sender", "author", "inbound", "incoming")
CONTENT = ("content", "text", "value", "message", "body_text", "body", "utterance")
_LINE = re.compile(r"(?:^|\n|\s\|\s)\s*(?:\[[^\]\n]{0,30}\]\s*)?(?P<who>[\w \-]{1,24}?)\s*[:：]\s*")


class Conversations:
    """One conversation a row; a sample for each agent message in it."""

    name, task = "conversations", REPLY
    example = Path(__file__).parents[1] / "examples" / "conversations.jsonl"

    def accepts(self, path: Path) -> bool:
        """Whether its first row has a column whose value is a conversation."""
        row = first_row(path)
        return row is not None and (name := column(row, TALK)) is not None and bool(messages(row.values[name]))

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples in order, all of a row at that row; a row without a conversation is a bad row."""
        for item in rows_with(path, {"messages": TALK}):
            if isinstance(item, BadRow):
                yield item
                continue
            row, named = item
            name = named.get("messages", "messages")
            turns = messages(row.values.get(name))
            label_column = column(row, INTENT)
            intent = text(row.values[label_column]) if label_column else None
            yield from replies_of(
                turns, order_of(row.values), row.provenance, intent=intent,
                none=BadRow(
                    provenance=row.provenance,
                    field=name,
                    reason="no agent answers a customer in it" if turns else "this is not a conversation",
                    remedy='write [{"role": "customer", "content": …}, …] or lines such as Customer: …',
                ),
            )  # fmt: skip


def messages(value: Any) -> list[Message]:
    """Messages of a conversation in any of its spellings; empty where it is none.

    A list of objects with a speaker and a text, the same as JSON in a cell, or text with a speaker before each line.
    """
    if isinstance(value, str):
        if value.lstrip()[:1] in {"[", "{"}:
            try:
                return messages(json.loads(value))
            except (ValueError, RecursionError):
                pass
        return _from_lines(value)
    if isinstance(value, dict):
        value = next((value[k] for k in ("messages", "turns", "comments", "conversation_parts") if k in value), None)
    found = []
    for item in value if isinstance(value, list) else ():
        if isinstance(item, list) and len(item) == 2:
            item = {"who": item[0], "text": item[1]}
        if not isinstance(item, dict):
            continue
        low = {str(k).casefold(): v for k, v in item.items()}
        if _internal(low):
            continue
        who = next((low[k] for k in WHO if k in low), None)
        if isinstance(who, dict):
            who = who.get("role") or who.get("type")
        content = next((low[k] for k in CONTENT if k in low), None)
        known = speaker(who)
        if known and known != "silent" and text(content):
            found.append(Message(known, text(content)))
    return found


def _internal(low: dict[str, Any]) -> bool:
    """Whether a message is the desk's own note, which no customer saw."""
    if low.get("public") is False or any(
        low.get(key) is True for key in ("private", "internal", "is_note", "is_internal")
    ):
        return True
    kinds = (low.get(key) for key in ("part_type", "type", "message_type", "kind", "visibility"))
    return any("note" in word or word in {"internal", "private", "activity"} for word in map(_word, kinds))


def _word(value: Any) -> str:
    return value.casefold() if isinstance(value, str) else ""


def _from_lines(value: str) -> list[Message]:
    marks = [m for m in _LINE.finditer(value) if label(m["who"]) is not None]
    ends = [*(m.start() for m in marks[1:]), len(value)]
    found = [(label(m["who"]) or "", text(value[m.end() : end])) for m, end in zip(marks, ends, strict=False)]
    return [Message(who, content) for who, content in found if who != "silent" and content]
