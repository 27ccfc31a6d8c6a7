"""Tables with a customer's message and its answer in one row, as help desks export them and public sets have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from metier.contracts import BadRow, Sample
from metier_support.reading.cells import column, first_row, rows_with, text
from metier_support.reading.dialogue import Conversation, Message
from metier_support.reading.intent_table import ALIASES
from metier_support.reading.order_facts import order_of
from metier_support.tasks import REPLY

QUESTION = (
    "instruction", "question", "customer_message", "query", "request", "description", "message", "inquiry", "body",
    "text", "问题", "顾客消息",
)  # fmt: skip
ANSWER = (
    "response", "answer", "reply", "agent_reply", "agent_response", "resolution", "solution", "回复", "答复",
    "客服回复",
)  # fmt: skip
INTENT = ("intent", "label", "category", "意图")


class Answers:
    """A question and an answer a row; the intent where a column holds a known name."""

    name, task = "answers", REPLY
    example = Path(__file__).parents[1] / "examples" / "answers.csv"

    def accepts(self, path: Path) -> bool:
        """Whether it has a column for the message and one for the answer, both filled in the first row."""
        row = first_row(path)
        if row is None:
            return False
        named = [column(row, names) for names in (QUESTION, ANSWER)]
        return all(name is not None and text(row.values[name]) for name in named)

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """A sample a row; a row without a message or an answer is a bad row."""
        for item in rows_with(path, {"question": QUESTION, "answer": ANSWER}):
            if isinstance(item, BadRow):
                yield item
                continue
            row, named = item
            question, answer = (text(row.values.get(named.get(side, ""))) for side in ("question", "answer"))
            if not question or not answer:
                side = "question" if not question else "answer"
                yield BadRow(
                    provenance=row.provenance, field=named.get(side, side), reason=f"there is no {side}",
                    remedy="fill it, or leave the row out",
                )  # fmt: skip
                continue
            label = column(row, INTENT)
            word = text(row.values[label]).casefold().replace(" ", "_") if label else ""
            talk = Conversation(order_of(row.values))
            list(talk.add(Message("customer", question), row.provenance))
            yield from talk.add(Message("agent", answer), row.provenance, intent=ALIASES.get(word, word))
