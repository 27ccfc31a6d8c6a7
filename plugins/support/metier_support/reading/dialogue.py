"""From messages in order to samples of `support.reply`: one for each thing an agent wrote to a customer.

Who takes over and what a reply is based on is read from the agent's own words and columns, never guessed: the intent is
left out where the file does not give it, and `used` stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self, get_args

from metier.contracts import BadRow, Provenance, Sample
from metier.contracts.script import language_by_script
from metier_support.tasks import REPLY
from metier_support.types import LONGEST_REPLY, Intent
from metier_support.wording import hands_over

TURNS = 12
"""Messages kept before a reply: about what fits a small base's prompt beside the passages."""
INTENTS = frozenset(get_args(Intent))

CUSTOMER = frozenset({
    "customer", "user", "client", "buyer", "visitor", "end_user", "end-user", "enduser", "requester",
    "consumer", "shopper", "guest", "human", "inbound", "in", "incoming", "true", "1", "c", "顾客", "客户",
    "用户", "买家", "访客", "消费者",
})  # fmt: skip
AGENT = frozenset({
    "agent", "assistant", "support", "seller", "operator", "rep", "representative", "staff", "admin",
    "advisor", "adviser", "bot", "chatbot", "gpt", "csr", "outbound", "out", "outgoing", "false", "0",
    "a", "service_agent", "customer_service", "merchant", "shop", "store", "客服", "卖家", "商家", "店家",
    "坐席", "人工客服",
})  # fmt: skip
_HAN_CUSTOMER = tuple(sorted((w for w in CUSTOMER if not w.isascii()), key=len, reverse=True))
_HAN_AGENT = tuple(sorted((w for w in AGENT if not w.isascii()), key=len, reverse=True))
_NO_NAME = re.compile(r"电话|热线|微信|时间|地址|邮箱|号码|评价|留言|须知|说明|服务|态度|[，。！？,!?]")
"""What follows 客服 or 顾客 where that is a part of a sentence or of another word."""
_NAMED = re.compile(r"[^\W\d_]+(?:[ _-]*(?:\([^()]*\)|（[^（）]*）|#?\d+|[A-Z][\w.'’-]*|[\u3400-\u9fff]{1,8}|[A-Z]))*")
_SILENT_LABELS = frozenset({"system", "internal_note", "系统", "系统消息"})
SILENT = frozenset(["system", "event", "note", "internal_note", "metadata", "status", "系统"])


class Message(NamedTuple):
    """One message with its speaker: `customer`, `agent`, or `silent` for what belongs to neither."""

    who: str
    text: str


def speaker(value: Any) -> str | None:
    """`customer`, `agent` or `silent`; None where the word is not known."""
    word = str(value).strip().casefold().rstrip(":：").replace(" ", "_")
    # `Agent Mia`, `customer_17` and `Support (Bot)` say it with their first word.
    first = re.match(r"[^\W\d_]+", word)
    for form in (word, first[0] if first and len(first[0]) > 2 else ""):
        for who, words in (("customer", CUSTOMER), ("agent", AGENT), ("silent", SILENT)):
            if form in words:
                return who
    # Desks name their people behind or ahead of the word: 客服小美, 客服-007, 小美客服, 买家张先生.
    for who, names in (("customer", _HAN_CUSTOMER), ("agent", _HAN_AGENT)):
        for known in names:
            rest = word.removeprefix(known) if word.startswith(known) else word.removesuffix(known)
            if rest != word and len(rest) <= 8 and not _NO_NAME.search(rest):
                return who
    return None


def label(value: str) -> str | None:
    """`speaker` of a label within a text, where more must be asked: `Shop address:` and `Note:` are what somebody says.
    A word behind the role must be a name (a capital, digits, brackets, Han)."""
    who = speaker(value)
    word = value.strip().rstrip(":：").strip()
    if who == "silent":
        return who if word.casefold().replace(" ", "_") in _SILENT_LABELS else None
    if who is None or word.casefold().replace(" ", "_") in CUSTOMER | AGENT:
        return who
    return who if _NAMED.fullmatch(word) else None


class Conversation:
    """A conversation as it grows: hand it messages, get a sample for each reply. Holds `TURNS` messages.

    Args:
        order: order facts known of the whole conversation.
    """

    def __init__(self, order: Mapping[str, Any] | None = None) -> None:
        self.order = dict(order or {})
        self._turns: list[dict[str, str]] = []

    def state(self) -> list[Any]:
        """The conversation as JSON data, for `of_state`."""
        return [self.order, self._turns]

    @classmethod
    def of_state(cls, state: list[Any]) -> Self:
        """The conversation that gave this state."""
        talk = cls(state[0])
        talk._turns = state[1]
        return talk

    def add(
        self, message: Message, provenance: Provenance, *, intent: str | None = None, escalate: bool | None = None
    ) -> Iterator[Sample | BadRow]:
        """The sample of an agent's message, where a customer spoke before it; nothing for other messages."""
        has_question = any(turn["who"] == "customer" for turn in self._turns)
        if message.who == "agent" and has_question:
            if len(message.text) > LONGEST_REPLY:
                yield BadRow(
                    provenance=provenance,
                    field="text",
                    reason=f"the reply has {len(message.text)} characters, a chat reply at most {LONGEST_REPLY}",
                    remedy="shorten it, or leave the row out",
                )
            else:
                yield self._sample(message.text, provenance, intent, escalate)
        if message.who != "silent":
            self._turns = [*self._turns, {"who": message.who, "text": message.text}][-TURNS:]

    def _sample(self, text: str, provenance: Provenance, intent: str | None, escalate: bool | None) -> Sample:
        input: dict[str, Any] = {"dialogue": list(self._turns)}
        if self.order:
            input["order"] = dict(self.order)
        if language_by_script(text, ("zh",)):
            input["language"] = "zh"
        output: dict[str, Any] = {"intent": intent} if intent in INTENTS else {}
        output |= {"escalate": hands_over(text) if escalate is None else escalate, "used": [], "reply": text}
        return Sample(task=REPLY, input=input, output=output, provenance=provenance)


def replies_of(
    messages: Iterable[Message],
    order: Mapping[str, Any],
    provenance: Provenance,
    *,
    intent: str | None,
    none: BadRow,
) -> Iterator[Sample | BadRow]:
    """The samples of one whole conversation, all at one place.

    Args:
        messages: in order.
        order: facts known of it.
        provenance: where it stands.
        intent: of its replies, where the file gives one.
        none: given instead where nobody answers a customer.
    """
    talk = Conversation(order)
    answered = False
    for message in messages:
        for sample in talk.add(message, provenance, intent=intent):
            answered = True
            yield sample
    if not answered:
        yield none
