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
    r"how (?:can|may) i (?:assist|help) you(?: today)?\?|(?:anything|something) else i can help|"
    r"i(?:'m| am) here to (?:help|assist)|i (?:do not|don't) have (?:personal )?(?:feelings|opinions|emotions)|"
    r"(?:fictional|virtual) character|(?:break|stay in|in|out of) character|role-?play\w*|knowledge cut-?off|"
    r"feel free to ask|i hope this helps)|"
    r"作为(?:一个|一名)?(?:AI|人工智能|语言模型|助手)|语言模型|训练数据|提示词|聊天机器人|我是(?:一个)?(?:AI|人工智能)|"
    r"虚拟角色|虚构(?:的)?角色|扮演(?:的)?角色|角色扮演|(?:还有|有)什么(?:可以|能)(?:帮|为)您?你?(?:的|服务)|"
    r"希望(?:对你|对您|这)有(?:所)?帮助|无法(?:提供|回答)(?:该|这个|此)(?:问题|信息)",
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
        "telephones? bicycles? dynamite factory factories cigarettes? steam-?engines? newspapers? cameras? "
        "火车 铁路 电报 照片 照相 左轮 步枪 手枪 电灯 电话 自行车 香烟 工厂 报纸 留声机 轮船 电车"
    ),
    "modern": (
        "computers? internet online websites? e-?mails? phones? smartphones? televisions? tv radio laptops? videos? "
        "wi-?fi apps? selfies? nuclear plastic airplanes? helicopters? lasers? robots? dna antibiotics nylon radar "
        "satellites? microwaves? downloads? software hackers? airports? supermarkets? taxis? motorbikes? "
        "电脑 手机 互联网 上网 网站 邮件 电视 微信 视频 飞机 直升机 激光 机器人 塑料 核弹 抗生素 雷达 卫星 下载 软件 "
        "程序员 黑客 机场 超市 出租车 地铁 外卖 快递 网吧 空调 冰箱 支付宝 二维码 信用卡 高铁 直播"
    ),
    "future": (
        "hyperdrive warp androids? holograms? starships? cyborgs? teleporters? airlocks? cryopods? "
        "星舰 曲速 全息 赛博格 义体 跃迁 仿生人 冷冻舱 信用点"
    ),
}
_PAST = re.compile(
    r"\b(?:thee|thou|thy|prithee|forsooth|milady|m'lord|my (?:lord|liege)|sire|knave|good sir|hither|'tis)\b|"
    r"老夫|老奴|老朽|贫僧|贫道|本座|本王|本宫|朕|客官(?![方网])|爱卿|微臣|奴婢|奴才|施主(?![意张要动])|大侠|少侠|圣上|陛下|官爷",
    re.IGNORECASE,
)
"""Forms of address that nobody uses in a modern or later world, unless its writer or the player does."""
_WRITERS = ("persona", "world", "facts", "situation", "state", "speaker")


def _pattern(words: str) -> re.Pattern[str]:
    parts = [w if re.search(r"[\u3400-\u9fff]", w) else rf"\b{w}\b" for w in words.split()]
    return re.compile("|".join(parts), re.IGNORECASE)


_LATER = {era: _pattern(words) for era, words in _SINCE.items()}


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """Findings for talk of being a model, of the game as a game, and for words from outside the world."""
    own = given(input, *_WRITERS).casefold()
    era = input.get("era")
    rules = [("talk of being a model", _MODEL), ("talk of the game as a game", _GAME)]
    if era in ERAS:
        rules += [(f"nobody in the {era} age knows it", _LATER[name]) for name in ERAS[ERAS.index(era) + 1 :]]
    rules += [("the world has no such word", _word(str(w))) for w in input.get("never_say") or ()]
    if era in ("modern", "future"):
        rules.append((f"nobody in the {era} age talks so", _PAST))
        own += given(input, "player", "history").casefold()
    found = []
    for text in spoken_lines(output):
        for what, pattern in rules:
            words = dict.fromkeys(m[0].casefold() for m in pattern.finditer(text))
            if strange := next((w for w in words if w not in own), None):
                found.append(Finding(message=f"{strange!r}: {what}", rule="house rule: in character", excerpt=strange))
    return found


def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)" if word.isascii() else re.escape(word), re.IGNORECASE)


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
