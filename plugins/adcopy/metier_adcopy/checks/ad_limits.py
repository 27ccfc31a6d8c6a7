"""A search ad must keep the platform's lengths, counted as it counts: a double-width character takes two places.

Google Ads, about responsive search ads (https://support.google.com/google-ads/answer/7684791): headlines of at most 30
characters, descriptions of at most 90. Baidu (百度搜索推广，创意撰写规范): titles of 9 to 50, descriptions of 9 to 80.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier_adcopy.checks.length import width
from metier_adcopy.tasks import SEARCH_ADS

LIMITS = {
    "google": {"headlines": (1, 30), "descriptions": (1, 90)},
    "baidu": {"headlines": (9, 50), "descriptions": (9, 80)},
}
"""Platform → field → fewest and most places."""
RULES = {
    "google": "Google Ads Help 7684791: headlines of at most 30 characters, descriptions of at most 90",
    "baidu": "百度搜索推广创意撰写规范：标题 9–50 字符，描述 9–80 字符",
}


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per text that is too long or too short."""
    platform = "baidu" if input.get("platform") == "baidu" else "google"
    return list(_findings(platform, output))


def _findings(platform: str, output: Mapping[str, Any]) -> Iterator[Finding]:
    for field, (least, most) in LIMITS[platform].items():
        texts = output.get(field)
        for number, text in enumerate(texts if isinstance(texts, list) else (), 1):
            taken = width(str(text))
            if not least <= taken <= most:
                bound = f"at most {most}" if taken > most else f"at least {least}"
                yield Finding(
                    message=f"{field.removesuffix('s')} {number} takes {taken} characters, {bound} are allowed",
                    rule=RULES[platform],
                    excerpt=str(text)[:40],
                )


ad_limits = Check(
    name="ad_limits",
    title="Within the ad limits",
    tasks=(SEARCH_ADS,),
    run=run,
    passing=(
        {"facts": "名称[云眠枕], 材质[荞麦壳]", "language": "zh"},
        {
            "headlines": ["云眠枕荞麦壳枕头", "荞麦壳枕，睡个好觉", "云眠枕，点击选购"],
            "descriptions": ["云眠枕用荞麦壳填充，透气不闷。", "今晚换个枕头，立即选购。"],
        },
    ),
    failing=(
        {"facts": "名称[云眠枕], 材质[荞麦壳]", "language": "zh"},
        {
            "headlines": ["云眠枕用荞麦壳填充透气不闷睡个好觉", "荞麦壳枕", "点击选购"],
            "descriptions": ["云眠枕用荞麦壳填充。", "立即选购。"],
        },
    ),
    description="Every headline and description within the platform's length, full-width characters counted double.",
)
