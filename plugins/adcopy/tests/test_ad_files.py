"""Ad exports, relevance tables and shooting scripts: what becomes a sample, what a bad row, and at which line."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, DataError, Sample
from metier_adcopy.reading import AdsEditor, RelevanceTable, ScriptTable

HEAD = "\t".join(
    [
        *("Campaign", "Ad Group", "Keyword", "Criterion Type", "Headline 1", "Headline 2", "Headline 3"),
        *("Description 1", "Description 2", "Final URL"),
    ]
)


def export(path: Path, *rows: str) -> Path:
    """As the Editor writes it: UTF-16 with its mark, tabs, CRLF."""
    path.write_bytes("\r\n".join([HEAD, *rows, ""]).encode("utf-16"))
    return path


AD = "Spring\tShears\t\t\tGarden shears\tCarbon steel\tOrder today\tCuts straight.\tShop now.\thttps://www.x.example/a"


def test_an_ad_of_the_export_takes_its_ad_groups_keyword_and_address(tmp_path: Path) -> None:
    path = export(tmp_path / "e.csv", "Spring\tShears\t[garden shears]\tExact\t\t\t\t\t\t", AD)
    assert AdsEditor().accepts(path)
    (sample,) = AdsEditor().read(path)
    assert isinstance(sample, Sample) and sample.provenance and sample.provenance.line == 3
    assert sample.input == {"facts": "offer[Shears]", "page": "site[x.example]", "keyword": "garden shears"}
    assert sample.output == {
        "headlines": ["Garden shears", "Carbon steel", "Order today"],
        "descriptions": ["Cuts straight.", "Shop now."],
    }


def test_a_negative_keyword_is_none_and_inserted_keywords_read_as_their_default(tmp_path: Path) -> None:
    inserted = AD.replace("Garden shears", "{KeyWord:Hedge shears}")
    path = export(tmp_path / "e.csv", "Spring\tShears\tfree\tNegative Broad\t\t\t\t\t\t", inserted)
    (sample,) = AdsEditor().read(path)
    assert isinstance(sample, Sample) and "keyword" not in sample.input
    assert sample.output["headlines"] == ["Hedge shears", "Carbon steel", "Order today"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("Carbon steel", ""), "Headline 3"),
        (("Cuts straight.", "[]"), "Description 2"),
        (("Order today", "x" * 31), "Headline 3"),
        (("Order today", "汉" * 16), "Headline 3"),
        (("Shop now.", "y" * 91), "Description 2"),
        (("Shop now.", "Ends in {COUNTDOWN(2026)}"), "Description 2"),
        (("Spring\tShears", "\t"), "Ad Group"),
    ],
)
def test_an_ad_that_google_would_not_take_is_a_bad_row_between_good_ones(
    tmp_path: Path, change: tuple[str, str], field: str
) -> None:
    good, bad, after = AdsEditor().read(export(tmp_path / "e.csv", AD, AD.replace(*change), AD))
    assert isinstance(good, Sample) and isinstance(after, Sample) and isinstance(bad, BadRow)
    assert (bad.field, bad.provenance.line) == (field, 3) and bad.remedy


def test_a_column_of_facts_is_taken_before_the_ad_groups_name(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    header = "Facts,headline_1,HEADLINE 2,Headline3,Description Line 1,Description 2"
    texts = "One,Two,Three,Four.,Five."
    path.write_text(f"{header}\nname[Ironbark],{texts}\nno brackets,{texts}\n", "utf-8")
    good, bad = AdsEditor().read(path)
    assert isinstance(good, Sample) and good.input == {"facts": "name[Ironbark]"}
    assert isinstance(bad, BadRow) and bad.field == "facts"


@pytest.mark.parametrize(
    ("adapter", "name"),
    [(AdsEditor(), "Headline 1"), (RelevanceTable(), "query"), (ScriptTable(), "facts")],
)
def test_a_table_without_the_column_names_those_it_has(tmp_path: Path, adapter: AdsEditor, name: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("colour,size\nred,1\n", "utf-8")
    assert not adapter.accepts(path)
    with pytest.raises(DataError, match=f"no column {name}; the columns are colour, size") as caught:
        list(adapter.read(path))
    assert str(caught.value.where).startswith(str(path)) and caught.value.remedy


@pytest.mark.parametrize(
    ("written", "grade"),
    [("E", "exact"), ("substitute", "substitute"), ("1", "complement"),
     ("0", "irrelevant"), ("3.0", "exact"), ("搭配", "complement")],
)  # fmt: skip
def test_a_grade_may_be_a_name_a_letter_or_a_number(tmp_path: Path, written: str, grade: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"search term,product_title,esci_label\nmug,A mug,{written}\n", "utf-8")
    assert RelevanceTable().accepts(path)
    (sample,) = RelevanceTable().read(path)
    assert isinstance(sample, Sample)
    assert sample.input == {"query": "mug", "title": "A mug"} and sample.output == {"grade": grade}


@pytest.mark.parametrize(("row", "field"), [("mug,A mug,maybe", "label"), (",A mug,E", "query"), ("mug,,E", "title")])
def test_a_pair_without_query_title_or_grade_is_a_bad_row(tmp_path: Path, row: str, field: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"query,title,label\n{row}\n", "utf-8")
    (bad,) = RelevanceTable().read(path)
    assert isinstance(bad, BadRow) and (bad.field, bad.provenance.line) == (field, 2) and bad.remedy


def script(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["facts,say,stress,gesture,seconds", *rows, ""]), "utf-8")
    return path


def test_a_script_is_the_rows_from_one_with_facts_to_the_next(tmp_path: Path) -> None:
    path = script(
        tmp_path / "s.csv", "name[Mug],This is the mug.,mug,wave,00:02", ",Order it.,,,", "name[Jug],The jug.,,show,1s"
    )
    first, second = ScriptTable().read(path)
    assert isinstance(first, Sample) and isinstance(second, Sample)
    assert first.provenance and second.provenance and (first.provenance.line, second.provenance.line) == (2, 4)
    assert first.output["lines"] == [
        {"say": "This is the mug.", "stress": ["mug"], "gesture": "wave", "seconds": 2},
        {"say": "Order it.", "stress": [], "gesture": "none", "seconds": 1},
    ]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("name[Mug],The mug.,,cartwheel,2", "gesture"),
        ("name[Mug],The mug.,,show,soon", "seconds"),
        ("name[Mug],The mug.,,show,99", "seconds"),
        (f"name[Mug],{'x' * 161},,show,2", "say"),
        ("mug,The mug.,,show,2", "facts"),
    ],
)
def test_a_line_that_cannot_be_played_takes_its_script_with_it(tmp_path: Path, row: str, field: str) -> None:
    bad, good = ScriptTable().read(script(tmp_path / "s.csv", row, ",More.,,,", "name[Jug],The jug.,,show,1"))
    assert isinstance(good, Sample) and good.input == {"facts": "name[Jug]"}
    assert isinstance(bad, BadRow) and (bad.field, bad.provenance.line) == (field, 2) and bad.remedy
