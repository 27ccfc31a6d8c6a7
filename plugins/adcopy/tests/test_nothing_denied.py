"""Denials of what the brief affirms are found, and negations that are lost; turns of phrase are neither."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.nothing_denied import nothing_denied

DISH = {
    "facts": "name[Fenwick], product[pie dish], material[enamelled steel], oven safe[up to 250 °C], lid[included], "
    "dishwasher safe[no], handles[not supplied]"
}
RIGHT = "Fenwick is an enamelled steel pie dish, oven safe up to 250 °C, lid included. Not dishwasher safe; no handles."
SNACK = {"facts": "名称[半糖饼干], 口味[黄油], 坚果[不含], 包装[独立包装], 冷藏[不可冷冻]", "language": "zh"}


@pytest.mark.parametrize(
    "text",
    [
        RIGHT,
        "No fuss, no drama: Fenwick is not just a dish. Handles are not supplied.",
        "That crust is not going to bake itself. Handles are not supplied.",
        "No handles in a box with an enamelled steel pie dish.",
    ],
)
def test_what_the_brief_denies_may_be_denied_and_so_may_moods(text: str) -> None:
    assert not nothing_denied.run(DISH, {"text": text})


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("is an enamelled", "is not an enamelled"),
        ("oven safe", "not oven safe"),
        ("lid included", "the lid is not included"),
        ("no handles", "with handles"),
    ],
)
def test_a_fact_turned_round_is_found(was: str, becomes: str) -> None:
    assert nothing_denied.run(DISH, {"text": RIGHT.replace(was, becomes)})


def test_denials_in_chinese() -> None:
    right = "半糖饼干黄油口味，不含坚果，独立包装带着走，不可冷冻，不甜不腻。"
    assert not nothing_denied.run(SNACK, {"text": right})
    for was, becomes in (
        ("独立包装", "没有独立包装"),
        ("黄油口味", "不是黄油口味"),
        ("不可冷冻", "可冷冻"),
        ("独立包装", "无包装"),
    ):
        assert nothing_denied.run(SNACK, {"text": right.replace(was, becomes)}), becomes
