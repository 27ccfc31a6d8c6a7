"""Review tables: rows with a digest become samples of `support.review`; plain rows become its inputs, by product."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.contracts import BadRow, Sample, Value
from metier.contracts.script import language_by_script
from metier_support.reading.cells import column, first_row, rows_with, text
from metier_support.reading.ratings import rating_of
from metier_support.tasks import REVIEW

if TYPE_CHECKING:
    from metier.readers.tables import Row

TEXT = (
    "review",
    "review_text",
    "reviewtext",
    "review_body",
    "text",
    "body",
    "content",
    "comment",
    "评价",
    "评价内容",
    "评论",
)
RATING = ("rating", "stars", "star_rating", "score", "overall", "评分", "星级")
PRODUCT = ("product", "product_title", "product_name", "item", "title_of_product", "商品", "商品名称")
PRODUCT_ID = ("parent_asin", "asin", "product_id", "item_id", "sku", "商品id", "商品编号")
"""Tells reviews of two products apart where nothing names them; it is no part of the input."""
NOTHING = frozenset({"n/a", "na", "none", "null", "nil", "nan", "-", "--", "—", "/", "无", "暂无", "没有", "不详"})
"""Words by which a form says that there is nothing."""
SUMMARY = ("summary", "digest", "摘要", "总结")
PROS, CONS = ("pros", "positives", "likes", "优点"), ("cons", "negatives", "dislikes", "缺点")
ASPECTS = ("aspects", "方面")
_SENTIMENT = {"positive": "positive", "negative": "negative", "mixed": "mixed", "好评": "positive", "差评": "negative"}
AT_ONCE = 12
"""Reviews that go into one input: more do not fit a small base's prompt."""


class ReviewTable:
    """One review a row, with its summary, pros and cons (`;` between them) and aspects (`battery: positive; …`)."""

    name, task = "review_table", REVIEW
    example = Path(__file__).parents[1] / "examples" / "reviews.csv"

    def accepts(self, path: Path) -> bool:
        """Whether it has columns for a review and for its summary, pros or cons."""
        row = first_row(path)
        return row is not None and bool(column(row, TEXT) and column(row, SUMMARY) and column(row, (*PROS, *CONS)))

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """A sample a row; a row without a summary, or whose aspects cannot be read, is a bad row."""
        for item in rows_with(path, {"review": TEXT, "summary": SUMMARY}):
            if isinstance(item, BadRow):
                yield item
                continue
            row, _ = item
            try:
                input, output = _input(row), _digest(row)
            except _UnfitError as unfit:
                yield BadRow(provenance=row.provenance, field=unfit.field, reason=unfit.reason, remedy=unfit.remedy)
                continue
            yield Sample(task=REVIEW, input=input, output=output, provenance=row.provenance)


def review_inputs(path: Path) -> Iterator[Value | BadRow]:
    """Inputs of `support.review` from a plain review table: neighbouring rows of one product, twelve at most.

    Raises:
        DataError: it is not a table, or has no column of reviews.
    """
    held: dict[str, Any] = {}
    held_key: str | None = None
    for item in rows_with(path, {"review": TEXT}):
        if isinstance(item, BadRow):
            yield item
            continue
        try:
            input = _input(item[0])
        except _UnfitError as unfit:
            yield BadRow(provenance=item[0].provenance, field=unfit.field, reason=unfit.reason, remedy=unfit.remedy)
            continue
        key = input.get("product") or _cell(item[0], PRODUCT_ID) or None
        if held and (key != held_key or len(held["reviews"]) >= AT_ONCE):
            yield held
            held = {}
        held_key = key
        held = {**input, "reviews": [*held["reviews"], *input["reviews"]]} if held else input
    if held:
        yield held


class _UnfitError(Exception):
    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.field, self.reason, self.remedy = field, reason, remedy


def _cell(row: Row, names: tuple[str, ...]) -> str:
    found = column(row, names)
    content = text(row.values[found]) if found else ""
    return "" if content.casefold().strip(" .。") in NOTHING else content


def _input(row: Row) -> dict[str, Any]:
    content = _cell(row, TEXT)
    if not content:
        raise _UnfitError(column(row, TEXT) or "review", "there is no review", "fill it, or leave the row out")
    review: dict[str, Any] = {"text": content}
    if stars := _cell(row, RATING):
        if (rating := rating_of(stars)) is None:
            raise _UnfitError(
                column(row, RATING) or "rating", f"{stars[:20]!r} is no rating", "write 0 to 5, or the scale as in 8/10"
            )
        review["rating"] = rating
    product = _cell(row, PRODUCT)
    return {
        **({"product": product} if product else {}),
        "reviews": [review],
        **({"language": "zh"} if language_by_script(content, ("zh",)) else {}),
    }


def _digest(row: Row) -> dict[str, Any]:
    summary = _cell(row, SUMMARY)
    if not summary or len(summary) > 400:
        reason = "there is no summary" if not summary else f"the summary has {len(summary)} characters, at most 400 fit"
        raise _UnfitError(column(row, SUMMARY) or "summary", reason, "write one or two sentences, or leave the row out")
    aspects = []
    for part in _parts(_cell(row, ASPECTS)):
        name, _, word = part.replace("：", ":").partition(":")
        if word.strip().casefold() not in _SENTIMENT or not 0 < len(name.strip()) <= 40:
            raise _UnfitError(
                column(row, ASPECTS) or "aspects", f"{part[:40]!r} is no aspect with a sentiment",
                "write them as battery: positive; price: negative",
            )  # fmt: skip
        aspects.append({"aspect": name.strip(), "sentiment": _SENTIMENT[word.strip().casefold()]})
    return {
        "aspects": aspects[:6],
        "pros": [p[:80] for p in _parts(_cell(row, PROS))][:4],
        "cons": [p[:80] for p in _parts(_cell(row, CONS))][:4],
        "summary": summary,
    }


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in re.split(r"[;；|]", cell) if part.strip()]
