"""A presenter's script: the time it takes to say, the SSML that comes of it, and what that SSML may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import MetierError
from metier_adcopy.checks.spoken_time import spoken_seconds, spoken_time
from metier_adcopy.checks.ssml_valid import ssml_valid
from metier_adcopy.command import presenter_ssml, read_answers
from metier_adcopy.ssml import to_ssml
from metier_adcopy.ssml_grammar import NAMESPACE, faults
from metier_adcopy.tasks import PRESENTER
from metier_adcopy.vertical import vertical

NS = f"{{{NAMESPACE}}}"


def line(say: str, seconds: int = 3, gesture: str = "show", stress: list[str] | None = None) -> dict[str, Any]:
    return {"say": say, "stress": stress or [], "gesture": gesture, "seconds": seconds}


def speak(body: str, head: str = 'version="1.1" xml:lang="en-GB"') -> str:
    return f'<speak {head} xmlns="{NAMESPACE}">{body}</speak>'


def test_a_line_becomes_a_paragraph_with_mark_duration_and_emphasis() -> None:
    root = fromstring(to_ssml({"lines": [line("Tea & toast for £5.", 2, "wave", ["£5"])]}))
    assert root.tag == f"{NS}speak" and root.get("version") == "1.1"
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == "en-GB"
    (paragraph,) = root
    mark, prosody = paragraph
    assert (mark.tag, mark.get("name")) == (f"{NS}mark", "line1:wave")
    assert (prosody.tag, prosody.get("duration")) == (f"{NS}prosody", "2s")
    assert "".join(prosody.itertext()) == "Tea & toast for £5."
    assert [(e.tag, e.text, e.get("level")) for e in prosody] == [(f"{NS}emphasis", "£5", "strong")]


def test_no_gesture_is_no_mark_and_a_language_goes_in_as_given() -> None:
    root = fromstring(to_ssml({"lines": [line("你好。", gesture="none")]}, "zh"))
    assert [child.tag for child in root[0]] == [f"{NS}prosody"]
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == "zh-CN"


def test_stress_falls_on_whole_words_once() -> None:
    found = fromstring(to_ssml({"lines": [line("Bartender at the bar, bar none.", stress=["bar"])]}))
    (emphasis,) = found.iter(f"{NS}emphasis")
    assert emphasis.text == "bar" and emphasis.tail == ", bar none."


@pytest.mark.parametrize("part", ["train", "held_out"])
def test_every_packaged_script_is_valid_ssml(part: str) -> None:
    path: Path = getattr(vertical().samples[PRESENTER], part)
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        assert faults(to_ssml(row["output"], row["input"]["language"])) == []


@settings(max_examples=50, deadline=None)
@given(
    say=st.text(min_size=1), stress=st.lists(st.text(min_size=1), max_size=2), tag=st.sampled_from(["en", "zh", "fr"])
)
def test_the_document_is_valid_for_any_text(say: str, stress: list[str], tag: str) -> None:
    assert faults(to_ssml({"lines": [line(say, stress=stress)]}, tag)) == []


@pytest.mark.parametrize(
    "body",
    [
        "Hello <break time='250ms'/> there",
        "<p><s>One.</s><s>Two <emphasis>words</emphasis>.</s></p>",
        "<meta name='seeAlso' content='x'/><p>After the head.</p>",
        "<prosody rate='90%' volume='+6dB' pitch='high'>Slow</prosody>",
        "<say-as interpret-as='date' format='dmy'>1/2/2026</say-as>",
        "<phoneme alphabet='ipa' ph='t&#x259;mei'>tomato</phoneme> <sub alias='World Wide Web'>WWW</sub>",
        "<voice gender='female' languages='zh-CN'>你好</voice><lang xml:lang='fr'>bonjour</lang>",
        "<audio src='jingle.wav'><desc>A jingle</desc>Ta-da</audio><mark name='end'/>",
    ],
)
def test_what_the_recommendation_allows_is_allowed(body: str) -> None:
    assert faults(speak(body)) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("<speak", "not well-formed"),
        ("<speak version='1.1' xml:lang='en'>no namespace</speak>", "the root is"),
        (speak("x", 'xml:lang="en"'), "lacks the attribute version"),
        (speak("x", 'version="1.0" xml:lang="en"'), "cannot have version"),
        (speak("x", 'version="1.1"'), "lacks the attribute xml:lang"),
        (speak("<s><p>x</p></s>"), "s cannot hold p"),
        (speak("<emphasis level='loud'>x</emphasis>"), "cannot have level"),
        (speak("<break time='2 seconds'/>"), "cannot have time"),
        (speak("<break>x</break>"), "break must be empty"),
        (speak("<prosody duration='soon'>x</prosody>"), "cannot have duration"),
        (speak("<mark/>"), "lacks the attribute name"),
        (speak("<p><p>x</p></p>"), "p cannot hold p"),
        (speak("<shout>x</shout>"), "no element shout"),
        (speak("<p colour='red'>x</p>"), "no attribute colour"),
        (speak("<p>x</p><meta name='a' content='b'/>"), "stands after"),
        ("<!DOCTYPE speak [<!ENTITY a 'b'>]>" + speak("&a;"), "not well-formed"),
    ],
)
def test_what_it_does_not_allow_is_named(document: str, message: str) -> None:
    assert any(message in fault for fault in faults(document)), faults(document)


def test_a_line_takes_the_time_that_people_take() -> None:
    shortest, longest = spoken_seconds("one two three four five six seven eight nine ten")
    assert 3 < shortest < 4 < longest < 5
    shortest, longest = spoken_seconds("云眠枕用荞麦壳填充，睡得香。")  # twelve characters
    assert 2.3 < shortest < 2.5 and 3.9 < longest < 4.1


@pytest.mark.parametrize(("seconds", "fits"), [(1, False), (3, True), (5, True), (9, False)])
def test_seconds_are_those_it_takes_to_say(seconds: int, fits: bool) -> None:
    text = "This is the Alder bench, and it is made of oak."
    assert (spoken_time.run({}, {"lines": [line(text, seconds)]}) == []) is fits


def test_lines_that_outrun_the_slot_are_found() -> None:
    lines = [line("This is the Alder bench, and it is made of oak.", 4)] * 3
    (finding,) = spoken_time.run({"seconds": 10}, {"lines": lines})
    assert "12 s" in finding.message and "10" in finding.message
    assert spoken_time.run({"seconds": 12}, {"lines": lines}) == []


@pytest.mark.parametrize(("stress", "finds"), [(["oak"], 0), (["ash"], 1), (["oak", "oak"], 1), (["an"], 1)])
def test_stress_on_words_that_are_not_spoken_is_found(stress: list[str], finds: int) -> None:
    assert len(ssml_valid.run({}, {"lines": [line("Oak, and solid oak.", stress=stress)]})) == finds


def test_the_command_writes_one_document_an_answer(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n".join(json.dumps({"lines": [line(say)]}) for say in ("One.", "Two.")), encoding="utf-8")
    presenter_ssml(answers, tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == ["1.ssml", "2.ssml"]
    assert all(faults(path.read_text(encoding="utf-8")) == [] for path in written)


@pytest.mark.parametrize("text", ["{", '{"lines": []}', '{"lines": [{"say": "x"}]}'])
def test_a_file_that_holds_no_answer_is_reported_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MetierError) as caught:
        read_answers(path)
    assert str(caught.value.where).endswith("answers.jsonl:1")
