"""Absolute terms that China's Advertising Law forbids, and the cases in which the 2023 guide allows them.

中华人民共和国广告法 (2021 revision) article 9; 市场监管总局《广告绝对化用语执法指南》(2023, no. 6), whose
articles 5 and 6 list the exemptions. A screen for copy editors, not legal advice: what depends on proof, such as
sales figures, it lets pass only where the brief holds the claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from metier.contracts import Check, Finding
from metier.wording.words import normalise
from metier_adcopy.copy_of import pieces, sayable
from metier_adcopy.facts import Fact
from metier_adcopy.tasks import DESCRIBE, PRESENTER, SEARCH_ADS

_ABSOLUTE_RULE = "《中华人民共和国广告法》第九条第（三）项：不得使用“国家级”“最高级”“最佳”等用语"


class _Ban(NamedTuple):
    pattern: re.Pattern[str]
    rule: str


_BANS = (
    _Ban(
        re.compile(
            r"国家级|世界级|宇宙级|全球级|最高级|最佳|顶级|顶尖|极品|极致|至尊|绝无仅有|独一无二|无与伦比|史无前例|空前绝后|前无古人|"
            r"登峰造极|巅峰之作|天下第一|世界领先|全球领先|国际领先|行业领先|领导品牌|领袖品牌|第一品牌|"
            r"(?:全国|全球|全网|世界|中国|行业|国内|亚洲|销量|排名|口碑|质量|品质)(?:排名)?(?:第一|首家|首个|首创|冠军|之冠|之王)|"
            r"唯一(?!识别|码)|首选|(?<!之)王牌|万能|销量冠军|no\.?\s?1(?!\d)|top\s?1(?!\d)|"
            r"最(?:好|优|强|美|新(?!鲜)|先进|高(?!气温|温度)|低价|便宜|划算|大(?!承重|载重|容量|功率|支持|尺寸|长度|直径|续航)|"
            r"快|安全|有效|受欢迎|时尚|舒适|舒服|高端|专业|权威|流行|火|香|好吃|好喝|好用|健康|天然|纯净|轻薄|耐用|值得|具|优秀|优质)"
        ),
        _ABSOLUTE_RULE,
    ),
    _Ban(
        re.compile(r"国旗|国歌|国徽|军旗|军歌|军徽"),
        "《中华人民共和国广告法》第九条第（一）项：不得使用国旗、国歌、国徽，军旗、军歌、军徽",
    ),
    _Ban(
        re.compile(
            r"国家机关|国务院|中央领导|国家领导人|国宴(?:专用|指定)|人民大会堂(?:专用|指定)|军队(?:专用|特供)|特供|专供(?=机关|军)"
        ),
        "《中华人民共和国广告法》第九条第（二）项：不得使用国家机关、国家机关工作人员的名义或者形象",
    ),
    _Ban(
        re.compile(r"根治|治愈(?!系)|药到病除|疗效|包治|延年益寿|防癌|抗癌|降血[压糖脂]|消炎|治疗"),
        "《中华人民共和国广告法》第十七条：非医疗、药品、医疗器械广告不得涉及疾病治疗功能",
    ),
    _Ban(
        re.compile(r"保本|稳赚|零风险|无风险|保证收益"),
        "《中华人民共和国广告法》第二十五条：不得对未来效果、收益作出保证性承诺",
    ),
)

_CLAUSE = re.compile(r"[，。；！？、,;!?\n]|(?<!no)\.")
# Article 5: the seller's attitude, or an aim, not the goods.
_ATTITUDE = re.compile(
    r"追求|力求|争做|争创|努力|目标|立志|希望|愿|想|顾客第一|客户第一|安全第一|质量第一(?=的)|用户至上|尽最大|用心"
)
# Article 6(1): a comparison within one brand. 6(2): advice on use and storage.
_OWN = re.compile(r"(?:本店|我们家?|自家|我家|本品牌|同系列|全系列|本系列)(?:里|中|的)?[^，。]{0,6}最")
_ADVICE = re.compile(
    r"最佳(?:赏味|食用|饮用|使用|保存|品尝|冲泡|观赏|种植|播种|浏览|佩戴|洗涤)?(?:期|时间|温度|方法|方式|季节|时节|时期|效果期)|"
    r"最(?:好|佳)(?:在|于|用|先|别|不要|放|冷藏|当天|趁|搭配|提前|现|避)"
)
# Article 6(6): facts of time order or sales, with time and place named; they must then be in the brief.
_DATED = re.compile(r"(?:19|20)\d{2}\s?年|截至|连续\s?\d+\s?年")


def run(input: Mapping[str, Any], output: Mapping[str, Any]) -> Sequence[Finding]:
    """One finding per banned term that no exemption covers."""
    facts = sayable(input)
    return [finding for text in pieces(output) for finding in _findings(normalise(text), facts)]


def _findings(text: str, facts: Sequence[Fact]) -> Iterator[Finding]:
    names = [name for f in facts if _is_name(f.key) and (name := normalise(f.value))]
    held = " ".join(normalise(fact.value) for fact in facts)
    for start, clause in _clauses(text):
        # A clause is judged once, not once a term, so that the work stays linear.
        excused: bool | None = None
        dated: bool | None = None
        for ban in _BANS:
            for found in ban.pattern.finditer(clause):
                if ban.rule == _ABSOLUTE_RULE:
                    if excused is None:
                        excused = bool(_ATTITUDE.search(clause) or _OWN.search(clause) or _ADVICE.search(clause))
                    if excused or _named(text, start + found.start(), found[0], names):
                        continue
                    if found[0] in held:
                        dated = bool(_DATED.search(clause)) if dated is None else dated
                        if dated:
                            continue
                yield Finding(message=f"禁用语：{found[0]}", rule=ban.rule, excerpt=found[0])


def _clauses(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for stop in [*(m.end() for m in _CLAUSE.finditer(text)), len(text)]:
        yield start, text[start:stop]
        start = stop


def _is_name(key: str) -> bool:
    return bool(
        re.search(r"^(name|brand|title|model|型号|规格|专利|奖项|称号|等级|认证)$|名|品牌|商标", normalise(key))
    )


def _named(text: str, at: int, term: str, names: Sequence[str]) -> bool:
    """6(3) to 6(5): part of a name, trade mark, model, statutory grade or award that the brief holds."""
    for name in names:
        if term in name:
            window = text[max(0, at - len(name)) : at + len(name)]
            if len(name) <= _LONGEST_NAME and name in window:
                return True
    return False


_LONGEST_NAME = 80


advertising_law = Check(
    name="advertising_law",
    title="Complies with China's Advertising Law",
    tasks=(DESCRIBE, SEARCH_ADS, PRESENTER),
    run=run,
    passing=({"facts": "名称[半亩茶], 产地[福鼎]"}, {"text": "半亩茶，产地福鼎，最佳饮用温度自己试。"}),
    failing=({"facts": "名称[半亩茶], 产地[福鼎]"}, {"text": "半亩茶，产地福鼎，全国最佳白茶。"}),
    description="No absolute term under article 9 of China's Advertising Law, with the exemptions of the 2023 guide.",
)
