"""Copy that leaves a fact out, or turns it round, is found; copy that says it in other words is not."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from metier_adcopy.checks.facts_stated import run

E2E = Path(__file__).parents[3].parent / "shared" / "data" / "e2e" / "devset.csv"

STATED = [
    ("capacity[350 ml]", "It holds 350ml."),
    ("pieces[4]", "Four pieces, one box."),
    ("players[2 to 5]", "For two to five players."),
    ("pieces[1,000]", "A 1000-piece puzzle."),
    ("dishwasher safe[yes]", "It is dishwasher-safe."),
    ("dishwasher safe[no]", "It isn't dishwasher safe."),
    ("sugar[no]", "It is sugar-free."),
    ("assembly required[no]", "No assembly required."),
    ("no experience needed[yes]", "No experience is needed."),
    ("familyFriendly[yes]", "Children are welcome."),
    ("familyFriendly[no]", "It is for adults."),
    ("familyFriendly[no]", "Not suitable for families."),
    ("area[city centre]", "In the center of the city."),
    ("area[riverside]", "Down by the river."),
    ("priceRange[cheap]", "Prices are low."),
    ("priceRange[£20-25]", "Meals cost £20 to £25."),
    ("customer rating[5 out of 5]", "It has a five star rating."),
    ("near[The Bakers]", "It is near the Bakers."),
    ("name[Rosa's Kitchen]", "Welcome to Rosa’s Kitchen."),
    ("name[BRIGHTSIDE]", "Brightside keeps you dry."),
    ("colour[navvy blue]", "Navy blue."),
    ("flavours[sea salt, raspberry]", "Raspberry and sea salt."),
    ("material[cast iron 铸铁]", "Cast iron."),
    ("colour[]", "No colour is mentioned."),
    ("refundable[yes, against first project]", "It is refundable against your first project."),
    ("名称[云眠枕]", "云眠枕，今晚早点睡。"),
    ("可机洗[否]", "不可机洗。"),
    ("枕套可拆洗[是]", "枕套可拆洗。"),
    ("加糖[否]", "配料干净，不加糖。"),
    ("早餐[含]", "房价含早餐。"),
    ("风味[柑橘、红糖]", "入口有红糖和柑橘的味道。"),
    ("续航[40小时]", "续航40 小时。"),
    ("容量[500毫升]", "装得下500ml。"),
    ("价格[129元]", "只要￥129。"),
    ("thickness[6 mm]", "It is 6 millimetres thick."),
    ("waterproof[yes]", "It is not only waterproof, it floats."),
    ("dogs welcome[yes]", "There is no parking and dogs are welcome."),
    ("wifi[yes]", "It has wifi and no pets."),
    ("pets[no]", "It has neither wifi nor pets."),
]

LEFT_OUT = [
    ("capacity[350 ml]", "It holds 35 ml."),
    ("pieces[4]", "Five pieces, one box."),
    ("price[£24.99]", "It costs £24."),
    ("dishwasher safe[yes]", "It is not dishwasher safe."),
    ("dishwasher safe[no]", "It is dishwasher safe."),
    ("dishwasher safe[no]", "A mug for tea."),
    ("vegan[yes]", "It's not vegan."),
    ("wifi[no]", "There is wifi."),
    ("parking[no]", "There is parking and no dogs are welcome."),
    ("thickness[6 mm]", "It is 5 millimetres thick."),
    ("familyFriendly[no]", "It is family friendly."),
    ("familyFriendly[yes]", "It is not family friendly."),
    ("familyFriendly[yes]", "Adults only."),
    ("area[riverside]", "In the city centre."),
    ("priceRange[high]", "It is cheap, with a high customer rating."),
    ("customer rating[low]", "Low prices and an excellent rating."),
    ("name[Alimentum]", "Alimentus is a place to eat."),
    ("name[The Golden Palace]", "The Palace is golden."),
    ("near[Burger King]", "It is near the king's palace."),
    ("flavours[sea salt, raspberry]", "Raspberry."),
    ("colour[matte black]", "Black."),
    ("lid[slide]", "A tumbler with a lid."),
    ("名称[云眠枕]", "云枕，今晚早点睡。"),
    ("可机洗[否]", "可机洗，省心。"),
    ("可机洗[是]", "不可机洗。"),
    ("早餐[含]", "不含早餐。"),
    ("续航[40小时]", "续航4小时。"),
    ("风味[柑橘、红糖]", "入口有红糖味。"),
]


@pytest.mark.parametrize(("facts", "text"), STATED)
def test_a_fact_in_near_wording_counts_as_stated(facts: str, text: str) -> None:
    assert not run({"facts": facts}, {"text": text})


@pytest.mark.parametrize(("facts", "text"), LEFT_OUT)
def test_a_fact_left_out_or_turned_round_is_found(facts: str, text: str) -> None:
    (finding,) = run({"facts": facts}, {"text": text})
    assert facts in finding.message and finding.rule


def test_each_fact_left_out_is_a_finding_of_its_own() -> None:
    found = run({"facts": "name[Alimentum], area[city centre], food[Thai]"}, {"text": "Alimentum."})
    assert [f.message for f in found] == ["does not state area[city centre]", "does not state food[Thai]"]


def test_an_empty_text_states_nothing() -> None:
    assert len(run({"facts": "name[Alimentum], wifi[no], seats[30]"}, {"text": ""})) == 3


@pytest.mark.skipif(not E2E.exists(), reason="the E2E data set is not beside the repository")
def test_most_human_references_pass_and_a_changed_fact_is_nearly_always_found() -> None:
    with E2E.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    passing = [row for row in rows if not run({"facts": row["mr"]}, {"text": row["ref"]})]
    # Measured: 73 %. Those that fail leave a fact out (E2E's writers often do) or misspell a name.
    assert 0.68 < len(passing) / len(rows) < 0.80
    swaps = [
        ("familyFriendly[yes]", "familyFriendly[no]"), ("familyFriendly[no]", "familyFriendly[yes]"),
        ("area[riverside]", "area[city centre]"), ("food[English]", "food[Chinese]"),
        ("name[The Eagle]", "name[The Mill]"),
        ("near[Burger King]", "near[Café Rouge]"), ("customer rating[5 out of 5]", "customer rating[1 out of 5]"),
        ("customer rating[low]", "customer rating[high]"), ("priceRange[cheap]", "priceRange[high]"),
    ]  # fmt: skip
    for old, new in swaps:
        changed = [row for row in passing if old in row["mr"]]
        found = [row for row in changed if run({"facts": row["mr"].replace(old, new)}, {"text": row["ref"]})]
        assert len(found) >= 0.95 * len(changed) > 0, (old, new, len(found), len(changed))
