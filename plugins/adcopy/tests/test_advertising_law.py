"""Absolute terms under China's Advertising Law, and the exemptions of the 2023 guide."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.advertising_law import run

TEA = {"facts": "名称[半亩茶], 产地[福鼎]"}


@pytest.mark.parametrize(
    "term",
    [
        "国家级",
        "最高级",
        "最佳",
        "顶级",
        "极品",
        "第一品牌",
        "全国销量第一",
        "独一无二",
        "最好",
        "最便宜",
        "最先进",
        "世界领先",
        "唯一",
        "NO.1",
        "史无前例",
        "万能",
    ],
)
def test_an_absolute_term_is_found_under_article_nine(term: str) -> None:
    found = run(TEA, {"text": f"半亩茶，{term}的白茶。"})
    assert found and all("第九条第（三）项" in (f.rule or "") for f in found)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("国宴专用的茶。", "第九条第（二）项"),
        ("包装印国旗。", "第九条第（一）项"),
        ("喝了降血糖。", "第十七条"),
        ("投茶稳赚。", "第二十五条"),
    ],
)
def test_other_bans_cite_their_own_article(text: str, rule: str) -> None:
    (finding,) = run(TEA, {"text": text})
    assert rule in (finding.rule or "")


@pytest.mark.parametrize(
    "text",
    [
        "我们追求最好的一杯茶。",  # 5: an aim
        "顾客第一，半亩茶。",  # 5: an attitude
        "本店最早上市的一款半亩茶。",  # 6(1): within one brand
        "最佳饮用温度90度。",  # 6(2): advice on use
        "最佳赏味期三天，最好冷藏。",
        "最近上新，最后三盒。",  # no comparison at all
        "最大承重150kg。",  # a limit, not a comparison
        "泡一壶，最是清闲。",
    ],
)
def test_what_the_guide_exempts_is_let_pass(text: str) -> None:
    assert not run(TEA, {"text": text})


def test_a_term_in_a_name_of_the_brief_passes_only_as_that_name() -> None:
    brief = {"facts": "名称[唯一书店], 称号[国家级非物质文化遗产]"}
    assert not run(brief, {"text": "唯一书店，国家级非物质文化遗产。"})
    assert run(brief, {"text": "唯一书店，城里唯一的书店。"})
    assert run(brief, {"text": "唯一书店，国家级享受。"})


def test_a_sales_figure_passes_only_with_its_time_and_from_the_brief() -> None:
    claim = "2024年全国销量第一"
    assert not run({"facts": f"名称[半亩茶], 销量[{claim}]"}, {"text": f"半亩茶，{claim}。"})
    assert run(TEA, {"text": f"半亩茶，{claim}。"})
    assert run({"facts": "名称[半亩茶], 销量[全国销量第一]"}, {"text": "半亩茶，全国销量第一。"})
