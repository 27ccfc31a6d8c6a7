"""What a licence allows, sorted into the few classes that decide whether a product may ship. Not legal advice."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

Use = Literal["research", "internal", "commercial"]
"""`research`: nothing is shipped or sold. `internal`: used inside a company, not distributed. `commercial`: part of a
product or service that others use."""


class Terms(StrEnum):
    """What a licence requires of adapting a model and shipping the result."""

    PERMISSIVE = "permissive"
    SHARE_ALIKE = "share-alike"
    NON_COMMERCIAL = "non-commercial"
    NO_DERIVATIVES = "no-derivatives"
    CUSTOM = "custom"
    UNKNOWN = "unknown"


# SPDX identifiers (spdx.org/licenses) and the hub's own tags, lower case; first match decides.
_TABLE: tuple[tuple[str, Terms], ...] = (
    (r"cc-by(-nc)?-nd(-.+)?", Terms.NO_DERIVATIVES),
    (r"cc-by-nc(-.+)?|.*non-?commercial.*|.*research(-only|-licen[cs]e)?|fair-noncommercial.*", Terms.NON_COMMERCIAL),
    (r"polyform-(noncommercial|strict|free-trial).*|apple-amlr|mnpl.*", Terms.NON_COMMERCIAL),
    (r"mit(-0)?|apache-(1\.1|2\.0)|0?bsd(-.+)?|isc|zlib|unlicense|wtfpl|x11|ncsa|bsl-1\.0", Terms.PERMISSIVE),
    (
        r"cc0-1\.0|cc-by(-[1-4]\.\d)?|cdla-permissive-.+|pddl|odc-by.*|postgresql|afl-3\.0|mulanpsl-[12]\.0",
        Terms.PERMISSIVE,
    ),
    (r"python-2\.0|psf-2\.0|upl-1\.0|artistic-2\.0|openmdw.*|blueoak-1\.0\.0|ecl-2\.0", Terms.PERMISSIVE),
    (
        r"(a|l)?gpl(-.+)?|mpl-.+|epl-.+|eupl-.+|cc-by-sa(-.+)?|odbl.*|cdla-sharing-.+|gfdl.*|osl-.+|lgpl-lr",
        Terms.SHARE_ALIKE,
    ),
    (r".*(open)?rail.*|llama.*|gemma.*|qwen.*|tongyi.*|deepseek.*|falcon.*|licenseref-.+|grok.*|phi.*", Terms.CUSTOM),
    (
        r"other|.*-community|.*community-licen[cs]e.*|hunyuan.*|exaone.*|lfm.*|nvidia.*|glm.*|intel-research|busl-.+",
        Terms.CUSTOM,
    ),
)
_ORDER = (
    Terms.PERMISSIVE,
    Terms.SHARE_ALIKE,
    Terms.CUSTOM,
    Terms.UNKNOWN,
    Terms.NO_DERIVATIVES,
    Terms.NON_COMMERCIAL,
)


def terms_of(licence: str | None) -> Terms:
    """Class of an SPDX expression: the freest side of an OR, the strictest side of an AND, exceptions aside."""
    if not licence or not licence.strip():
        return Terms.UNKNOWN
    plain = re.sub(r"\s+with\s+[\w.-]+", "", licence.strip().lower())
    choices = [
        max((_one(part) for part in re.split(r"\s+and\s+", choice)), key=_ORDER.index)
        for choice in re.split(r"\s+or\s+", plain.replace("(", " ").replace(")", " "))
    ]
    return min(choices, key=_ORDER.index)


def _one(name: str) -> Terms:
    name = name.strip().removesuffix("+")
    return next((terms for pattern, terms in _TABLE if re.fullmatch(pattern, name)), Terms.UNKNOWN)
