"""The five tasks of customer service and their prompts. Prompts are short, since each token of them is paid
for in every training step and every request; personal order facts are kept out of them by the template itself."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from pydantic import create_model

from metier.contracts import TaskContract, TaskKind, UsageError, prompt
from metier_support.types import Case, Digest, Entities, Goods, Listing, Reply, Reviewed, Sorted, Utterance

REPLY, INTENT, ENTITIES = "support.reply", "support.intent", "support.entities"
LISTING, REVIEW = "support.listing", "support.review"

PRIVATE_KEYS = ("name", "customer", "email", "phone", "address", "card number", "card_number", "姓名", "邮箱",
                "电话", "手机", "地址", "卡号")  # fmt: skip
"""Order facts that tell who the customer is: an order fact whose name holds one of these is private."""

_ORDER = (
    "{% if order %}{% set ns = namespace(open=false) %}{% for k, v in order.items() if v is not none %}"
    "{% set key = k|lower %}{% if not (" + " or ".join(f"'{word}' in key" for word in PRIVATE_KEYS) + ") %}"
    "{{ '; ' if ns.open else 'HEAD' }}{{ k }} {{ v }}{% set ns.open = true %}{% endif %}{% endfor %}"
    "{% if ns.open %}\n{% endif %}{% endif %}"
)
_CASE = (
    "{% for p in passages %}[{{ p.id }}] {% if p.get('heading') %}{{ p.heading }}: {% endif %}"
    "{{ p.text }}\n{% endfor %}"
    + _ORDER
    + "{% for t in dialogue %}{{ 'CUSTOMER' if t.who == 'customer' else 'AGENT' }}{{ t.text }}"
    "{% if not loop.last %}\n{% endif %}{% endfor %}"
)
_CASE_EN = _CASE.replace("HEAD", "Order: ").replace("CUSTOMER", "Customer: ").replace("AGENT", "Agent: ")
_CASE_ZH = _CASE.replace("HEAD", "订单：").replace("CUSTOMER", "顾客：").replace("AGENT", "客服：")
_GOODS = (
    "{% for k, v in attributes.items() %}{{ k }}: {{ v }}\n{% endfor %}"
    "{% if seen %}SEEN{{ seen.split()|join(' ') }}\n{% endif %}{% if draft %}DRAFT{{ draft }}\n{% endif %}LIMIT"
)
_REVIEWS = (
    "{% if product %}{{ product }}\n{% endif %}{% for r in reviews %}- "
    "{% if r.get('rating') is not none %}{{ r.rating|round|int }}/5 {% endif %}{{ r.text }}"
    "{% if not loop.last %}\n{% endif %}{% endfor %}"
)

reply = TaskContract(
    name=REPLY,
    kind=TaskKind.DIALOGUE,
    title="Answer a customer",
    description="The next reply of a support chat, from policy passages and order facts, with intent and escalation.",
    input=Case,
    output=Reply,
    prompts={
        "en": prompt(_CASE_EN, system="Answer the customer from the passages and order only."),
        "zh": prompt(_CASE_ZH, system="只根据条款和订单回答顾客。"),
    },
    reply="json",
    metrics=("chrf", "rouge_l"),
    # Facts newer than the base are in the passages, which the shop's own search supplies: no web is needed.
    fresh_facts=False,
    max_reply_tokens=224,
)
intent = TaskContract(
    name=INTENT,
    kind=TaskKind.CLASSIFY,
    title="What a message wants",
    description="One intent of a customer's message.",
    input=Utterance,
    output=Sorted,
    prompts={
        "en": prompt("{{ text }}", system="Name the customer's intent."),
        "zh": prompt("{{ text }}", system="说出顾客的意图。"),
    },
    reply="label",
    max_reply_tokens=16,
)
entities = TaskContract(
    name=ENTITIES,
    kind=TaskKind.EXTRACT,
    title="What a message names",
    description="Order number, product, amount, date and reason, word for word.",
    input=Utterance,
    output=Entities,
    prompts={
        "en": prompt("{{ text }}", system="List order_number, product, amount, date, reason."),
        "zh": prompt("{{ text }}", system="列出 order_number, product, amount, date, reason。"),
    },
    reply="spans",
    max_reply_tokens=96,
)
listing = TaskContract(
    name=LISTING,
    kind=TaskKind.GENERATE,
    title="List a product",
    description="Title, bullets and description from a photo and the product's attributes.",
    input=Goods,
    output=Listing,
    prompts={
        "en": prompt(
            _GOODS.replace("SEEN", "On the photo: ")
            .replace("DRAFT", "Draft: ")
            .replace("LIMIT", "Title: {{ max_title }} characters"),
            system="Write the shop listing from these facts only.",
        ),
        "zh": prompt(
            _GOODS.replace("SEEN", "图上文字：")
            .replace("DRAFT", "草稿：")
            .replace("LIMIT", "标题：{{ max_title }}字符"),
            system="只用这些事实写商品页。",
        ),
    },
    reply="json",
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=224,
)
review = TaskContract(
    name=REVIEW,
    kind=TaskKind.GENERATE,
    title="Sum up reviews",
    description="Aspects with sentiment, pros, cons, and a fair summary that quotes.",
    input=Reviewed,
    output=Digest,
    prompts={
        "en": prompt(_REVIEWS, system="Sum up the reviews fairly, with a quote."),
        "zh": prompt(_REVIEWS, system="公正地总结评价，引用原话。"),
    },
    reply="json",
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=224,
)
TASKS = (reply, intent, entities, listing, review)


def intent_among(labels: Sequence[str]) -> TaskContract:
    """`support.intent` with a shop's own intents in place of the packaged ones; the name and the prompts stay.

    Raises:
        UsageError: a label is empty or repeated, or there are fewer than two.
    """
    if len(labels) < 2 or len(set(labels)) != len(labels) or not all(label.strip() for label in labels):
        raise UsageError("intents must be two or more different names", remedy="drop the empty and the doubled ones")
    members = {f"label_{n}": label for n, label in enumerate(labels)}
    names: Any = Enum("OwnIntent", members, type=str)  # type: ignore[misc]
    return TaskContract(**{**dict(intent), "output": create_model("OwnSorted", intent=(names, ...))})
