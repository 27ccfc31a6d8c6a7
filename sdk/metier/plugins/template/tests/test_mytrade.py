"""The contract test of the trade, and tests of its own parts."""

from metier.contracts import Sample
from metier.testing import conformance_test

from metier_mytrade.checks import fits
from metier_mytrade.vertical import articles, vertical

test_conformance = conformance_test(vertical)


def test_what_does_not_fit_is_quoted() -> None:
    (found,) = fits({"text": "Rain.", "max_chars": 4}, {"title": "Rain again"})
    assert found.excerpt == " again"


def test_a_title_that_just_fits_passes() -> None:
    assert fits({"text": "Rain.", "max_chars": 4}, {"title": "Rain"}) == []


def test_a_row_becomes_a_sample_with_its_place() -> None:
    first = next(iter(articles.read(articles.example)))
    assert isinstance(first, Sample) and first.output == {"title": "Ferry back on Monday"}
    assert str(first.provenance).endswith("articles.csv:2")
