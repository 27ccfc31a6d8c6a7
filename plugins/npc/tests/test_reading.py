"""Data adapters: which files they accept, and which samples they give."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.contracts import BadRow, DataAdapter, DataError, Sample
from metier_npc.reading import ADAPTERS, INK, RENPY, TWEE, YARN, BarkSheet, DialogueSheet
from metier_npc.tasks import TASKS

TASK = {task.name: task for task in TASKS}
SHARED = next((p / "shared" / "data" for p in Path(__file__).parents if (p / "shared" / "data").is_dir()), None)
REAL = [(a, f) for a in (INK, YARN, RENPY) for f in sorted(SHARED.rglob("*")) if a.accepts(f)] if SHARED else []


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
def test_each_example_is_claimed_by_its_own_adapter_alone(adapter: DataAdapter) -> None:
    assert [a for a in ADAPTERS if a.accepts(adapter.example)] == [adapter]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_chinese_script_is_read_in_any_usual_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.ink"
    path.write_bytes(("=== 渡口 ===\n" + "周婆：两文钱，坐稳了。 #action:解缆\n" * 20).encode(encoding))
    first, *_ = INK.read(path)
    assert isinstance(first, Sample) and first.input["speaker"] == "周婆" and first.input["language"] == "zh"
    assert first.output == {"line": "两文钱，坐稳了。", "emotion": "neutral", "action": "解缆", "remember": []}
    assert first.provenance and first.provenance.line == 2


@pytest.mark.skipif(not REAL, reason="the shared data folder is not there")
def test_real_scripts_give_samples_that_satisfy_the_contract_each_from_its_own_line() -> None:
    counts = dict.fromkeys(("ink", "yarn", "renpy"), 0)
    for adapter, path in REAL:
        lines = path.read_text("utf-8-sig").splitlines()
        for row in adapter.read(path):
            assert isinstance(row, Sample), row
            TASK[row.task].check_sample(row)
            counts[adapter.name] += 1
            assert row.provenance and row.provenance.line
            first = str(row.output["line"]).split()[0].strip("\\")
            plain = lines[row.provenance.line - 1].replace("\\", "")
            assert first in plain or "{" in plain or "[" in plain or '"' in plain, (path, row)
    assert counts["ink"] > 600 and counts["yarn"] > 80 and counts["renpy"] > 60


def script(adapter: DataAdapter, tmp_path: Path, text: str) -> list[Sample]:
    path = tmp_path / f"a{adapter.example.suffix}"
    path.write_text(text, encoding="utf-8")
    return [row for row in adapter.read(path) if isinstance(row, Sample)]


def history_of(sample: Sample) -> list[str]:
    return [turn["text"] for turn in sample.input.get("history", [])]  # type: ignore[union-attr,index,call-overload]


def test_ink_keeps_choices_conditions_and_the_talk_that_leads_to_a_line(tmp_path: Path) -> None:
    first, regret, sorry, wreck, plank, *_ = (
        s for s in INK.read(INK.example) if isinstance(s, Sample) and "history" in s.input
    )
    assert first.input["choices"] == ["Say sorry", '"Ask about the wreck"']
    assert history_of(regret)[-1] == "Say sorry" and regret.output["line"] == "I'm sorry."
    assert history_of(sorry)[-1] == "I'm sorry." and sorry.output["action"] == "point"
    assert wreck.input["when"] == ["trust > 2"] and "Say sorry" not in history_of(wreck)
    assert history_of(plank) == ["The river is high and brown.", "You're late. The rope won't wait for anybody."]


def test_the_history_of_a_line_never_has_lines_of_another_branch(tmp_path: Path) -> None:
    yarn = (
        "title: A\n---\n<<if $x>>\nHobb: One.\n<<else>>\nHobb: Two.\n<<endif>>\n"
        "=> Hobb: Three.\n=> Hobb: Four.\nHobb: Five.\n===\n"
    )
    assert [history_of(s) for s in script(YARN, tmp_path, yarn)] == [[]] * 5
    rpy = 'label a:\n    if x:\n        "One."\n    elif y:\n        "Two."\n    "Three."\n'
    assert [history_of(s) for s in script(RENPY, tmp_path, rpy)] == [[]] * 3
    ink = "{shuffle:\n- Mira: One.\n  Mira: More.\n- Mira: Two.\n}\nMira: Three.\n"
    assert [history_of(s) for s in script(INK, tmp_path, ink)] == [[], ["One."], [], []]


def test_twee_links_are_the_choices_of_the_last_line(tmp_path: Path) -> None:
    last = [s for s in TWEE.read(TWEE.example) if isinstance(s, Sample)][2]
    assert last.input["choices"] == ["Go on", "Turn back"] and last.input["when"] == ["$lamp"]


def test_a_sprites_face_is_the_lines_emotion(tmp_path: Path) -> None:
    samples = [s for s in RENPY.read(RENPY.example) if isinstance(s, Sample)]
    assert [s.output["emotion"] for s in samples] == ["neutral", "happy", "neutral", "happy", "sad"]


def test_a_line_too_long_for_speech_is_a_bad_row_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.ink"
    path.write_text("Mira: Hi.\nMira: " + "so " * 300 + "\n" + "x" * 30000 + "\n")
    good, *bad = INK.read(path)
    assert isinstance(good, Sample) and [row.provenance.line for row in bad if isinstance(row, BadRow)] == [2, 3]


def test_a_sheet_keeps_speaker_line_choices_condition_tags_and_the_conversation(tmp_path: Path) -> None:
    rows = [row for row in DialogueSheet().read(DialogueSheet().example) if isinstance(row, Sample)]
    assert [row.provenance.line for row in rows if row.provenance] == [2, 3, 4, 5]
    assert rows[2].input["choices"] == ["How much?", "Never mind."] and rows[2].output["action"] == "shrug"
    assert history_of(rows[2]) == ["Hands off. It's still hot.", "I need a blade by dawn."]
    assert rows[3].input["when"] == ["has_ore"] and "history" not in rows[3].input
    assert rows[3].output["emotion"] == "surprised" and rows[3].input["tags"] == ["vo"]


def test_a_spreadsheet_and_chinese_headers_are_sheets_too(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (
        ["角色", "台词", "情绪", "选项"],
        ["周婆", "坐稳了。", "高兴", "好 | 不好"],
        ["周婆", None, None, None],
    ):
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    assert DialogueSheet().accepts(tmp_path / "a.xlsx")
    good, bad = DialogueSheet().read(tmp_path / "a.xlsx")
    assert isinstance(good, Sample) and good.input == {"speaker": "周婆", "choices": ["好", "不好"], "language": "zh"}
    assert good.output["emotion"] == "happy"
    assert isinstance(bad, BadRow) and bad.field == "line" and bad.provenance.line == 3 and bad.remedy


def test_a_bark_sheet_without_a_situation_or_with_too_many_variants_names_the_field(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("speaker,trigger,text\nGuard,,Halt!\nGuard,noise,\nGuard,noise,a|b|c|d|e|f|g\nGuard,noise,Hm?\n")
    *bad, good = BarkSheet().read(path)
    assert [(b.field, b.provenance.line) for b in bad if isinstance(b, BadRow)] == [
        ("situation", 2),
        ("line", 3),
        ("line", 4),
    ]
    assert isinstance(good, Sample) and good.output == {"variants": ["Hm?"]} and good.input["count"] == 1


def test_the_error_for_a_sheet_without_a_speaker_column_lists_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("who_cares,text\na,b\n")
    assert not DialogueSheet().accepts(path)
    with pytest.raises(DataError, match="no column speaker; the columns are who_cares, text"):
        list(DialogueSheet().read(path))
