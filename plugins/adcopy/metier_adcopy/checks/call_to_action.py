"""An ad must have a call to action: an imperative verb in at least one of its texts.

Google Ads, create effective Search ads (https://support.google.com/google-ads/answer/6167122): include a call to
action. A presenter, too, ends with a call to action.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_adcopy.copy_of import pieces
from metier_adcopy.tasks import PRESENTER, SEARCH_ADS

RULE = "Google Ads Help 6167122: include a call to action"
_VERBS = (
    "shop|buy|order|book|call|ring|phone|get|try|taste|see|find|visit|join|start|reserve|browse|compare|learn|sign up|"
    "download|ask|enquire|pick|choose|read|hire|rent|apply|register|subscribe|request|discover|explore|add|claim|drop|"
    "come|meet|watch|listen|play|plan|pop|send|switch|treat|tap|click|grab|bring|save your|enrol|enroll|email|message|"
    "check|open|pre-order|preorder|design|build|view|take|swing|stop by|head|look|hear|talk|tell|go|let us|make|"
    "secure|have a (?:look|listen|go)"
)
_ENGLISH = re.compile(
    rf"(?:^|[.!?:;,…–—]\s+|\b(?:please|just|so|then|and|now|today|to)\s+)(?:{_VERBS})\b"
    r"|\b(?:click|tap) (?:here|below|the)",
    re.IGNORECASE | re.MULTILINE,
)
_CHINESE = re.compile(
    r"立即|立刻|马上|现在就|点击|点开|点我|下单|选购|抢购|购买|咨询|预约|预订|预定|预购|了解|查看|领取|报名|试试|试穿|试吃|尝尝|"
    r"来(?=店|看|试|选|挑|逛|尝|坐|喝|吃|住|学|电)|欢迎|联系|致电|加入|注册|下载|挑(?=一|选|件)|带(?=走|回|一|个)|点(?=链接|下方|小黄车)|买(?=一|个|把)|拍(?=一|个)|坐坐|逛逛|订(?=一|购|座|房|位)|"
    r"快来|进店|拍下|扫码|关注|收藏|打电话|上链接"
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding where no text has a call to action."""
    copy_text = "\n".join(pieces(output))
    if _ENGLISH.search(copy_text) or _CHINESE.search(copy_text):
        return []
    return [Finding(message="no text contains a call to action", rule=RULE)]


call_to_action = Check(
    name="call_to_action",
    title="Has a call to action",
    tasks=(SEARCH_ADS, PRESENTER),
    run=run,
    passing=(
        {"facts": "name[Alder bench]"},
        {"lines": [{"say": "Order the Alder bench.", "stress": [], "gesture": "point", "seconds": 2}]},
    ),
    failing=(
        {"facts": "name[Alder bench]"},
        {"lines": [{"say": "This is the Alder bench.", "stress": [], "gesture": "show", "seconds": 2}]},
    ),
    description="At least one text has a call to action: order, book, visit, 选购, 预约.",
)
