"""Files that others wrote and the packaged examples: each scene becomes a sample at its own line."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, DataError, Sample
from metier_screenplay.checks import CHECKS
from metier_screenplay.reading import ADAPTERS, NOTES, FinalDraft, FountainFile, PlainText
from metier_screenplay.reading.fdx import elements
from metier_screenplay.reading.samples_from import split_heading
from metier_screenplay.script import parse, write
from metier_screenplay.tasks import scene

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "fountain"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="shared/data is not there")


def scenes(adapter: FinalDraft | FountainFile | PlainText, path: Path) -> list[Sample]:
    found = list(adapter.read(path))
    assert all(isinstance(row, Sample) for row in found), [r for r in found if isinstance(r, BadRow)]
    return [row for row in found if isinstance(row, Sample)]


@shared
def test_brick_and_steel_is_read_scene_by_scene_at_its_own_lines() -> None:
    path = SHARED / "Brick-and-Steel.fountain"
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [row for row in FountainFile().read(path) if isinstance(row, Sample)]
    assert found[0].input["place"] == "BRICK'S PATIO" and found[0].input["time"] == "DAY"
    assert found[0].input["characters"] == [{"name": "STEEL"}, {"name": "BRICK"}]
    for row in found:
        assert row.provenance and row.provenance.line
        assert (
            lines[row.provenance.line - 1]
            .lstrip(".")
            .startswith(str(row.output["text"]).partition("\n")[0].lstrip("."))
        )
        scene.check_sample(row)


@shared
def test_the_final_draft_file_holds_the_same_screenplay_as_the_fountain_file() -> None:
    for path in sorted(SHARED.glob("*.fdx")):
        from_fdx = [row.output for row in FinalDraft().read(path) if isinstance(row, Sample)]
        twin = path.with_suffix(".fountain")
        from_fountain = [row.output for row in FountainFile().read(twin) if isinstance(row, Sample)]
        assert [_words(s) for s in from_fdx] == [_words(s) for s in from_fountain], path.name


def _words(output: dict[str, object]) -> list[str]:
    marks = str.maketrans("", "", "^!*_~.")
    return str(output["text"]).translate(marks).upper().replace("> ", "").replace(" <", "").split()


@shared
def test_every_final_draft_file_comes_back_from_fountain_with_its_words() -> None:
    for path in sorted(SHARED.glob("*.fdx")):
        written = list(elements(path))
        kinds = [(e.kind, e.text.split()) for e in parse(write(written))]
        words = [w for e in written for w in e.text.split()]
        assert [w for _, text in kinds for w in text] == words, path.name


@shared
def test_fountain_saved_as_text_is_still_fountain(tmp_path: Path) -> None:
    path = tmp_path / "simple.txt"
    path.write_bytes((SHARED / "simple.fountain").read_bytes())
    assert next(a for a in ADAPTERS if a.accepts(path)).name == "fountain"


def test_a_typed_script_loses_its_margins_page_numbers_and_line_breaks() -> None:
    bus, depot = scenes(PlainText(), PlainText().example)
    assert str(bus.output["text"]) == (
        "INT. NIGHT BUS - NIGHT\n\nRows of empty seats. ADE, 22, sleeps with his head on a cello case. The bus has "
        "stopped.\n\nDRIVER\nEnd of the line, son. You'll want to get off now.\n\nADE\n(waking)\n"
        "This isn't my stop.\n\nCUT TO:"
    )
    assert depot.provenance and depot.provenance.line == 20


def test_what_the_page_does_not_print_is_left_out_and_synopses_are_the_beats() -> None:
    inside, outside = scenes(FountainFile(), FountainFile().example)
    assert inside.input["beats"] == ["Ines burns the order.", "Paulo brings the post, and wants an answer."]
    text = str(inside.output["text"])
    assert "[[" not in text and "/*" not in text and "CELLAR" not in text and "#1#" not in text
    assert inside.input["logline"] == outside.input["logline"] == "A keeper hides the order to switch off her light."


def test_samples_of_the_examples_pass_the_checks() -> None:
    for adapter in (FinalDraft(), FountainFile(), PlainText()):
        for row in scenes(adapter, adapter.example):
            for check in CHECKS:
                if adapter.task in check.tasks:
                    assert not check.run(row.input, row.output), (adapter.name, check.name)


@pytest.mark.parametrize(
    ("heading", "parts"),
    [
        ("INT. KITCHEN - NIGHT", ("INT", "KITCHEN", "NIGHT")),
        ("EXT. BRICK'S POOL - DAY", ("EXT", "BRICK'S POOL", "DAY")),
        ("INT./EXT. CAR - CONTINUOUS", ("INT/EXT", "CAR", "CONTINUOUS")),
        ("I/E CAR - DAY", ("INT/EXT", "CAR", "DAY")),
        ("EST. CITY", ("EXT", "CITY", None)),
        ("int. house", ("INT", "house", None)),
        ("EXT. FARM - BARN - DUSK", ("EXT", "FARM - BARN", "DUSK")),
        ("SNIPER SCOPE POV", ("INT", "SNIPER SCOPE POV", None)),
        ("INT. 厨房 - 夜", ("INT", "厨房", "夜")),
    ],
)
def test_a_heading_is_setting_place_and_time(heading: str, parts: tuple[str, str, str | None]) -> None:
    assert split_heading(heading) == parts


def test_styles_become_marks_and_marks_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a.fdx"
    path.write_text(
        '<FinalDraft><Content><Paragraph Type="Action"><Text Style="Bold+Underline">Hot</Text><Text> 5*3</Text>'
        '</Paragraph></Content><TitlePage><Content><Paragraph Type="Action"><Text>No</Text></Paragraph></Content>'
        "</TitlePage></FinalDraft>"
    )
    assert [e.text for e in elements(path)] == [r"_**Hot**_ 5\*3"]


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><FinalDraft><Content>&a;</Content></FinalDraft>',
        "<FinalDraft><Content>",
        "<rss></rss>",
    ],
)
def test_entities_broken_xml_and_other_xml_are_errors_with_a_place(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.fdx"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        list(FinalDraft().read(path))
    assert f"{path}:" in str(caught.value.where)


def test_a_scene_without_anything_in_it_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.fountain"
    path.write_text("INT. HALL - DAY\n\nEXT. LAWN - DAY\n\nGrass.\n")
    bad, good = FountainFile().read(path)
    assert isinstance(bad, BadRow) and bad.provenance.line == 1 and "empty" in bad.reason
    assert isinstance(good, Sample) and good.provenance and good.provenance.line == 3


def test_a_rewrite_of_another_length_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("character,lines,note,rewrite\nMara,Out. / Now.,softer,Please.\n")
    (row,) = NOTES.read(path)
    assert isinstance(row, BadRow) and "2 lines were rewritten as 1" in row.reason


def test_ten_thousand_scenes_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "long.fountain"
    path.write_text("".join(f"INT. ROOM {i} - DAY\n\nA door.\n\nJOE\nHello.\n\n" for i in range(10_000)))
    reader = FountainFile().read(path)
    first = next(reader)
    assert isinstance(first, Sample) and first.input["place"] == "ROOM 0"
    assert sum(1 for _ in reader) == 9_999
