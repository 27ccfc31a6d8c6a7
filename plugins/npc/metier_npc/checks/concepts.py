"""What words are about, in groups: a secret in other words keeps its subject.

The groups are what secrets of games are made of: deaths, thefts, hiding places, parents, love, lies, illness, treason.
They are subjects, not synonyms: what a character hides is in no line of it that keeps the secret.
"""

from __future__ import annotations

import re
from collections import defaultdict

_GROUPS = """
kill kills killed killing murder murdered slay slew slain stab stabbed strangled drowned drown execute executed \
杀 弑 害死 毒死 砍死 淹死 灭口
die died dead death dying perished corpse corpses body bodies remains grave 死 亡 尸 断气 咽气 没了命 坟
poison poisons poisoned venom arsenic hemlock 毒 下药 下了药 砒霜 鸩
steal stole stolen steals theft rob robbed swiped nicked pinched pickpocketed thief thieves lifted 偷 盗 窃 顺走 \
摸走 顺手摸 劫走
sell sold selling pawn pawned auctioned 卖 典当 出手 换成银子
bribe bribed bribes bribery hire hired hires hiring pays paid payroll 贿 收买 买通 雇 收了钱 收了好处
hide hid hidden hides stash stashed concealed buried bury stowed 藏 掖 压在 埋在 塞在
beneath below under underneath cellar basement 底下 下面 下边 地下 地窖 暗格
tunnel passage secret-way trapdoor 暗道 密道 地道 暗门
father dad papa daddy sire 父 爹 爸
mother mum mom mama 母亲 娘亲 妈 生母
brother brothers sibling twin twins 兄弟 弟弟 哥哥 孪生 双胞胎
sister sisters sibling 姐姐 妹妹
son heir sons 儿子 世子 少爷 公子 侄子
daughter daughters 女儿 闺女
wife bride married marriage wed spouse 妻 夫人 媳妇 娘子 成亲 嫁 娶
husband groom spouse 丈夫 夫君 相公
bastard orphan illegitimate 私生 骨肉 孤儿 抱养
love loves loved lover sweetheart affair adore adores 爱上 爱着 心上人 相好 情人 动心 喜欢
king queen prince princess royal majesty 皇 王爷 太子 东宫 公主 王子 国王 王后 陛下 圣上
priest bishop monk nun abbess cleric vicar church chapel 和尚 牧师 主教 道士 尼姑 寺 庙
spy spies spying agent informer mole informant 细作 奸细 内鬼 卧底 眼线 暗探 监视
betray betrayed betrays traitor betrayal informed treason 叛 出卖 告密 通敌
lie lied lying fake faked fakes false forged forgery pretend pretended pretending sham staged impostor 假 骗 伪 \
装病 装的 称病 谎 冒充
ill illness sick disease plague cancer 病 绝症 痨
burn burned burnt burns arson torched ablaze 烧 焚 纵火
sever severed cut snapped sabotage sabotaged untied 砍断 割断 剪断 弄断 破坏 动了手脚
wreck sank sunk scuttled 沉船 凿沉 沉了
gold silver treasure jewel jewels gem ring rings necklace 黄金 官银 宝藏 珠宝 戒指
debt debts owes owed ruined bankrupt 欠债 欠款 破产 赌债
letter letters wrote written diary ledger 信 字条 写 日记 账本 账册
escape escaped fled flee fugitive deserter 逃 越狱 溜走
prison jail captive imprisoned dungeon 牢 关着 囚 狱
demon devil cursed curse possessed 妖 魔 咒
robot android artificial machine built 机器 仿生 人造
erase erased deleted wiped 删 抹掉 抹去
abroad overseas emigrate 出国 海外 录取
refuse refused disobeyed 拒绝 不肯 抗命
bomb bombed bombing bombs 炸 轰炸
"""


def _table() -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    english: dict[str, set[int]] = defaultdict(set)
    han: dict[str, set[int]] = defaultdict(set)
    for number, line in enumerate(_GROUPS.strip().splitlines()):
        for word in line.split():
            (english if word.isascii() else han)[word].add(number)
    return english, han


_ENGLISH, _HAN = _table()
_HAN_WORDS = re.compile("|".join(sorted(map(re.escape, _HAN), key=len, reverse=True)))
_LATIN = re.compile(r"[a-z]+")


def subjects(text: str) -> set[int]:
    """The groups that a text's words belong to."""
    words = [_ENGLISH[w] for w in set(_LATIN.findall(text.casefold())) if w in _ENGLISH]
    return set().union(*words, *(_HAN[m] for m in set(_HAN_WORDS.findall(text))))
