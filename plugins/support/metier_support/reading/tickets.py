"""Tickets of any help desk as JSON: a message and its answer, or a list of messages, under the usual names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metier.contracts import BadRow, Sample
from metier_support.reading.cells import text
from metier_support.reading.conversations import messages
from metier_support.reading.dialogue import Conversation, Said
from metier_support.reading.json_records import read_records
from metier_support.reading.order_facts import order_of
from metier_support.reading.zendesk import first_record
from metier_support.tasks import REPLY

SUBJECT = ("subject", "title", "主题", "标题")
ASKED = (
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
ANSWERED = ("answer", "reply", "response", "resolution", "agent_reply", "solution", "回复", "答复", "解决方案")
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
        """Whether its first object has a question with an answer, or a thread in which somebody answers."""
        ticket = first_record(path)
        if ticket is None:
            return False
        low = {str(k).casefold(): v for k, v in ticket.items()}
        return {said.who for said in _said(low)} == {"customer", "agent"}

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """Samples in order, all of a ticket at the line it starts on; a ticket without an answer is a bad row."""
        for record in read_records(path):
            if isinstance(record, BadRow):
                yield record
                continue
            ticket = {str(k).casefold(): v for k, v in record.values.items()}
            talk = Conversation(order_of(ticket))
            intent = next((text(ticket[k]) for k in ("intent", "category", "type", "意图") if k in ticket), None)
            given = False
            for said in _said(ticket):
                for sample in talk.add(said, record.provenance, intent=intent):
                    given = True
                    yield sample
            if not given:
                asked = any(k in ticket for k in ASKED)
                yield BadRow(
                    provenance=record.provenance,
                    field="answer" if asked else "description",
                    reason="there is no answer in it" if asked else "there is no message of a customer in it",
                    remedy="give description and answer, or messages with a role and a text",
                )


def _said(ticket: dict[str, Any]) -> list[Said]:
    subject, asked, answered = (
        next((said for key in keys if (said := text(ticket.get(key)))), "") for keys in (SUBJECT, ASKED, ANSWERED)
    )
    thread = next((found for key in TALK if (found := messages(ticket.get(key)))), [])
    opening = ": ".join(part for part in (subject, asked) if part)
    # The thread may begin with the message itself; a subject alone is no message where there is a thread.
    doubled = thread and (thread[0].text[:60] == asked[:60] or (thread[0].who == "customer" and not asked))
    first = [Said("customer", opening)] if opening and not doubled else []
    return [*first, *thread, *([Said("agent", answered)] if answered else [])]
