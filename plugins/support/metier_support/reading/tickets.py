"""Tickets of any help desk as JSON: a message and its answer, or a list of messages, under the usual names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, Sample
from metier_support.reading.cells import text
from metier_support.reading.conversations import messages
from metier_support.reading.dialogue import Message, replies_of
from metier_support.reading.json_records import first_record, read_records
from metier_support.reading.order_facts import order_of
from metier_support.tasks import REPLY

SUBJECT = ("subject", "title", "主题", "标题")
QUESTION = (
    "description_text",
    "description",
    "body",
    "message",
    "question",
    "instruction",
    "query",
    "customer_message",
    "问题",
    "描述",
)
ANSWER = ("answer", "reply", "response", "resolution", "agent_reply", "solution", "回复", "答复", "解决方案")
TALK = (
    "messages",
    "conversations",
    "conversation_parts",
    "original",
    "conversation",
    "thread",
    "threads",
    "comments",
    "replies",
    "events",
)


class Tickets:
    """A ticket an object; a sample for its answer, or for each answer of its thread."""

    name, task = "tickets", REPLY
    example = Path(__file__).parents[1] / "examples" / "tickets.json"

    def accepts(self, path: Path) -> bool:
        """Whether its first object has a question with an answer, or a thread in which someone answers."""
        ticket = first_record(path)
        if ticket is None:
            return False
        low = {str(k).casefold(): v for k, v in ticket.items()}
        return {message.who for message in _messages_of(low)} == {"customer", "agent"}

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples in order, all of a ticket at the line it starts on; a ticket without an answer is a bad row."""
        for record in read_records(path):
            if isinstance(record, BadRow):
                yield record
                continue
            ticket = {str(k).casefold(): v for k, v in record.values.items()}
            intent = next((text(ticket[k]) for k in ("intent", "category", "type", "意图") if k in ticket), None)
            has_question = any(k in ticket for k in QUESTION)
            yield from replies_of(
                _messages_of(ticket), order_of(ticket), record.provenance, intent=intent,
                none=BadRow(
                    provenance=record.provenance,
                    field="answer" if has_question else "description",
                    reason="there is no answer in it" if has_question else "there is no message of a customer in it",
                    remedy="give description and answer, or messages with a role and a text",
                ),
            )  # fmt: skip


def _messages_of(ticket: dict[str, Any]) -> list[Message]:
    subject, question, answer = (
        next((value for key in keys if (value := text(ticket.get(key)))), "") for keys in (SUBJECT, QUESTION, ANSWER)
    )
    thread = next((found for key in TALK if (found := messages(ticket.get(key)))), [])
    opening = ": ".join(part for part in (subject, question) if part)
    # The thread may begin with the message itself; a subject alone is no message where there is a thread.
    doubled = thread and (thread[0].text[:60] == question[:60] or (thread[0].who == "customer" and not question))
    first = [Message("customer", opening)] if opening and not doubled else []
    return [*first, *thread, *([Message("agent", answer)] if answer else [])]
