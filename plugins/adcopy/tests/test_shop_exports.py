"""Product exports as shop systems write them: what is a fact, what is not, and which rows are one product."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, Sample
from metier_adcopy.reading import Catalogue, MerchantTable, MerchantXml, Shopify, WooCommerce
from metier_adcopy.reading.samples_from import plain_text


def written(tmp_path: Path, name: str, content: str) -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_shopify_s_variants_and_images_belong_to_their_product(tmp_path: Path) -> None:
    path = written(
        tmp_path, "a.csv",
        "Handle,Title,Body (HTML),Vendor,Type,Tags,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,"
        "Variant Price,Variant Inventory Qty,Image Src,Cost per item,SEO Title,"
        "Fabric (product.metafields.custom.fabric)\n"
        "tee,Linen tee,<p>Cool.</p>,Onda,Tee,summer,Color,White,Size,S,T1,20.00,4,https://x/1.jpg,7,Buy,linen\n"
        "tee,,,,,,,White,,M,T2,20.00,0,,7,,\n"
        "tee,,,,,,,Navy,,M,T3,20.00,1,https://x/2.jpg,7,,\n"
        "mug,Mug,<p>Blue.</p>,,,,Title,Default Title,,,M1,9.00,2,,3,,\n"
        "nameless,,<p>Who?</p>,,,,,,,,,,,,,,\n",
    )  # fmt: skip
    assert Shopify().accepts(path)
    tee, mug, bad = Shopify().read(path)
    assert tee.input["facts"] == (
        "name[Linen tee], brand[Onda], type[Tee], colour[White, Navy], size[S, M], price[20.00], material[linen]"
    )
    assert tee.output["text"] == "Cool."
    assert mug.input["facts"] == "name[Mug], price[9.00]"
    assert isinstance(bad, BadRow)


def test_woocommerce_s_variations_and_attributes(tmp_path: Path) -> None:
    path = written(
        tmp_path, "a.csv",
        "ID,Type,SKU,Name,Published,Description,In stock?,Stock,Weight (kg),Regular price,Categories,Images,"
        "Attribute 1 name,Attribute 1 value(s),Parent,Meta: _x\n"
        '1,variable,A,Throw,1,"Warm.\\n \\tSoft.",1,,1.2,,Home > Throws,https://x/1.jpg,Color,"Oat, Moss",,7\n'
        "2,variation,B,Throw - Oat,1,,1,3,,60,,,Color,Oat,id:1,\n"
        "3,simple,C,Bowl,1,Deep.,1,9,,12,,,,,,\n",
    )  # fmt: skip
    assert WooCommerce().accepts(path)
    throw, bowl = WooCommerce().read(path)
    assert throw.input["facts"] == "name[Throw], type[Throws], colour[Oat, Moss], price[60], weight[1.2 kg]"
    assert throw.output["text"] == "Warm. Soft."
    assert bowl.input["facts"] == "name[Bowl], price[12]"


def test_a_catalogue_keeps_what_the_shop_pays_to_itself(tmp_path: Path) -> None:
    path = written(
        tmp_path, "a.csv",
        "商品名称,商品编码,进价,采购价,库存数量,售价,颜色分类,商品链接,税率,描述\n"
        "陶杯,TB-1,8,7,30,29,月白,https://x,13%,一只月白陶杯。\n",
    )  # fmt: skip
    (row,) = Catalogue().read(path)
    assert row.input["facts"] == "商品名称[陶杯], 售价[29], 颜色分类[月白]"


@pytest.mark.parametrize("mark", ["sep=;", "\ufeffsep=;", '"sep=;"'])
def test_excel_s_own_first_line_names_the_delimiter(tmp_path: Path, mark: str) -> None:
    path = written(tmp_path, "a.csv", f"{mark}\nname;description;price\nMug;A mug;4,95\n")
    (row,) = Catalogue().read(path)
    assert isinstance(row, Sample)
    assert row.input["facts"] == "name[Mug], price[4,95]"
    assert row.provenance.line == 3


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Belt <B12> for <M57 and newer>", "Belt <B12> for <M57 and newer>"),
        ("a < b and <b>bold</b>", "a < b and bold"),
        ("<p>One</p><p>Two</p>", "One Two"),
        ("<!-- hidden --><span class=x>Shown</span>", "Shown"),
        ("<style>p {}</style>Words<script>x()</script>", "Words"),
        ("C:\\new folder", "C:\\new folder"),
        ("<!-- never closed", "<!-- never closed"),
        ("5 &lt; 6", "5 < 6"),
    ],
)
def test_only_elements_of_html_are_tags(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@pytest.mark.parametrize("piece", ["<!", "<a ", "<!--", "<b>", "</", "&lt;", "<a href=x"])
def test_markup_is_read_in_time_that_grows_with_it(piece: str) -> None:
    import time

    def seconds(count: int) -> float:
        begun = time.process_time()
        plain_text(piece * count)
        return time.process_time() - begun

    seconds(1000)
    assert seconds(80_000) < 12 * seconds(10_000) + 0.2


def test_merchant_s_structured_texts_and_details(tmp_path: Path) -> None:
    table = written(
        tmp_path, "feed.tsv",
        "id\tstructured_title\tstructured_description\tlink\tprice\n"
        '1\ttrained_algorithmic_media:"Oak desk, small"\tdefault:"A desk."\thttp://x\t20.00 USD\n',
    )  # fmt: skip
    assert MerchantTable().accepts(table)
    (row,) = MerchantTable().read(table)
    assert row.input["facts"].startswith("name[Oak desk")
    assert row.output["text"] == "A desk."
    detail = (
        "<g:product_detail>{}<g:attribute_name>Time</g:attribute_name><g:attribute_value>{}</g:attribute_value>"
        "</g:product_detail>"
    )
    feed = written(
        tmp_path, "feed.xml",
        '<?xml version="1.0"?><rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><item>'
        "<g:title>Clock</g:title><g:description>A clock.</g:description>"
        + detail.format("", "12:30") + detail.format("<g:section_name>General</g:section_name>", "1:2:3")
        + "</item></channel></rss>",
    )  # fmt: skip
    (row,) = MerchantXml().read(feed)
    assert row.input["facts"] == "name[Clock], Time[12:30], Time[1:2:3]"
