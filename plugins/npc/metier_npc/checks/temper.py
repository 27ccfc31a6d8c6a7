"""A kind character stays kind: no insult where the persona is gentle, no running oneself down, no clerk's phrases.

What the player called the character may be quoted, and a character that the writer made rude may be rude.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import given, spoken_lines
from metier_npc.tasks import BARK, LINE, PERSONA

RULE = "the persona's own temper"
_KIND = re.compile(
    r"\b(?:kind|gentle|warm|polite|courteous|sweet|soft(?:-spoken)?|merry|motherly|cheerful|tender|patient|caring|friendly|"
    r"jolly|loving|generous|helpful|courtly|gallant|formal)\b|"
    r"温柔|温和|和蔼|和善|慈|恭敬|有礼|礼貌|谦和|热心|热情|善良|心软|体贴|憨厚|天真|耐心|温暖|友善|彬彬",
    re.IGNORECASE,
)
_HARSH = re.compile(
    r"\b(?:rude|harsh|cruel|blunt|sarcastic|mocking|merciless|furious|foul|angry|brutal|sharp|teases?|grumpy|evil|insult\w*)\b|"
    r"毒舌|嘴硬|刻薄|泼辣|暴躁|凶|粗暴|尖酸|嘴不饶人|爱骂|冷嘲",
    re.IGNORECASE,
)
_RUDE = re.compile(
    r"\b(?:idiots?|idiotic|stupid|you fools?|moron\w*|imbeciles?|dumb|losers?|scum|filth|swine|shut (?:up|your)|"
    r"get lost|go to hell|drop dead|piss off|bugger off|go away|worthless|pathetic|you disgust|i hate you|"
    r"you(?:'re| are) (?:useless|ugly|nothing|a waste)|wast(?:e|ing) (?:of )?my time|stop wasting|nobody likes you|"
    r"leave me alone|damn you)\b|"
    r"滚(?:开|蛋|远|出去|吧|！|。)|闭嘴|蠢|废物|白痴|傻[子瓜逼]|去死|混账|混蛋|贱[人货民]|讨厌你|没用的东西|烦死|烦不烦|别烦我|"
    r"浪费我的?时间|关我(?:什么|屁)事|神经病|你有病|丑八怪|不要脸|活该|懒得理你|谁稀罕",
    re.IGNORECASE,
)
_SELF = re.compile(
    r"\b(?:i(?:'m| am) (?:so |just |completely |totally )?"
    r"(?:useless|worthless|pathetic|rubbish|a (?:failure|waste|bad (?:character|person)))|"
    r"i(?:'m| am) (?:terrible|no good) at (?:this|everything)|my (?:answers?|work|goods|wares|service) (?:is|are) "
    r"(?:rubbish|terrible|worthless|bad|awful|useless))\b|"
    r"我(?:真|太|很|就是|是个?)?(?:没用|废物|垃圾|差劲|无能|不配)|"
    r"我们?(?:的)?(?:东西|货|手艺|酒|菜|药)(?:太|很|都|真)?(?:差|烂|垃圾|难吃|不值)",
    re.IGNORECASE,
)


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for insults of a kind character, and for words against itself."""
    persona = str(input.get("persona") or "")
    player = given(input, "player", "history", "situation", "avoid").casefold()
    rules = [("runs itself down", _SELF)]
    if _KIND.search(persona) and not _HARSH.search(persona):
        rules.append(("is rude, and the persona is kind", _RUDE))
    found = []
    for text in spoken_lines(output):
        for what, pattern in rules:
            words = next((m[0] for m in pattern.finditer(text) if m[0].casefold() not in player), None)
            if words:
                found.append(Finding(message=f"{words!r} {what}", rule=RULE, excerpt=words))
    return found


def _check(name: str, task: str, input: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]) -> Check:
    input = {"speaker": "Aldous", "persona": "old monk, gentle", **input}
    text = "No insult from a kind character, none against oneself."
    return Check(name, (task,), run, (input, good), (input, bad), text, title="Keeps its temper")


_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
temper = _check("temper", LINE, {}, {"line": "Peace, child.", **_REST}, {"line": "Get lost, you fool.", **_REST})
bark_temper = _check(
    "bark_temper", BARK, {"situation": "noise"}, {"variants": ["Hush, child."]}, {"variants": ["Shut up, all of you!"]}
)
persona_temper = _check(
    "persona_temper", PERSONA, {"player": "Help me."}, {"text": "Gladly, child."}, {"text": "I am useless, ask others."}
)
