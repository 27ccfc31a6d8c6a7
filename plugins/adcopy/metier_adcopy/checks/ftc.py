"""Claims that the United States' Federal Trade Commission treats as deceptive unless proved or qualified.

Section 5 of the FTC Act (15 U.S.C. 45) with the Advertising Substantiation Statement (1984); 16 CFR 255 (endorsements);
16 CFR 260 (Green Guides, 2012); 16 CFR 251 (free), 239 (warranties), 323 (Made in USA); .com Disclosures (2013); Health
Products Compliance Guidance (2022). A screen for copy editors, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metier.contracts import Check, Finding
from metier.wording.words import normalise
from metier_adcopy.copy_of import pieces, sayable
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS

_SUBSTANTIATION = "FTC Act § 5 (15 U.S.C. 45) and Advertising Substantiation Statement (1984)"
_HEALTH = "FTC Act §§ 5, 12 and Health Products Compliance Guidance (2022)"
_GENERAL = "Green Guides, 16 CFR 260.4: unqualified general environmental benefit"


class _Rule(NamedTuple):
    what: str
    rule: str
    pattern: re.Pattern[str]
    backing: re.Pattern[str] | None
    """What in the brief supports the claim; None where no fact of a brief can."""


def _rule(what: str, rule: str, pattern: str, backing: str | None = None) -> _Rule:
    return _Rule(what, rule, re.compile(pattern), re.compile(backing) if backing else None)


_RULES = (
    _rule(
        "a superlative that calls for proof",
        _SUBSTANTIATION,
        r"\b(world'?s|nation'?s|country'?s|planet'?s|britain'?s|america'?s) (best|finest|greatest|"
        r"leading|no\.? ?1|number one)\b|"
        r"\bbest \w* ?(in|on) the (world|planet|country|market|business|universe)\b|\bbest ever\b|"
        r"\bthe best \w+ (money can buy|ever|you can)\b|#\s?1\b|\bnumber one\b|"
        r"\bno\. ?1 (choice|brand|rated|selling)|\bunbeatable\b|\bunrivall?ed\b|\bunmatched\b|"
        r"\bsecond to none\b",
    ),
    _rule(
        "a comparison that calls for proof",
        _SUBSTANTIATION,
        r"\b(better|faster|stronger|longer|safer|cheaper) than (any|all|every|the leading|other|"
        "our competitors)",
    ),
    _rule(
        "a price comparison",
        "Guides Against Deceptive Pricing, 16 CFR 233",
        r"\b(best|lowest|cheapest) (price|prices|rates|deal|value|around|in town|on the market)|\bwholesale price|"
        r"\bwas [£$€]\d",
        r"lowest|cheapest|wholesale|\bwas\b",
    ),
    _rule(
        "an unqualified promise of results",
        _SUBSTANTIATION,
        r"\bguaranteed (results?|success|to|weight|returns?|income)|\bresults? (are )?guaranteed|"
        r"\b(always|never fails to) works?\b|\bworks every time\b|"
        r"\b100% (effective|safe|success|guaranteed|satisfaction)|\binstant results?\b|"
        r"\bpermanent(ly)? (results?|cure|fix)",
    ),
    _rule(
        "freedom from risk",
        _SUBSTANTIATION,
        r"\brisk free\b|\bno risk\b|\bzero risk\b|\bnothing to lose\b|\bno side effects?\b",
    ),
    _rule(
        "a health claim",
        _HEALTH,
        r"\bcur(es?|ed|ing)\b(?! (ham|meat|salmon|bacon|leather|beef|in))|"
        r"\b(heals?|treats?|prevents?|reverses?|eliminates?|relieves?) (\w+ ){0,2}(acne|anxiety|"
        "arthritis|cancer|colds?|depression|diabetes|disease|eczema|flu|illness|insomnia|pain|stress|"
        r"wrinkles)\b|\bdetox(es|ify|ifies|ifying)\b|\bboosts? (your )?(immun\w+|metabolism)|\bmiracle\b|"
        r"\banti ?ageing\b|\bburns? fat\b|\blose \d+ ?(lb|kg|pounds)",
    ),
    _rule(
        "a claim of proof",
        f"{_SUBSTANTIATION}; {_HEALTH}",
        r"\b(clinically|scientifically|medically) (proven|tested|shown)\b|\bstudies (show|prove)\b|"
        r"\bproven to\b",
        "clinical|scientific|trial|study|studies",
    ),
    _rule(
        "an expert's endorsement",
        "Endorsement Guides, 16 CFR 255.3",
        r"\b(doctors?|dentists?|vets?|dermatologists?|experts?|pediatricians?|paediatricians?|"
        r"chefs?) (\w+ )?(recommend\w*|approved?|endorse\w*|trust\w*|love)\b|"
        r"\brecommended by (doctors|dentists|vets|experts|dermatologists)",
        "recommend|endorse|approv|trust",
    ),
    _rule(
        "consumers' endorsement",
        "Endorsement Guides, 16 CFR 255.2",
        r"\b(customers|thousands|millions|everyone|people|users|parents) (\w+ )?(love|loves|agree|"
        r"swear by|trust|rave)\b|\b(thousands|millions) of (happy|satisfied)|\bas seen on\b|"
        r"\bcelebrit\w+ (favou?rite|love)",
        "review|rating|customers|as seen on",
    ),
    _rule(
        "an unqualified general environmental claim",
        _GENERAL,
        r"\b(eco|environmentally|earth|planet|climate) ?(friendly|safe|conscious|kind|positive)\b|"
        r"\b(good|kind|gentle|better) (for|to) the (planet|environment|earth)\b|"
        r"\bgreen (choice|product|alternative|credentials)\b|\bsustainab(le|ly)\b|"
        r"\bzero (impact|footprint)\b|\bguilt free\b",
    ),
    _rule(
        "a carbon claim",
        "Green Guides, 16 CFR 260.5 (carbon offsets)",
        r"\bcarbon (neutral|negative|positive|free)\b|\bnet zero\b|\bclimate neutral\b",
        "carbon|offset|net zero",
    ),
    _rule(
        "a seal or certification",
        "Green Guides, 16 CFR 260.6 (certifications and seals)",
        r"\b(eco|green|sustainably?) certified\b",
        "certif",
    ),
    _rule("a compostable claim", "Green Guides, 16 CFR 260.7", r"\bcompostable\b", "compost"),
    _rule("a degradable claim", "Green Guides, 16 CFR 260.8", r"\b(bio|photo|oxo)?degradable\b", "degrad"),
    _rule("a free-of claim", "Green Guides, 16 CFR 260.9", r"\b(chemical|toxin) free\b"),
    _rule("a non-toxic claim", "Green Guides, 16 CFR 260.10", r"\bnon ?toxic\b", "toxic"),
    _rule("a recyclable claim", "Green Guides, 16 CFR 260.12", r"\brecyclable\b", "recycl"),
    _rule("a recycled-content claim", "Green Guides, 16 CFR 260.13", r"\brecycled\b", "recycl"),
    _rule("a refillable claim", "Green Guides, 16 CFR 260.14", r"\brefillable\b", "refill"),
    _rule("a renewable claim", "Green Guides, 16 CFR 260.15 and 260.16", r"\brenewable\b", "renewab"),
    _rule(
        "an offer of something free",
        "Guide Concerning Use of the Word Free, 16 CFR 251; .com Disclosures (2013)",
        r"\b(for free|free gift|free sample|free trial|absolutely free|100% free|free of charge)\b",
        r"\bfree\b|complimentary|no charge",
    ),
    _rule(
        "a warranty or guarantee without its terms",
        "Guides for the Advertising of Warranties and Guarantees, 16 CFR 239",
        r"\b(lifetime|full|unconditional|money back|satisfaction|our) (warranty|guarantee)\b|\bmoney back\b|"
        r"\bsatisfaction guaranteed\b",
        "warrant|guarante|money back",
    ),
    _rule(
        "an unqualified claim of American origin",
        "Made in USA Labeling Rule, 16 CFR 323",
        r"\b(made|built|crafted) in (the )?(usa|us|u\.s\.a?\.|united states|america)\b|\bamerican made\b",
        r"usa|u\.s|united states|america",
    ),
    _rule(
        "pressure without a fact",
        ".com Disclosures (2013) and FTC Act § 5",
        r"\b(act now|hurry|last chance|today only|only \d+ left|selling fast|while stocks last)\b",
        "left|until|ends|stock|only",
    ),
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per claim that the brief does not back, or that no brief can."""
    facts = sayable(input)
    # A shop may be called Best Ever: its name is no claim.
    names = [_flat(fact.value) for fact in facts if normalise(fact.key) in {"name", "brand", "title"}]
    known = _flat(", ".join(f"{fact.key} {fact.value}" for fact in facts))
    found: dict[tuple[str, str], Finding] = {}
    for piece in pieces(output):
        flat = _flat(piece)
        for name in names:
            flat = flat.replace(name, " ")
        for rule in _RULES:
            if (claim := rule.pattern.search(flat)) and not (rule.backing and rule.backing.search(known)):
                words = claim[0].strip()
                found.setdefault(
                    (rule.what, words), Finding(message=f"{rule.what}: {words}", rule=rule.rule, excerpt=words)
                )
    return list(found.values())


def _flat(text: str) -> str:
    return re.sub(r"[\s\-]+", " ", normalise(text))


ftc = Check(
    name="ftc",
    title="Complies with FTC guidance",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=(
        {"facts": "name[Aurora Glow], product[vitamin C cream], size[50 ml]"},
        {"text": "Aurora Glow is a 50 ml vitamin C cream for mornings that come too soon."},
    ),
    failing=(
        {"facts": "name[Aurora Glow], product[vitamin C cream], size[50 ml]"},
        {"text": "Aurora Glow, the world's best 50 ml vitamin C cream: guaranteed results, risk-free."},
    ),
    description="No claim that the FTC would ask evidence or a qualification for, unless the brief holds it.",
)
