"""Screenplays laid out in ways that lose a scene, a number or a line where a reader does not expect them."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, Sample
from metier_screenplay.reading.fdx import FinalDraft
from metier_screenplay.vertical import vertical

FDX = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<FinalDraft DocumentType="Script" Version="5"><Content>\n{}\n'
    "</Content></FinalDraft>\n"
)


def rows(tmp_path: Path, name: str, text: str) -> list[Sample | BadRow]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    adapter = next(a for a in vertical().data_adapters if a.accepts(path))
    return list(adapter.read(path))


def fdx(kind: str, inner: str, number: str = "") -> str:
    mark = f' Number="{number}"' if number else ""
    return f'<Paragraph Type="{kind}"{mark}>{inner}</Paragraph>'


def test_paragraphs_within_a_heading_are_its_summary_and_plans(tmp_path: Path) -> None:
    inner = (
        "<SceneProperties><Summary><Paragraph><Text>Ada leaves.</Text></Paragraph>"
        "<Paragraph><Text>For good.</Text></Paragraph></Summary>"
        '<SceneArcBeats><CharacterArcBeat Name="ADA"><Paragraph><Text>plan</Text></Paragraph></CharacterArcBeat>'
        "</SceneArcBeats></SceneProperties><Text>INT. MILL - NIGHT</Text>"
    )
    script = fdx("Scene Heading", inner, "1") + fdx("Action", "<Text>Dark.</Text>")
    script += fdx("Scene Heading", "<Text>EXT. ROAD - DAY</Text>") + fdx("Action", "<Text>Rain.</Text>")
    first, second = rows(tmp_path, "a.fdx", FDX.format(script))
    assert first.input["beats"] == ["Ada leaves.", "For good."]
    assert first.output["text"] == "INT. MILL - NIGHT\n\nDark."
    assert second.input["place"] == "ROAD"


def test_two_dialogues_side_by_side_lie_within_a_paragraph(tmp_path: Path) -> None:
    both = "".join(
        fdx("Character", f"<Text>{who}</Text>") + fdx("Dialogue", f"<Text>{words}</Text>")
        for who, words in (("ADA", "Go."), ("BEN", "Stay."))
    )
    script = fdx("Scene Heading", "<Text>INT. MILL - DAY</Text>")
    script += f"<Paragraph><DualDialogue>{both}</DualDialogue></Paragraph>" + fdx("Action", "<Text>Silence.</Text>")
    (scene,) = rows(tmp_path, "a.fdx", FDX.format(script))
    assert [c["name"] for c in scene.input["characters"]] == ["ADA", "BEN"]
    assert scene.output["text"].endswith("Silence.")
    assert "BEN ^" in scene.output["text"]
    assert FinalDraft().accepts(tmp_path / "a.fdx")


@pytest.mark.parametrize(
    ("heading", "setting", "place", "time"),
    [
        ("INT. LAB - DAY #12A# [[blue]]", "INT", "LAB", "DAY"),
        ("INT. LAB - DAY [[one]] #7# [[two]] /* three */", "INT", "LAB", "DAY"),
        ("I./E. PORCH - DUSK", "INT/EXT", "PORCH", "DUSK"),
        ("I/E PORCH - DUSK", "INT/EXT", "PORCH", "DUSK"),
        ("INT./EXT. CAR - NIGHT", "INT/EXT", "CAR", "NIGHT"),
        ("EST. HARBOUR", "EXT", "HARBOUR", None),
    ],
)
def test_headings_keep_their_parts_apart(
    tmp_path: Path, heading: str, setting: str, place: str, time: str | None
) -> None:
    first, second = rows(tmp_path, "a.fountain", f"INT. HALL - DAY\n\nCoats.\n\n{heading}\n\nA hum.\n")
    assert first.input["place"] == "HALL"
    assert (second.input["setting"], second.input["place"], second.input.get("time")) == (setting, place, time)


def test_dialogue_ahead_of_the_first_heading_is_a_bad_row(tmp_path: Path) -> None:
    bad, scene = rows(tmp_path, "a.fountain", "A street.\n\nADA\nWhere am I?\n\nINT. HALL - DAY\n\nCoats.\n")
    assert isinstance(bad, BadRow) and "ADA" in bad.reason and bad.provenance.line == 3
    assert scene.input["place"] == "HALL"
    (only,) = rows(tmp_path, "b.fountain", "Title: Street\nAuthor: B\n\nADA\nWhere am I?\n")
    assert isinstance(only, BadRow)


def test_numbered_continuations_of_a_page_are_no_action(tmp_path: Path) -> None:
    text = "12   INT. HALL - DAY   12\n\nCoats.\n\n12  CONTINUED:  12\n\n(CONTINUED)\n\nCONTINUED: (2)\n\nRain.\n"
    (scene,) = rows(tmp_path, "a.txt", text)
    assert scene.output["text"] == "INT. HALL - DAY\n\nCoats.\n\nRain."
