"""Google Merchant Center feeds, text and XML: what becomes a fact, where a row is, and how a broken feed is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, DataError, Sample
from metier_adcopy.reading import MerchantTable, MerchantXml

G = 'xmlns:g="http://base.google.com/ns/1.0"'


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def rss(*items: str) -> str:
    return f'<?xml version="1.0"?>\n<rss version="2.0" {G}>\n<channel>\n' + "\n".join(items) + "\n</channel>\n</rss>\n"


ITEM = "<item><g:id>1</g:id><title>Mug</title><description>A mug.</description><g:color>red</g:color></item>"


def test_an_rss_item_gives_its_facts_its_text_and_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "feed.xml", rss(ITEM, ITEM.replace("red", "blue")))
    one, two = MerchantXml().read(path)
    assert isinstance(one, Sample) and isinstance(two, Sample)
    assert one.input == {"facts": "name[Mug], colour[red]"} and one.output == {"text": "A mug."}
    assert one.provenance and two.provenance
    assert (one.provenance.line, two.provenance.line) == (4, 5)
    assert one.provenance.source.endswith("feed.xml")


def test_an_atom_feed_is_read_with_its_own_names(tmp_path: Path) -> None:
    atom = (
        f'<feed xmlns="http://www.w3.org/2005/Atom" {G}>\n<title>Shop</title>\n<entry><title>Mug</title>'
        "<summary>A mug.</summary><g:price>14.00 GBP</g:price><g:condition>new</g:condition></entry>\n</feed>"
    )
    (sample,) = MerchantXml().read(write(tmp_path / "a.xml", atom))
    assert isinstance(sample, Sample) and sample.input["facts"] == "name[Mug], price[£14]"


def test_googles_title_overrides_the_items_own(tmp_path: Path) -> None:
    item = "<item><title>Old</title><g:title>New</g:title><description>d</description></item>"
    (sample,) = MerchantXml().read(write(tmp_path / "a.xml", rss(item)))
    assert isinstance(sample, Sample) and sample.input["facts"] == "name[New]"


def test_html_in_a_description_is_taken_out_and_details_become_facts(tmp_path: Path) -> None:
    item = (
        "<item><title>Mug</title><description>&lt;p&gt;Tea &amp;amp; &lt;b&gt;toast&lt;/b&gt;&lt;/p&gt;</description>"
        "<g:product_detail><g:section_name>General</g:section_name><g:attribute_name>Handle</g:attribute_name>"
        "<g:attribute_value>left</g:attribute_value></g:product_detail>"
        "<g:product_type>Home &gt; Kitchen &gt; Mugs</g:product_type></item>"
    )
    (sample,) = MerchantXml().read(write(tmp_path / "a.xml", rss(item)))
    assert isinstance(sample, Sample)
    assert sample.output["text"] == "Tea & toast"
    assert sample.input["facts"] == "name[Mug], Handle[left], type[Mugs]"


@pytest.mark.parametrize(
    ("item", "field"),
    [("<item><title>Mug</title></item>", "description"), ("<item><description>A mug.</description></item>", "title")],
)
def test_an_item_without_title_or_text_is_a_bad_row_between_good_ones(tmp_path: Path, item: str, field: str) -> None:
    good, bad, after = MerchantXml().read(write(tmp_path / "a.xml", rss(ITEM, item, ITEM)))
    assert isinstance(good, Sample) and isinstance(after, Sample) and isinstance(bad, BadRow)
    assert (bad.field, bad.provenance.line) == (field, 5) and bad.remedy


def test_a_broken_tag_is_an_error_with_its_line_after_the_items_before_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", rss(ITEM * 3000, "<item><title>Mug</item>"))
    reader = MerchantXml().read(path)
    assert isinstance(next(reader), Sample)
    with pytest.raises(DataError, match=r"not well-formed") as caught:
        list(reader)
    assert caught.value.where == f"{path}:5" and caught.value.remedy


def test_an_entity_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    bomb = f'<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n<rss {G}><channel>&b;</channel></rss>'
    with pytest.raises(DataError, match="document type"):
        list(MerchantXml().read(write(tmp_path / "a.xml", bomb)))


@pytest.mark.parametrize(
    "text", ["", "<html/>", "no xml", "<rss>", "\0\0", '<?xml version="1.0" encoding="no-such"?><rss/>']
)
def test_what_is_no_feed_is_an_error_with_file_and_line(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.xml", text)
    with pytest.raises(DataError) as caught:
        list(MerchantXml().read(path))
    assert str(caught.value.where).startswith(f"{path}:")


def test_a_utf16_feed_is_recognised_and_read(tmp_path: Path) -> None:
    text = rss(ITEM).replace('version="1.0"?', 'version="1.0" encoding="utf-16"?', 1)
    path = write(tmp_path / "a.xml", text, "utf-16")
    assert MerchantXml().accepts(path)
    assert [type(row) for row in MerchantXml().read(path)] == [Sample]


def test_a_text_feed_is_distinguished_from_a_catalogue_by_its_attributes(tmp_path: Path) -> None:
    feed = write(tmp_path / "feed.tsv", "id\ttitle\tdescription\tg:image link\nA\tMug\tA mug.\thttps://x/1.jpg\n")
    other = write(tmp_path / "list.tsv", "title\tdescription\nMug\tA mug.\n")
    assert MerchantTable().accepts(feed) and not MerchantTable().accepts(other)
    (sample,) = MerchantTable().read(feed)
    assert isinstance(sample, Sample) and sample.provenance
    assert sample.input == {"facts": "name[Mug]"} and sample.provenance.line == 2


def test_a_text_feed_without_a_description_column_names_the_columns_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "feed.tsv", "id\ttitle\nA\tMug\n")
    with pytest.raises(DataError, match="no column description; the columns are id, title") as caught:
        list(MerchantTable().read(path))
    assert caught.value.where == f"{path}:1"
