"""Copy must add nothing to the brief: no number, unit, price, name or claim of its own.

Moods and turns of phrase are free; what a buyer could hold the seller to is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding
from metier.wording.quantities import CURRENCIES, Quantity, quantities, units_in
from metier.wording.words import HAN, NUMBER_WORDS, STOPWORDS, Text, normalise, same, tokens
from metier_adcopy.copy_of import brief, pieces, sayable
from metier_adcopy.facts import Fact
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS
from metier_adcopy.wording.claims import CHINESE, ENGLISH, FREE_OF, NOT_FREE_OF

RULE = "House rule: add nothing to the brief"

_WORD = re.compile(r"[^\W\d_]+")
_OPENS = re.compile(r"(?:[.!?:;…。！？：；\"“”'‘(\[•*/–—\n]|\s-)\s*$")
# What stands right before a price is what it buys: four characters or more name it.
_PRICED = re.compile(rf"(?<!{HAN.pattern})({HAN.pattern}{{4,}})[¥￥]?\d[\d.,]*元")
_COUNTED = re.compile("[一二两三每各只仅就要价卖]")
_TITLE_HAN = re.compile(r"《([^》]+)》")
# Capitalised by the language, whatever the brief says.
_ALWAYS = STOPWORDS | {
    "i", "no", "not", "ok", "mr", "mrs", "ms", "they", "there", "but", "join", "us",
}  # fmt: skip
_INCLUDED_IN = {"english": "british"}


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per thing the text adds."""
    facts, known = sayable(input), brief(input)
    text = "\n".join(pieces(output))
    headed = "\n".join(piece for piece in pieces(output) if not _in_title_case(piece))
    found = [*_numbers(text, known), *_names(headed, known)]
    found += [finding for piece in pieces(output) for finding in _claims(piece, facts, known)]
    return list(dict.fromkeys(found))


def _in_title_case(piece: str) -> bool:
    """Whether most words are capitalised, as in many headlines: a name cannot be distinguished from a word then."""
    words = [word for word in _WORD.findall(piece) if len(word) > 3 and not HAN.search(word)]
    return len(words) > 2 and sum(word[0].isupper() for word in words) > 0.7 * len(words)


def _numbers(text: str, known: str) -> Iterator[Finding]:
    given: dict[str, set[str | None]] = {}
    for quantity in quantities(known):
        given.setdefault(quantity.number, set()).add(quantity.unit)
    spelt = {token for token in tokens(known) if token[0].isdigit()}
    around = units_in(known)
    for quantity in quantities(text):
        if quantity.number not in given and quantity.number not in spelt:
            yield _added(f"the number {quantity.excerpt}", quantity)
        elif not _unit_given(quantity, given.get(quantity.number, {None}), around):
            yield _added(f"{quantity.excerpt}, where the brief gives {quantity.number} another unit or none", quantity)


def _unit_given(quantity: Quantity, units: set[str | None], around: set[str]) -> bool:
    if quantity.unit is None or quantity.unit in units:
        return True
    if {quantity.unit, *units} >= {"pound", "GBP"}:  # `20 pounds` is money or weight.
        return True
    # `weight[890], unit[g]`, and the 65 of `65-135 cm`, have their unit elsewhere in the brief; a price has not.
    return None in units and quantity.unit in around and quantity.unit not in CURRENCIES


def _names(text: str, known: str) -> Iterator[Finding]:
    given = Text(known)
    chinese = bool(HAN.search(text))
    looked_up: dict[str, bool] = {}
    if chinese:
        for title in _TITLE_HAN.findall(text):
            if re.sub(r"\s+", "", normalise(title)) not in given.squeezed:
                yield Finding(message=f"names 《{title}》, which is not in the brief", rule=RULE, excerpt=title)
        for match in _PRICED.finditer(text):
            words = match[1][-8:]
            if not _COUNTED.search(words) and not any(words[i : i + 2] in given.plain for i in range(len(words) - 1)):
                yield Finding(message=f"prices {words}, which is not in the brief", rule=RULE, excerpt=match[0])
    end = 0
    for match in _WORD.finditer(re.sub(HAN.pattern, " ", text)):
        word, between, end = match[0], text[end : match.start()], match.end()
        plain = normalise(word)
        capital = word[0].isupper() and (len(word) > 1 or chinese)
        if not capital or plain in _ALWAYS or plain in NUMBER_WORDS:
            continue
        if match.start() and text[match.start() - 1].isdigit():  # A unit, as in 4.5L, or the tail of a code.
            continue
        if (match.start() == len(between) and not between.strip()) or _OPENS.search(between) or between.endswith("'"):
            continue
        if plain not in looked_up:
            looked_up[plain] = all(_known(part, given) for part in tokens(plain))
        if not looked_up[plain]:
            yield Finding(message=f"names {word}, which is not in the brief", rule=RULE, excerpt=word)


def _known(word: str, given: Text) -> bool:
    # Close is enough: copy corrects a brief's `Itallian`. Codes such as IPX7 are one token there, two words here.
    return (
        given.has(word)
        or any(t.startswith(word) for t in given.tokens if any(c.isdigit() for c in t))
        or any(same(_INCLUDED_IN.get(t, t), word) for t in given.tokens)
    )


def _claims(text: str, facts: Sequence[Fact], known: str) -> Iterator[Finding]:
    flat = _flat(text)
    for fact in facts:  # A name may sound like a claim: a shop called The Organic Barn.
        if fact.key.casefold() in {"name", "brand", "title", "名称", "品牌", "店名"}:
            flat = flat.replace(_flat(fact.value), " ")
    backed = _flat(known)
    for claim in (*ENGLISH, *CHINESE):
        if (found := claim.pattern.search(flat)) and not claim.backing.search(backed):
            yield Finding(
                message=f"claims {claim.label} ({found[0].strip()}), which is not in the brief",
                rule=RULE,
                excerpt=found[0].strip(),
            )
    words = Text(known)
    for found in FREE_OF.finditer(flat):
        if found[1] not in NOT_FREE_OF and not found[1][0].isdigit() and not words.has(found[1]):
            yield Finding(message=f"claims {found[0]}, which is not in the brief", rule=RULE, excerpt=found[0])


def _flat(text: str) -> str:
    return re.sub(r"[\s\-]+", " ", normalise(text))


def _added(what: str, quantity: Quantity) -> Finding:
    return Finding(message=f"adds {what}", rule=RULE, excerpt=quantity.excerpt)


facts_invented = Check(
    name="facts_invented",
    title="No invented facts",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=(
        {"facts": "name[Pell & Finch overshirt], colour[rust], price[£68]"},
        {"text": "Rust is a colour, not a flaw. The Pell & Finch overshirt is £68."},
    ),
    failing=(
        {"facts": "name[Pell & Finch overshirt], colour[rust], price[£68]"},
        {"text": "The award-winning Pell & Finch overshirt in rust is £58 with free delivery."},
    ),
    description="No number, unit, price, name or claim that the brief does not hold.",
)
