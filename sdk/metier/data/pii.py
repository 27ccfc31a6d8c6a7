"""Personal data in text, found by form and checksum, and replaced by its kind. A net, not a guarantee: names and
addresses have no form, and are not found.

What has one: e-mail addresses, `name (at) shop (dot) com` and international domains included; payment cards (Luhn);
IBANs (length by country, mod 97); public IP addresses; Chinese resident IDs (check character; those of 15 digits where
a word names them); US social security numbers, with hyphens, or with spaces where a word names them; telephone numbers
of China, North America and Britain in their national form, and of anywhere with a plus sign. Full-width characters
count as plain ones. What a word calls an order, a stock number or the like is no telephone number. Other countries'
ids, numbers of theirs without the plus, and number plates are not known.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal, NamedTuple

from metier.contracts.sample import Sample

Kind = Literal["resident_id", "iban", "card", "email", "ssn", "phone", "ip"]


_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3000: 0x20,
    0xA0: 0x20,
    0x2013: 0x2D,
    0x2011: 0x2D,
}
"""Full-width forms, wide and fixed spaces and other hyphens, as the plain character: lengths stay."""


class Replacement(NamedTuple):
    """One piece of personal data that was replaced. Never holds the data itself."""

    kind: Kind
    start: int
    end: int
    """Characters of the original text, end exclusive."""
    field: str = ""
    """Dotted path in a sample, such as input.facts; empty for plain text."""


_ID = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{5}[ -]?(?:19|20)\d\d[ -]?\d{4}[ -]?\d{3}[0-9Xx](?![0-9A-Za-z])")
_OLD_ID = re.compile(r"(?<![0-9A-Za-z])[1-8]\d{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?![0-9A-Za-z])")
"""Of 15 digits, given out until 1999: no check digit, so a word has to name it."""
_CARD = re.compile(r"(?<![\d.])[2-6](?:(?:[ -]?\d){13,18}|\d{3}(?:\.\d{4}){3})(?![\d]|\.\d)")
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_SPELT_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64} ?[(\[{] ?at ?[)\]}] ?"
    r"(?:[A-Za-z0-9-]{1,63} ?(?:\.|[(\[{] ?dot ?[)\]}]) ?){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9-])",
    re.IGNORECASE,
)
_OTHER_EMAIL = re.compile(  # internationalised domains (RFC 5890), under a top-level domain of letters that end it
    r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64}@(?:[^\W_][\w-]{0,62}\.){1,6}"
    r"(?:[A-Za-z]{2,24}(?![A-Za-z0-9-])|公司|网络|網絡|中国|中國|在线|рф|укр|бел)"
)
_PHONE = re.compile(
    r"(?:(?<![A-Za-z0-9_.+-])|(?<=[Tt]el)|(?<=TEL)|(?<=[Pp]hone)|(?<=[Mm]ob)|(?<=[Mm]obile)|(?<=[VvWw]x)|(?<=wechat))(?:"
    r"(?:(?:\+|00)86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}"  # mobile, China (MIIT numbering plan)
    r"|(?<!\d )1 [3-9](?: \d){9}(?! \d)"  # spelt digit by digit
    r"|0\d{2,3}[ -]\d{7,8}|\(0\d{2,3}\)[ -]?\d{7,8}"  # landline, China
    r"|(?:\+1[ .-]?)?\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:\+?1[ .-])?[2-9]\d{2}[.-]\d{3}[.-]\d{4}"  # North America
    r"|(?<!\d )(?:1 )?[2-9]\d{2} [2-9]\d{2} \d{4}(?! \d)"
    r"|\(?0(?:2[03489]\)?[ -]?\d{4}[ -]?\d{4}"  # Britain, by the lengths of its area codes (Ofcom numbering plan)
    r"|1(?:1\d|[2-69]1)\)?[ -]?\d{3}[ -]?\d{4}|1[2-9]\d\d\)?[ -]?\d{3}[ -]?\d{3}"
    r"|7[1-57-9]\d\d[ -]?\d{3}[ -]?\d{3})"  # and its mobiles
    r"|\+[1-9]\d{0,2}(?:[ .()-]{0,2}\d){7,12}"  # international, ITU-T E.164
    r")(?![A-Za-z0-9_+-]|\.\d)"
)
_SSN = re.compile(r"(?<![A-Za-z0-9_.-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![A-Za-z0-9_-]|\.\d)")
"""No area 000, 666 or from 900 on, no group 00, no serial 0000: the Social Security Administration gives none out."""
_SPACED_SSN = re.compile(r"(?<![A-Za-z0-9_.-])(?!000|666|9)\d{3} ?(?!00)\d\d ?(?!0000)\d{4}(?![A-Za-z0-9_-]|\.\d| \d)")
_NAMES_SSN = re.compile(r"\b(?:ssn|social security)[^\d\]]{0,16}$", re.IGNORECASE)
_NAMES_ID = re.compile(r"(?:身份证|证件|\bid(?: card| number| no)?\b)[^\d\]]{0,8}$", re.IGNORECASE)
_NAMES_OTHER = re.compile(
    r"(?:\b(?:order|stock|sku|item|part|model|serial|invoice|reference|ref|tracking|parcel|lot|batch|isbn|ean|upc|gtin|asin)"
    r"|单号|订单|货号|运单|批号|条码|条形码|编号|库存)(?: ?(?:no|number|nr|id|code|号码?))?"
    r"[.:#：为是 ]{0,3}$",
    re.IGNORECASE,
)
"""Words right before a number that say what else it is."""
_NEAR = 32
"""Characters before a number in which such a word is looked for."""
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}\d\d(?: ?[A-Za-z0-9]){11,30}))")
"""Looks ahead only: what begins like one may hold one."""
_IBANS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18
FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24
SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
_IBAN_LENGTHS = {word[:2]: int(word[2:]) for word in _IBANS.split()}
"""Country → characters of its IBANs, from the SWIFT IBAN registry."""
_IP = re.compile(
    r"(?<![A-Za-z0-9_.:+-])(?:"
    r"\d{1,3}(?:\.\d{1,3}){3}(?![A-Za-z0-9_+-]|\.\d)"
    r"|[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}(?![A-Za-z0-9_:+])"  # global unicast, RFC 4291: 2000::/3
    r")"
)
_VERSION = re.compile(r"(?:\b(?:versions?|ver\.?|release|build|section|chapter|clause)|§|版本|第) ?$", re.IGNORECASE)
"""After these, four numbers with dots between are no address."""
_BEFORE = 10
"""Characters that the longest of them takes, with a space."""
_MAYBE = re.compile(r"@|\d(?:[ .()-]{0,2}\d){6}|\d\.\d{1,3}\.\d|[23][0-9A-Fa-f]{3}:|[(\[{] ?at ?[)\]}]", re.IGNORECASE)
"""What any of the above contains: a quick look that clears most text."""


def find_pii(text: str) -> list[Replacement]:
    """Personal data in a text, in order, none overlapping; a checksum that fails clears a number."""
    plain = text.translate(_NARROW)
    found: list[Replacement] = []
    while _MAYBE.search(plain):
        new: list[Replacement] = []
        for kind, start, end in _candidates(plain):
            if all(end <= other.start or start >= other.end for other in new):
                new.append(Replacement(kind, start, end))
        if not new:
            break
        for piece in new:  # what stands beside it may be data as well, once it is gone
            plain = f"{plain[: piece.start]}{']' * (piece.end - piece.start)}{plain[piece.end :]}"
        found += new
    return sorted(found, key=lambda r: r.start)


def scrub(text: str) -> tuple[str, list[Replacement]]:
    """The text with each piece replaced by its kind in brackets, such as `[email]`, and what was replaced."""
    found = find_pii(text)
    clean = text
    for piece in reversed(found):
        clean = f"{clean[: piece.start]}[{piece.kind}]{clean[piece.end :]}"
    return clean, found


def scrub_sample(sample: Sample) -> tuple[Sample, list[Replacement]]:
    """A sample with every string of its input and output scrubbed, and what was replaced, by field."""
    found: list[Replacement] = []
    update = {side: _scrub_value(getattr(sample, side), side, found) for side in ("input", "output")}
    return (sample.model_copy(update=update) if found else sample), found


def _scrub_value(value: Any, path: str, found: list[Replacement]) -> Any:
    if isinstance(value, str):
        clean, pieces = scrub(value)
        found += [piece._replace(field=path) for piece in pieces]
        return clean
    if isinstance(value, list):
        return [_scrub_value(item, f"{path}.{i}", found) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _scrub_value(item, f"{path}.{key}", found) for key, item in value.items()}
    return value


def _candidates(text: str) -> Iterator[tuple[Kind, int, int]]:
    """The surer kinds first: an ID's digits could be part of a card's, an IBAN's of a card's, a card's of a phone's."""
    for match in _ID.finditer(text):
        if is_resident_id(re.sub(r"[ -]", "", match[0])):
            yield "resident_id", *match.span()
    for match in _OLD_ID.finditer(text):
        if _before(_NAMES_ID, text, match.start()):
            yield "resident_id", *match.span()
    for match in _IBAN.finditer(text):
        if length := _iban_in(match[1]):
            end = match.start() + length
            if not text[end : end + 1].isalnum():
                yield "iban", match.start(), end
    for match in _CARD.finditer(text):
        if is_card(re.sub(r"\D", "", match[0])) and not _before(_NAMES_OTHER, text, match.start()):
            yield "card", *match.span()
    for pattern in (_EMAIL, _OTHER_EMAIL, _SPELT_EMAIL):
        for match in pattern.finditer(text):
            yield "email", *match.span()
    for match in _SSN.finditer(text):
        yield "ssn", *match.span()
    for match in _SPACED_SSN.finditer(text):
        if _before(_NAMES_SSN, text, match.start()):
            yield "ssn", *match.span()
    for match in _PHONE.finditer(text):
        if not _before(_NAMES_OTHER, text, match.start()):
            yield "phone", *match.span()
    for match in _IP.finditer(text):
        if is_public_ip(match[0]) and not _VERSION.search(text, max(0, match.start() - _BEFORE), match.start()):
            yield "ip", *match.span()


def _before(words: re.Pattern[str], text: str, start: int) -> bool:
    return words.search(text[max(0, start - _NEAR) : start]) is not None


def is_card(digits: str) -> bool:
    """Whether digits are a payment card's: 14 to 19 of them, and the Luhn sum (ISO/IEC 7812-1) holds."""
    if not 14 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(int(d) for d in digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_resident_id(text: str) -> bool:
    """Whether 18 characters are a Chinese resident ID: a real birth date, and the check character (GB 11643-1999)."""
    try:
        date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(d) * (2 ** (17 - i) % 11) for i, d in enumerate(text[:17]))
    return text[17].upper() == "10X98765432"[total % 11]


def is_iban(text: str) -> bool:
    """Whether a text without spaces is an IBAN: as long as its country's are, and mod 97 is 1 (ISO 13616-1)."""
    text = text.upper()
    if len(text) != _IBAN_LENGTHS.get(text[:2]):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def is_public_ip(text: str) -> bool:
    """Whether it is an address that identifies a person: no private, local or reserved one (IANA's registries),
    and no four numbers below ten, which are a section or a version more often."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and not re.fullmatch(r"\d(?:\.\d){3}", text)


def _iban_in(text: str) -> int:
    """Characters of the IBAN that a text begins with, spaces included; 0 where it does with none."""
    wanted, seen = _IBAN_LENGTHS.get(text[:2].upper(), 0), 0
    for place, character in enumerate(text, 1):
        seen += character != " "
        if seen == wanted:
            return place if is_iban(text[:place].replace(" ", "")) else 0
    return 0
