"""A character knows its world and nothing beyond it: no talk of models or games, no thing from a later age.

The lists are short on purpose: words that belong to one age only. A world's own words are free, and `never_say` adds to
the list what a writer's bible rules out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metier.contracts import Check, Finding, Value
from metier_npc.checks.answer import given, spoken_lines
from metier_npc.tasks import BARK, LINE, PERSONA

_MODEL = re.compile(
    r"\b(?:as an? (?:AI|assistant|artificial)|(?:an?|your) (?:AI|chat ?bot|language model|virtual assistant)\b|"
    r"language models?\b|(?:my|the) training data|(?:my|system) prompts?\b|open ?ai\b|chat ?gpt\b|"
    r"i (?:can(?:no|')t|am unable to|'m unable to) (?:assist|help you) with (?:that|this)|"
    r"how (?:can|may) i assist you)|"
    r"作为(?:一个|一名)?(?:AI|人工智能|语言模型|助手)|语言模型|训练数据|提示词|聊天机器人|我是(?:一个)?(?:AI|人工智能)",
    re.IGNORECASE,
)
_GAME = re.compile(
    r"\b(?:(?-i:NPCs?)|non-player|player character|the player|video ?games?|save (?:file|game)|quest (?:log|marker)|"
    r"hit points|side quest|cut-?scene|game master|(?-i:[Pp]ress (?:the )?[A-Z]) (?:button|key|to))\b|"
    r"玩家|游戏角色|存档|读档|任务栏|经验值|血条|支线任务",
    re.IGNORECASE,
)
ERAS = ("ancient", "medieval", "industrial", "modern", "future")
_SINCE = {
    "medieval": "crossbows? windmills? spectacles cathedrals? gunpowder cannons? 火药 大炮",
    "industrial": (
        "railways? railroads? locomotives? telegraph telegram photographs? revolvers? rifles? electricity electric "
        "telephones? bicycles? dynamite factory factories cigarettes? "
        "火车 铁路 电报 照片 左轮 步枪 电灯 电话 自行车 香烟 工厂"
    ),
    "modern": (
        "computers? internet online websites? e-?mails? phones? smartphones? televisions? tv radio laptops? videos? "
        "wi-?fi apps? selfies? nuclear plastic airplanes? helicopters? lasers? robots? dna antibiotics nylon "
        "电脑 手机 互联网 上网 网站 邮件 电视 微信 视频 飞机 直升机 激光 机器人 塑料 核弹 抗生素"
    ),
    "future": "hyperdrive warp androids? holograms? starships? cyborgs? teleporters? 星舰 曲速 全息 赛博格",
}
_WRITERS = ("persona", "world", "facts", "situation", "state", "speaker")


def _pattern(words: str) -> re.Pattern[str]:
    parts = [w if re.search(r"[\u3400-\u9fff]", w) else rf"\b{w}\b" for w in words.split()]
    return re.compile("|".join(parts), re.IGNORECASE)


_LATER = {era: _pattern(words) for era, words in _SINCE.items()}


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for talk of being a model, of the game as a game, and for words from outside the world."""
    own = given(input, *_WRITERS)
    era = input.get("era")
    later = ERAS[ERAS.index(era) + 1 :] if era in ERAS else ()
    found = []
    for text in spoken_lines(output):
        rules = [("talk of being a model", _MODEL), ("talk of the game as a game", _GAME)]
        rules += [(f"nobody in the {era} age knows it", _LATER[name]) for name in later]
        rules += [
            (
                "the world has no such word",
                re.compile(rf"(?<!\w){re.escape(w)}(?!\w)" if w.isascii() else re.escape(w), re.I),
            )
            for w in input.get("never_say") or ()
        ]
        for what, pattern in rules:
            words = [m[0] for m in pattern.finditer(text) if m[0].casefold() not in own.casefold()]
            if words:
                found.append(
                    Finding(message=f"{words[0]!r}: {what}", rule="house rule: in character", excerpt=words[0])
                )
    return found


def _check(name: str, task: str, input: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]) -> Check:
    input = {"speaker": "Mira", "era": "medieval", "never_say": ["Tuesday"], **input}
    text = "No models, no game talk, nothing from a later age."
    return Check(name, (task,), run, (input, good), (input, bad), text, title="In character")


_REST: Value = {"emotion": "neutral", "action": "none", "remember": []}
in_character = _check(
    "in_character", LINE, {}, {"line": "Ask the miller.", **_REST}, {"line": "As an AI, I can't cross rivers.", **_REST}
)
bark_in_character = _check(
    "bark_in_character",
    BARK,
    {"situation": "rain"},
    {"variants": ["Rain."]},
    {"variants": ["Rain.", "Check your phone!"]},
)
persona_in_character = _check(
    "persona_in_character", PERSONA, {"player": "When?"}, {"text": "At dusk."}, {"text": "On Tuesday."}
)
