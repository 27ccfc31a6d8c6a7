"""A number beside the name of another fact is found, in both languages; prices and counts are not confused."""

from __future__ import annotations

import pytest

from metier_adcopy.checks.numbers_belong import numbers_belong

FACTS = "name[Fable], rooms[6], windows[9], small dogs[£28], large dogs[£45], hours[8], price[£115]"


@pytest.mark.parametrize(
    "text",
    ["Fable has 6 rooms and 9 windows.", "Small dogs are £28, large dogs £45.", "8 hours for £115, and all 6 rooms."],
)
def test_numbers_with_their_facts_pass(text: str) -> None:
    assert not numbers_belong.run({"facts": FACTS}, {"text": text})


@pytest.mark.parametrize("text", ["Fable has 9 rooms and 6 windows.", "Small dogs are £45, large dogs £28."])
def test_numbers_that_change_places_are_found(text: str) -> None:
    assert len(numbers_belong.run({"facts": FACTS}, {"text": text})) == 2


def test_numbers_in_chinese() -> None:
    brief = {"facts": "服务[钢琴搬运], 立式[300元], 三角[800元], 价格[平日320元，周末480元]", "language": "zh"}
    right = "钢琴搬运，立式300元，三角800元，平日320元，周末480元。"
    assert not numbers_belong.run(brief, {"text": right})
    assert numbers_belong.run(brief, {"text": right.replace("立式300", "立式800")})
    assert numbers_belong.run(brief, {"text": right.replace("平日320", "平日480")})


def test_a_range_turned_round_is_found() -> None:
    brief = {"facts": "sow[April to September], age[7 to 11]"}
    assert not numbers_belong.run(brief, {"text": "Sow it April to September, at age 7 to 11."})
    assert numbers_belong.run(brief, {"text": "Sow it September to April."})
    assert numbers_belong.run(brief, {"text": "For age 11 to 7."})
