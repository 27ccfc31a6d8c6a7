"""The trade's own files, read into samples: one file an adapter, tried in this order within a task."""

from __future__ import annotations

from metier.contracts import DataAdapter
from metier_support.reading.answers import Answers
from metier_support.reading.chat_turns import ChatTurns
from metier_support.reading.conversations import Conversations
from metier_support.reading.intent_table import IntentTable
from metier_support.reading.intercom import Intercom
from metier_support.reading.review_table import ReviewTable, review_inputs
from metier_support.reading.tickets import Tickets
from metier_support.reading.zendesk import Zendesk

ADAPTERS: tuple[DataAdapter, ...] = (
    ChatTurns(),
    Conversations(),
    Answers(),
    Zendesk(),
    Intercom(),
    Tickets(),
    IntentTable(),
    ReviewTable(),
)

__all__ = [
    "ADAPTERS",
    "Answers",
    "ChatTurns",
    "Conversations",
    "IntentTable",
    "Intercom",
    "ReviewTable",
    "Tickets",
    "Zendesk",
    "review_inputs",
]
