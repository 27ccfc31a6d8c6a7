"""No two headlines of an ad may have the same meaning: any of them may be shown together.

Google Ads, about responsive search ads (https://support.google.com/google-ads/answer/7684791): headlines and
descriptions are shown in any order and combination, so each is to be unique; ad strength counts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from metier.contracts import Check, Finding
from metier.wording.words import HAN, content, normalise, stem, tokens
from metier_adcopy.tasks import SEARCH_ADS

RULE = "Google Ads Help 7684791: headlines and descriptions appear in any combination and must not repeat one another"
_MOST = 20
"""Texts compared of each field, more than any platform takes: each is compared with each."""
NEAR = 0.75
"""Jaccard likeness of two texts' marks from which they count as one: three words shared of four."""


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per headline or description that repeats an earlier one."""
    found = []
    for field in ("headlines", "descriptions"):
        texts = output.get(field)
        listed = list(enumerate(texts if isinstance(texts, list) else (), 1))[:_MOST]
        repeated: set[int] = set()
        for (first, one), (second, other) in combinations(listed, 2):
            if second not in repeated and alike(str(one), str(other)):
                repeated.add(second)
                message = f"{field.removesuffix('s')} {second} repeats {first}"
                found.append(Finding(message=message, rule=RULE, excerpt=str(other)))
    return found


def alike(one: str, other: str) -> bool:
    """Whether two texts say the same in the same words, whatever their order, endings and signs."""
    a, b = _marks(one), _marks(other)
    if not a or not b:
        return normalise(one).strip() == normalise(other).strip()
    return len(a & b) / len(a | b) >= NEAR


def _marks(text: str) -> set[str]:
    """Stems of the content words; pairs of neighbours in a run of Han characters."""
    marks: set[str] = set()
    for token in content(tokens(text)):
        if HAN.match(token):
            marks |= {a + b for a, b in pairwise(token)} or {token}
        else:
            marks.add(stem(token))
    return marks


headlines_differ = Check(
    name="headlines_differ",
    title="Headlines differ",
    tasks=(SEARCH_ADS,),
    run=run,
    passing=(
        {"facts": "name[Alder bench], wood[oak], price[£89]"},
        {
            "headlines": ["Alder bench in oak", "Yours for £89", "Sit down. Order today."],
            "descriptions": ["An oak bench for £89.", "Put it in the hall and order now."],
        },
    ),
    failing=(
        {"facts": "name[Alder bench], wood[oak], price[£89]"},
        {
            "headlines": ["Alder bench in oak", "The oak Alder bench", "Order today"],
            "descriptions": ["An oak bench for £89.", "Put it in the hall and order now."],
        },
    ),
    description="No headline or description that repeats another, in whatever order of words.",
)
