"""Whether a text is fluent, in English and Chinese: the examples that checks of every trade rest on."""

from __future__ import annotations

import pytest

from metier.wording import broken_end, repeated_words, rude_words, stray_words


@pytest.mark.parametrize("text", ["It is warm.", "光线柔和", "手感温和", "Here: {{link}}", "Tell her not to"])
def test_an_end_is_an_end(text: str) -> None:
    assert broken_end(text, sentence=False) is None


@pytest.mark.parametrize("text", ["It is the", "柔软和", "价格为（", "warm, dry and"])
def test_a_broken_end_is_found(text: str) -> None:
    assert broken_end(text, sentence=False)


def test_a_word_twice_within_a_sentence_is_a_stutter_and_across_sentences_is_not() -> None:
    assert repeated_words("It is in in the box.")
    assert repeated_words("She comes in. In her hand, a loaf.") is None
    assert repeated_words("£14.50 £14.50")


def test_speech_may_repeat_at_once_where_the_caller_says_so() -> None:
    assert repeated_words("I'm fine, I'm fine.")
    assert repeated_words("I'm fine, I'm fine.", least=4, adjacent=False) is None


@pytest.mark.parametrize(
    ("text", "language"), [("X，I，A，N，G", "zh"), ("两件 Merino 外套", "zh"), ("a plain text", "en")]
)
def test_single_letters_and_names_are_no_other_language(text: str, language: str) -> None:
    assert stray_words(text, language, "") is None


def test_another_language_is_found() -> None:
    assert stray_words("这款 jacket is very warm indeed", "zh", "")
    assert stray_words("a warm 外套", "en", "")


def test_rude_words_are_found_and_an_inability_to_read_out_is_none() -> None:
    assert rude_words("You did not read the page, did you?")
    assert rude_words("I can't read your address out here.") is None
