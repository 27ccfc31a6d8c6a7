"""The language of an input by its script, and languages that a base's card does not name."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel

from metier.contracts import Base, TaskContract, TaskKind, prompt
from metier.contracts.fit import fit
from metier.contracts.fit_report import Verdict
from metier.contracts.script import language_by_script, script_of


class Facts(BaseModel):
    facts: str
    language: str | None = None


class Copy(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("雪岭羽绒服，充绒量180克", "han"),
        ("iPhone 15 Pro Max 手机壳 透明防摔", "han"),
        ("a waxed jacket", "latin"),
        ("El Niño café — 北京", "latin"),
        ("これは日本語の文です", "kana"),
        ("한국어 문장", "hangul"),
        ("тёплая куртка", "cyrillic"),
        ("123 !?", None),
        ("", None),
    ],
)
def test_a_text_has_the_script_of_most_of_its_letters(text, script):
    assert script_of(text) == script


def test_a_prompt_is_in_the_language_of_its_input_where_nothing_names_one():
    task = TaskContract(
        name="t.copy", kind=TaskKind.GENERATE, input=Facts, output=Copy,
        prompts={"en": prompt("{{ facts }}"), "zh": prompt("{{ facts }}")},
    )  # fmt: skip
    assert task.language_of({"facts": "名称[雪岭], 颜色[藏蓝]"}) == "zh"
    assert task.language_of({"facts": "name[Kelso]"}) == "en"
    assert task.language_of({"facts": "名称[雪岭]", "language": "en"}) == "en"
    assert task.language_of({"facts": "名称[雪岭]"}, "en") == "en"
    assert task.language_of({"facts": "123"}) == "en"
    assert task.language_of({"facts": "тёплая куртка"}) == "en"  # no prompt is in Russian: the default


def test_long_and_deep_values_are_looked_at_in_bounded_time():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert language_by_script({"a": deep, "b": "x" * 10_000_000, "c": "中" * 10_000_000}, ["zh", "en"]) == "en"
    assert language_by_script({"photo": "data:image/png;base64,AAAA", "seen": "图"}, ["en", "zh"]) == "zh"


def _base(*languages: str) -> Base:
    return Base(id="b", model_class="X", context_length=512, licence="Apache-2.0", languages=languages)


def test_a_translation_needs_both_of_its_languages():
    class Line(BaseModel):
        text: str
        source_language: Literal["en", "zh"]
        target_language: Literal["en", "zh"]

    task = TaskContract(
        name="t.line", kind=TaskKind.TRANSLATE, input=Line, output=Copy, prompts={"en": prompt("{{ text }}")}
    )
    assert task.spoken_languages == ("en", "zh")
    found = [f for f in fit(task, _base("en")).findings if f.aspect == "language"]
    assert [f.verdict for f in found] == [Verdict.OK, Verdict.FAIL]
    assert all(f.verdict is Verdict.OK for f in fit(task, _base("en", "zh")).findings if f.aspect == "language")


def test_the_engine_warns_once_of_a_language_that_the_base_does_not_name(tiny_bundle):
    import warnings

    from metier.runtime import Bundle, Engine, open_bundle
    from metier.runtime.routing import LanguageWarning

    opened = open_bundle(tiny_bundle)
    card = opened.manifest.base.model_copy(update={"languages": ("fr",)})
    bundle = Bundle(opened.path, opened.manifest.model_copy(update={"base": card}), opened.tokenizer)
    with Engine(bundle, threads=1) as engine, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            engine.run("tiny.copy", {"facts": "a blue mug"}, max_tokens=4)
    assert [str(w.message) for w in seen if w.category is LanguageWarning] == [
        "an input is in en; the card of b names only fr".replace("of b", f"of {card.id}")
    ]
