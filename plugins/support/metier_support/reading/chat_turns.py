"""Chat logs with one turn a row (CSV, TSV, JSONL, Excel, Parquet): a sample for each agent turn, at its own row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.contracts import BadRow, Sample
from metier_support.reading.cells import column, first_row, rows_with, text
from metier_support.reading.dialogue import Message, speaker
from metier_support.reading.open_conversations import OpenConversations
from metier_support.reading.order_facts import order_of
from metier_support.reading.row_order import in_order
from metier_support.tasks import REPLY

if TYPE_CHECKING:
    from metier.readers.tables import Row

ID = (
    "conversation_id", "chat_id", "dialogue_id", "dialog_id", "session_id", "thread_id", "ticket_id", "conv_id",
    "conversation", "chat", "session", "ticket", "会话id", "会话编号", "会话",
)  # fmt: skip
WHO = (
    "speaker", "role", "sender", "author_role", "author_type", "from", "who", "sender_type", "inbound", "direction",
    "author", "发送者", "角色", "说话人", "发送方",
)  # fmt: skip
TEXT = ("text", "message", "content", "body", "utterance", "msg", "turn", "内容", "消息", "消息内容")
INTENT = ("intent", "label", "category", "topic", "意图")
ESCALATE = ("escalate", "escalated", "handover", "转人工")


class ChatTurns:
    """One message a row: whose conversation, who speaks, what they say; intent and order columns where there are."""

    name, task = "chat_turns", REPLY
    example = Path(__file__).parents[1] / "examples" / "chat_turns.csv"

    def accepts(self, path: Path) -> bool:
        """Whether it is a table with a conversation, a speaker and a text column."""
        row = first_row(path)
        return row is not None and all(column(row, names) for names in (ID, WHO, TEXT))

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """A sample for each agent turn that follows a customer's; bad rows in place."""
        rows = in_order(rows_with(path, {"conversation_id": ID, "speaker": WHO, "text": TEXT}), _id_of)
        with OpenConversations() as talks:
            yield from _samples(rows, talks)


def _id_of(row: Row, named: dict[str, str]) -> str:
    name = named.get("conversation_id")
    return text(row.values[name]) if name else ""


def _samples(
    rows: Iterator[tuple[Row, dict[str, str]] | BadRow], talks: OpenConversations
) -> Iterator[Sample | BadRow]:
    for item in rows:
        if isinstance(item, BadRow):
            yield item
            continue
        row, named = item
        values = {wanted: row.values[name] for wanted, name in named.items()}
        if wrong := _wrong(values):
            field, reason, remedy = wrong
            yield BadRow(provenance=row.provenance, field=named.get(field, field), reason=reason, remedy=remedy)
            continue
        talk = talks.get(text(values["conversation_id"]))
        talk.order |= order_of(row.values)
        message = Message(speaker(values["speaker"]) or "", text(values["text"]))
        yield from talk.add(
            message, row.provenance, intent=_cell(row, INTENT) or None, escalate=_yes_no(_cell(row, ESCALATE))
        )


def _wrong(values: dict[str, Any]) -> tuple[str, str, str] | None:
    if not text(values.get("conversation_id")):
        return "conversation_id", "the conversation has no id", "give each conversation an id"
    who = values.get("speaker")
    # JSONL and spreadsheets have real booleans for `inbound`.
    if speaker(who) is None:
        return "speaker", f"{str(who)[:40]!r} is no speaker that is known", "write customer, agent or system"
    if not text(values.get("text")) and speaker(who) != "silent":
        return "text", "there is no text", "fill it, or leave the row out"
    return None


def _cell(row: Any, names: tuple[str, ...]) -> str:
    found = column(row, names)
    value = row.values[found] if found else None
    return str(value) if isinstance(value, bool) else text(value)


def _yes_no(cell: str) -> bool | None:
    word = cell.casefold()
    return (
        True if word in {"true", "yes", "1", "y", "是"} else False if word in {"false", "no", "0", "n", "否"} else None
    )
