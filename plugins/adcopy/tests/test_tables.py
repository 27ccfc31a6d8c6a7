"""Catalogues and meaning representations: whatever the columns are called, each row keeps its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, DataError, Sample
from metier_adcopy.reading import Catalogue, MeaningRepresentations


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_each_meaning_representation_is_a_sample_of_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "e2e.csv", 'mr,ref\n"name[Alimentum], area[riverside]",By the river: Alimentum.\n')
    assert MeaningRepresentations().accepts(path)
    (sample,) = MeaningRepresentations().read(path)
    assert isinstance(sample, Sample) and sample.provenance and sample.provenance.line == 2
    assert sample.input == {"facts": "name[Alimentum], area[riverside]"}
    assert sample.output == {"text": "By the river: Alimentum."}


@pytest.mark.parametrize(
    ("row", "field"),
    [("name(Alimentum),text", "mr"), ("name[Alimentum],", "ref"), ("name[],text", "mr"), (",text", "mr")],
)
def test_a_row_that_cannot_be_read_is_a_bad_row_with_its_field(tmp_path: Path, row: str, field: str) -> None:
    good = "name[Alimentum],Alimentum."
    path = write(tmp_path / "e2e.csv", f"mr,ref\n{good}\n{row}\n{good}\n")
    one, bad, two = MeaningRepresentations().read(path)
    assert isinstance(one, Sample) and isinstance(two, Sample) and isinstance(bad, BadRow)
    assert (bad.field, bad.provenance.line) == (field, 3) and bad.remedy


def test_a_table_without_references_names_the_columns_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "e2e.csv", "mr,text\nname[A],A.\n")
    assert not MeaningRepresentations().accepts(path)
    with pytest.raises(DataError, match="no column ref; the columns are mr, text"):
        list(MeaningRepresentations().read(path))


def test_english_headers_become_facts_and_identifiers_stay_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.csv",
        "SKU,Product Name,Retail Price (GBP),Color,Care_Label,Image URL,Body HTML\n"
        "1,Mug,14,red,hand wash,http://x,<p>A mug</p>\n",
    )
    assert Catalogue().accepts(path)
    (sample,) = Catalogue().read(path)
    assert isinstance(sample, Sample)
    assert sample.input["facts"] == "name[Mug], Retail Price[14 GBP], colour[red], Care Label[hand wash]" or (
        sample.input["facts"] == "name[Mug], price[14 GBP], colour[red], Care Label[hand wash]"
    )
    assert sample.output["text"] == "A mug"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_headers_keep_their_own_words_in_any_usual_encoding(tmp_path: Path, encoding: str) -> None:
    rows = "".join(f"云朵抱枕{n},木白,59,米色,{n},木白云朵抱枕{n}，米色，59元，抱着就困。\n" for n in range(20))
    path = write(tmp_path / "c.csv", "商品名,品牌,价格（元）,颜色,库存,描述\n" + rows, encoding)
    first, *rest = Catalogue().read(path)
    assert isinstance(first, Sample) and len(rest) == 19
    assert first.input == {"facts": "商品名[云朵抱枕0], 品牌[木白], 价格[59 元], 颜色[米色]", "language": "zh"}


def test_audience_tone_and_limit_columns_go_into_the_brief(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "name,description,audience,tone,max_chars\nMug,A mug.,tea people,dry,90\n")
    (sample,) = Catalogue().read(path)
    assert isinstance(sample, Sample)
    assert sample.input == {"facts": "name[Mug]", "audience": "tea people", "tone": "dry", "max_chars": 90}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (",A mug.,9", "name"),
        ("Mug,,9", "description"),
        ("Mug,A mug.,ninety", "max_chars"),
        ("Mug,A mug.,0", "max_chars"),
    ],
)
def test_a_product_without_name_or_text_or_with_an_odd_limit_is_a_bad_row(tmp_path: Path, row: str, field: str) -> None:
    (bad,) = Catalogue().read(write(tmp_path / "c.csv", f"name,description,max_chars\n{row}\n"))
    assert isinstance(bad, BadRow) and bad.field == field and bad.provenance.line == 2 and bad.remedy


def test_brackets_in_a_cell_do_not_break_the_notation(tmp_path: Path) -> None:
    (sample,) = Catalogue().read(write(tmp_path / "c.csv", 'name,size,description\nMug [L],"3, 4 [cm]",A mug.\n'))
    assert isinstance(sample, Sample) and sample.input["facts"] == "name[Mug (L)], size[3, 4 (cm)]"


def test_a_spreadsheet_is_a_catalogue_too(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (
        ["Title", "Weight", "Description"],
        ["Mug", 350.0, "A mug of 350."],
        [None, None, None],
        ["Jug", 2.5, None],
    ):
        sheet.append(row)
    book.save(tmp_path / "c.xlsx")
    rows = list(Catalogue().read(tmp_path / "c.xlsx"))
    assert isinstance(rows[0], Sample) and rows[0].input["facts"] == "name[Mug], weight[350]"
    assert isinstance(rows[-1], BadRow) and rows[-1].provenance.line == 4
