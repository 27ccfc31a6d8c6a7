"""What a shop can be held to, as wording: each promise with the words in a policy or an order that back it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Promise(NamedTuple):
    """A promise's name, its wording, and what the policy or order must contain for it."""

    label: str
    pattern: re.Pattern[str]
    backing: re.Pattern[str]


def _promise(label: str, pattern: str, backing: str | None = None) -> Promise:
    return Promise(label, re.compile(pattern, re.IGNORECASE), re.compile(backing or pattern, re.IGNORECASE))


_FREE = (
    r"\b(?:for free|free of charge|at no (?:extra )?(?:cost|charge)|no charge|free|without (?:a )?charge"
    r"|costs? (?:you )?nothing|we (?:will )?(?:pay|cover)|on us)\b|免费|包邮|免邮|不收|我们承担|由我们"
)
PROMISES = (
    _promise("something free", _FREE, _FREE + r"|\bprepaid\b|\bincluded\b|\bwaive|卖家承担|包运费"),
    _promise(
        "a refund",
        r"\b(?:we(?:'ll| will| can| have|'ve)|i(?:'ll| will| can| have|'ve)|you(?:'ll| will| can) "
        r"(?:get|have|receive))\b[^.!?]{0,40}\b(?:refund|money back)|\bfull refund\b|(?:全额)?退款|退给您",
        r"\brefund|money back|退",
    ),
    _promise(
        "a replacement",
        r"\b(?:we|i)(?:'ll| will| can| have|'ve)\b[^.!?]{0,30}\b(?:replace|send (?:you )?(?:a |the |another "
        r"|out )?(?:new|replacement|right|correct|missing))|\bnew one is on its way\b|补发|重发|换新|换一[个件台]",
        r"\breplac|\bnew (?:one|part)|\bsend|\bswap|\bexchange|补发|重发|换",
    ),
    _promise(
        "a discount",
        r"\b(?:discount|voucher|coupon|promo code|store credit|gift card)\b|优惠券|代金券|抵用券|打折|折扣",
    ),
    _promise("compensation", r"\bcompensat|\bgoodwill\b|赔偿|补偿|赔付", r"\bcompensat|\bgoodwill\b|赔"),
    _promise(
        "a guarantee",
        r"\bguarantee[ds]?\b|\bpromise\b|\b(?:definitely|certainly) (?:arrive|be)\b|保证|一定会",
        r"\bguarantee|\bpromise|保证",
    ),
    _promise(
        "a collection",
        r"\b(?:courier|driver)s? (?:will )?(?:collect|pick)"
        r"|\bwe(?:'ll| will) (?:collect|pick (?:it )?up)\b|上门(?:取|收|揽|拿)",
        r"\bcollect|\bpick|上门",
    ),
    _promise(
        "a call back",
        r"\b(?:call|ring|phone) you\b|\bcall(?:ed)? back\b|致电|回电|给您打电话",
        r"\bcalls?\b|\brings?\b|\bphones?\b|致电|回电|电话",
    ),
    _promise("a price match", r"\bprice[- ]match|\bmatch (?:the|that|their) price|保价|补差价|退差价"),
    _promise("a prepaid label", r"\bprepaid\b|\breturn label\b|\blabel\b", r"\blabel\b|\bprepaid\b"),
)
_NOT = re.compile(
    r"\b(?:not|no|never|cannot|can't|won't|isn't|aren't|don't|doesn't|unable|without|neither|nor|unfortunately)\b|[不没无未]",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\s+(?=but\b)|，(?=但)", re.IGNORECASE)


def promises(text: str) -> list[tuple[Promise, str]]:
    """Promises that a text makes, each with its words; what a sentence denies is none."""
    found = []
    for sentence in _SENTENCE.split(text):
        for promise in PROMISES:
            if (match := promise.pattern.search(sentence)) and not _denied(sentence, match):
                found.append((promise, match[0]))
    return found


def _denied(sentence: str, match: re.Match[str]) -> bool:
    """Whether a negation precedes the words; `free of charge` and `no charge` hold their own."""
    return bool(_NOT.search(sentence[: match.start()])) or (
        match[0][:1] not in "不没免nN" and bool(_NOT.search(match[0])) and "charge" not in match[0]
    )
