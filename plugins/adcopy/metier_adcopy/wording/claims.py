"""Claims that sell, and therefore need a fact behind them: awards, guarantees, origin, what is free or left out.

A table of what a claim looks like in copy and which facts make it true. It does not know rules.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Claim(NamedTuple):
    """A kind of claim: what it is called, how copy words it, what among the facts backs it."""

    label: str
    pattern: re.Pattern[str]
    backing: re.Pattern[str]


def _claim(label: str, pattern: str, backing: str | None = None) -> Claim:
    # Hyphens are spaces by the time these run.
    return Claim(label, re.compile(pattern), re.compile(backing or pattern))


ENGLISH: tuple[Claim, ...] = (
    _claim("an award", r"\baward|\bprize(?!s? for)|\bmedal", "award|prize|medal|winner"),
    _claim("organic", r"\borganic"),
    _claim(
        "free delivery or returns",
        r"\b(free|complimentary) (\w+ )?(shipping|delivery|returns?|postage|pickup)\b|\bships? free\b",
        "free|complimentary|no (delivery|shipping)",
    ),
    _claim(
        "free of charge",
        r"\b(for free|free of charge|is free|it is free|are free|free (trial|gift|sample|consultation))\b",
        r"\bfree\b|complimentary|no charge",
    ),
    _claim("a warranty or guarantee", r"\bwarrant|\bguarante|money back", "warrant|guarante|money back"),
    _claim("lifetime", r"\blifetime\b|\blasts forever\b"),
    _claim(
        "proof against water",
        r"\bwater ?(proof|resistan|repellent|tight)|\bsplash ?proof|\bshowerproof",
        r"water|splash|shower|ipx?\d|rain",
    ),
    _claim(
        "handmade",
        r"\bhand ?(made|crafted|stitched|woven|knitted|painted|built|finished|poured|sewn|blown)|\bby hand\b",
        r"\bhand|artisan",
    ),
    _claim("vegan or vegetarian", r"\b(vegan|vegetarian|plant based)", "vegan|vegetarian|plant based"),
    _claim("recycled or recyclable", r"\brecycl"),
    _claim(
        "environmental benefit",
        r"\b(eco( ?friendly)?|sustainab\w+|carbon neutral|biodegradable|compostable|planet friendly)\b",
        "eco|sustainab|carbon|biodegrad|compost|planet|green",
    ),
    _claim(
        "hypoallergenic or tested",
        r"\b(hypoallergenic|dermatolog\w+|clinically|lab tested|antibacterial)\b",
    ),
    _claim(
        "certified or approved",
        r"\b(certified|approved|accredited|licensed)\b",
        "certif|approv|accredit|licen[cs]|standard|registered",
    ),
    _claim("limited", r"\blimited (edition|run|stock|time)|\bwhile stocks last|\bselling fast|\balmost gone"),
    _claim(
        "a discount",
        r"\b(discount\w*|on sale|half price|money off|\w+ off (your|the) (first|next|order))\b|\bclearance\b",
        "discount|sale|off|half price|clearance",
    ),
    _claim("dishwasher safe", r"\bdishwasher"),
    _claim("microwave or oven safe", r"\b(microwave|oven) ?(safe|proof)", "microwave|oven"),
    _claim("washable", r"\b(machine )?wash(able)?\b", "wash"),
    _claim("rechargeable", r"\brechargeable\b", "recharg|usb|charg"),
    _claim("wireless or cordless", r"\b(wireless|cordless)\b", "wireless|cordless|bluetooth|battery"),
    _claim("no assembly", r"\bno assembly|\bready assembled", "assembl"),
    _claim(
        "made somewhere",
        r"\b(made|crafted|produced|brewed|milled|grown) in [a-z]+",
        "made|origin|produc|brew|mill|grown|country|region|roast",
    ),
    _claim("local", r"\blocally (sourced|grown|made)|\blocal (farm|ingredient|produce)", "local"),
    _claim("fair trade", r"\bfair ?trade\b"),
    _claim("family run", r"\bfamily (run|owned)|\bindependent(ly)? (owned|run)", "family|independent|owner"),
    _claim(
        "age of the house",
        r"\bsince \d{4}|\bestablished in|\bgenerations?\b",
        r"since|establish|found|generation|\d{4}",
    ),
    _claim("patented", r"\bpatent"),
    _claim("same or next day", r"\b(same|next) day\b", "(same|next) day|express|turnaround|delivery"),
    _claim(
        "a bestseller",
        r"\bbest ?sell|\bmost popular|\btop rated|\b5 star|\bfive star",
        "best ?sell|popular|rat|star",
    ),
    _claim(
        "friendly to families",
        r"\b(family|families|kid|kids|child|children)s? (friendly|welcome|oriented)",
        "famil|kid|child|age|baby|bab|toddler|nursery",
    ),
    _claim("friendly to pets", r"\b(dog|pet|cat)s? (friendly|welcome)", "dog|pet|cat"),
    _claim(
        "genuine",
        r"\b(genuine|authentic|real leather|solid gold)\b",
        "genuine|authentic|real|solid|hallmark",
    ),
    _claim("natural", r"\b(all natural|100% natural|chemical free|naturally derived)\b", "natural|chemical"),
)

FREE_OF = re.compile(r"\b(\w+) free\b(?! (over|delivery|shipping|pickup|trial|plan|gift|entry|first))")
"""`sugar free`: the facts must name what is left out."""
NOT_FREE_OF = {
    "s", "is", "are", "for", "go", "goes", "and", "the", "a", "come", "comes", "with", "feel", "get", "set",
    "hands", "class",
}  # fmt: skip

CHINESE: tuple[Claim, ...] = (
    _claim("奖项", "获奖|金奖|大奖|奖项"),
    _claim("有机", "有机(?!会)"),
    _claim("免费或赠送", "包邮|免邮|免费|赠送|赠品|买.送", "包邮|免邮|免费|赠|送"),
    _claim("质保", "质保|保修|包退|包换|退换|假一赔", "质保|保修|包退|包换|退换|假一赔"),
    _claim("终身", "终身|终生"),
    _claim("防水", "防水|防泼水", r"防水|防泼水|ipx?\d|雨"),
    _claim("手工", "手工(?!具)|手作|匠人", "手工|手作|匠|手绘"),
    _claim("天然", "纯天然|天然|原生态"),
    _claim("进口", "进口(?!处)|原装"),
    _claim("认证", "认证|检测报告|质检", "认证|检测|质检"),
    _claim("专利", "专利"),
    _claim("限量或折扣", "限量|限时|打折|折扣|特价|半价|秒杀|立减", "限量|限时|折|特价|半价|秒杀|减"),
    _claim("无糖或无添加", "无糖|[0零]糖|不加糖|无蔗糖|无添加|零添加|不含", "糖|添加|不含|无"),
    _claim("环保", "环保|可降解|低碳|可回收", "环保|降解|低碳|回收"),
    _claim("抗菌", "抗菌|抑菌|除菌|杀菌", "菌"),
    _claim("老字号", "老字号|百年|非遗|祖传"),
    _claim("可机洗", "可?机洗|可?水洗", "洗"),
)
