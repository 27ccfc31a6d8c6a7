"""Policy documents: headings stay with their passages, lines are right, and a question finds its passage."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import DataError, MetierError
from metier.data.passages import LONGEST, Block, passages_of
from metier_support.policies import PassageIndex, read_passages

EXAMPLES = Path(__file__).parents[1] / "metier_support" / "examples"
MARKDOWN = EXAMPLES / "policy.md"
HTML = EXAMPLES / "policy.html"


@pytest.mark.parametrize("path", [MARKDOWN, HTML], ids=["markdown", "html"])
def test_headings_stay_with_the_passage_below_them(path: Path) -> None:
    passages = list(read_passages(path))
    refunds = next(p for p in passages if "5 working days" in p.text)
    assert refunds.headings == ("Harbour & Pine help", "Returns", "Refunds")
    assert len({p.id for p in passages}) == len(passages)


@pytest.mark.parametrize("path", [MARKDOWN, HTML], ids=["markdown", "html"])
def test_the_line_of_a_passage_is_where_it_starts(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for passage in read_passages(path):
        assert passage.provenance.line
        assert passage.text.split()[0].strip("|") in lines[passage.provenance.line - 1]


def test_a_table_row_becomes_text_cell_by_cell() -> None:
    assert any("Express | 1 working day | £6.95." in p.text for p in read_passages(MARKDOWN))
    assert any("Express | 1 working day | £6.95" in p.text for p in read_passages(HTML))


def test_scripts_and_menus_are_no_policy() -> None:
    text = " ".join(p.text for p in read_passages(HTML))
    assert "track(" not in text and "Basket" not in text and "10% & more" in text


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("when do i get my money refunded", "5 working days"),
        ("how much is express delivery?", "£6.95"),
        ("my lamp is damaged, what now", "damaged"),
    ],
)
def test_a_question_finds_its_passage_first(question: str, words: str) -> None:
    index = PassageIndex(read_passages(MARKDOWN))
    assert words in index.search(question)[0].text


def test_a_chinese_question_finds_its_passage(tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("# 帮助\n## 退货\n七天内可退。\n## 发票\n发票三日内开出。\n", encoding="utf-8")
    found = PassageIndex(read_passages(path)).search("我要开发票")
    assert found[0].headings == ("帮助", "发票")
    assert found[0].as_input() == {"id": "P2", "heading": "帮助 > 发票", "text": "发票三日内开出。"}


def test_a_question_about_nothing_in_the_policy_finds_nothing() -> None:
    index = PassageIndex(read_passages(MARKDOWN))
    assert index.search("zzz qqq") == [] and index.search("") == [] and PassageIndex([]).search("refund") == []


def test_a_long_section_is_split_and_nothing_is_lost() -> None:
    text = " ".join(f"Sentence number {n} of the policy." for n in range(100))
    passages = list(passages_of([Block(1, "Terms", 1), Block(0, text, 2)], "p.md"))
    assert len(passages) > 4 and all(len(p.text) <= LONGEST and p.headings == ("Terms",) for p in passages)
    assert " ".join(p.text for p in passages) == text


def test_a_page_in_the_encoding_that_it_declares_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.html"
    path.write_bytes(
        '<meta charset="iso-8859-1"><h1>Café</h1><p>Retour: 5 €uros, à coûter.</p>'.replace("€", "").encode("latin-1")
    )
    (passage,) = read_passages(path)
    assert passage.headings == ("Café",) and passage.text == "Retour: 5 uros, à coûter."


def test_documents_that_installed_packages_ship_are_read() -> None:
    site = Path(pytest.__file__).parents[1]
    files = [*islice(site.rglob("*.md"), 40), *islice(site.rglob("*.html"), 40)]
    if not files:
        pytest.skip("no installed package ships a Markdown or HTML file")
    read = 0
    for file in files:
        try:
            passages = list(read_passages(file))
        except DataError as error:
            assert str(file) in str(error.where)
            continue
        read += 1
        lines = len(file.read_bytes().splitlines()) + 1
        assert all(p.provenance.line and p.provenance.line <= lines for p in passages)
        assert [p.provenance.line for p in passages] == sorted(p.provenance.line or 0 for p in passages)
    assert read > len(files) / 2


@pytest.mark.parametrize("name", ["p.docx", "gone.md"])
def test_a_file_that_is_no_policy_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(read_passages(tmp_path / name))
    assert name in str(caught.value.where) and caught.value.remedy


@pytest.mark.parametrize("path", [MARKDOWN, HTML], ids=["markdown", "html"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_give_passages_or_an_error_with_the_place(
    path: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    noise = data.draw(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b"<![", b"<!--", b'<meta charset="hex">', b'<meta charset="gbk">', b"|", b"#", b"\0", b"- " * 50]
            ),
        )
    )
    file = tmp_path_factory.mktemp("fuzz") / path.name
    cases = [content[:start] + noise + content[start:], noise, content[:start] + noise]
    file.write_bytes(data.draw(st.sampled_from(cases)))
    try:
        passages = list(read_passages(file))
    except MetierError as error:
        assert str(file) in str(error.where)
        return
    assert all(p.text and p.provenance.line and len(p.text) <= LONGEST for p in passages)
