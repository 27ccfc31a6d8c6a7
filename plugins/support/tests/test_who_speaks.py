"""Who wrote a message, in which order, on which scale: what a wrong reading would teach in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metier.contracts import BadRow, Sample
from metier_support.reading import ChatTurns, Conversations, Intercom, Zendesk, review_inputs
from metier_support.reading.dialogue import label, speaker
from metier_support.reading.json_records import records_under
from metier_support.reading.open_conversations import OpenConversations
from metier_support.reading.ratings import rating_of


def written(tmp_path: Path, name: str, content: Any) -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def replies(rows: Any) -> list[str]:
    return [row.output["reply"] for row in rows if isinstance(row, Sample)]


def part(kind: str, who: str, body: str | None, **more: Any) -> dict[str, Any]:
    return {"part_type": kind, "author": {"type": who, "id": "x"}, "body": body, **more}


def conversation(*parts: dict[str, Any]) -> dict[str, Any]:
    source = {"body": "<p>Is it oak?</p>", "author": {"type": "lead", "id": "l"}}
    return {
        "type": "conversation",
        "id": "1",
        "source": source,
        "conversation_parts": {"conversation_parts": list(parts)},
    }


@pytest.mark.parametrize("page", [True, False])
def test_intercom_s_notes_and_events_are_no_replies(tmp_path: Path, page: bool) -> None:
    found = conversation(
        part("note", "admin", "keep quiet"), part("assignment", "admin", "take it"), part("comment", "admin", "It is."),
        part("note_and_reopen", "admin", "hm"), part("comment", "user", "And the lid?"), part("close", "bot", "Ash."),
    )  # fmt: skip
    content = {"type": "conversation.list", "pages": {"next": None}, "conversations": [found]} if page else [found]
    path = written(tmp_path, "a.json", content)
    assert Intercom().accepts(path)
    rows = list(Intercom().read(path))
    assert replies(rows) == ["It is.", "Ash."]
    assert rows[0].input["dialogue"] == [{"who": "customer", "text": "Is it oak?"}]
    assert "quiet" not in str(rows)


def test_intercom_s_parts_go_by_their_time_and_an_unanswered_conversation_is_a_bad_row(tmp_path: Path) -> None:
    late, early = part("comment", "admin", "Second.", created_at=9), part("comment", "admin", "First.", created_at=5)
    path = written(tmp_path, "a.json", [conversation(late, early), conversation(part("note", "admin", "x"))])
    rows = list(Intercom().read(path))
    assert replies(rows) == ["First.", "Second."]
    assert isinstance(rows[-1], BadRow)


@pytest.mark.parametrize("first", ["users", "tickets"])
def test_zendesk_s_roles_rules_and_merges(tmp_path: Path, first: str) -> None:
    def comment(author: int, body: str, **more: Any) -> dict[str, Any]:
        return {"author_id": author, "body": body, "public": True, **more}

    comments = [
        comment(1, "The lid is cracked."),
        comment(3, "Her flatmate here: the handle, too."),
        comment(-1, "Automatic notice."),
        comment(2, "Closed by trigger.", via={"channel": "rule"}),
        comment(2, "This request was closed and merged into request #9."),
        comment(2, "We send a new one."),
    ]
    page: dict[str, Any] = {"tickets": [{"id": 7, "requester_id": 1, "comments": comments}], "count": 1}
    page["users"] = [{"id": 1, "role": "end-user"}, {"id": 2, "role": "agent"}, {"id": 3, "role": "end-user"}]
    path = written(tmp_path, "a.json", {key: page[key] for key in sorted(page, reverse=first == "users")})
    (row,) = Zendesk().read(path)
    assert row.output["reply"] == "We send a new one."
    assert {turn["who"] for turn in row.input["dialogue"]} == {"customer"}


def test_records_are_found_under_their_key_only_at_the_top(tmp_path: Path) -> None:
    content = {
        "a": {"users": [{"id": 0}]},
        "b": 'users": [{',
        "users": [{"id": 1, "t": ']}\\"'}, {"id": 2, "u": [{}]}],
        "c": [{}],
    }
    path = written(tmp_path, "a.json", content)
    assert [record.values["id"] for record in records_under(path, "users")] == [1, 2]


@pytest.mark.parametrize(
    ("word", "who"),
    [
        ("客服小美", "agent"), ("小美客服", "agent"), ("客服-007", "agent"), ("买家张先生", "customer"),
        ("顾客001", "customer"),
        ("客服电话", None), ("客服服务态度", None), ("Agent Mia", "agent"), ("customer_17", "customer"), ("Mia", None),
    ],
)  # fmt: skip
def test_speakers_by_role_and_name(word: str, who: str | None) -> None:
    assert speaker(word) == who


@pytest.mark.parametrize(
    ("word", "who"),
    [
        ("Shop address", None),
        ("Note", None),
        ("Store hours", None),
        ("Agent Mia", "agent"),
        ("System", "silent"),
        ("客服小美", "agent"),
    ],
)
def test_labels_within_a_text_name_somebody(word: str, who: str | None) -> None:
    assert label(word) == who


def test_a_label_inside_a_message_is_no_speaker(tmp_path: Path) -> None:
    talk = "Customer: Send it to work.\nShop hours: they were wrong.\nAgent: Done.\nNote: allow two days."
    path = written(tmp_path, "a.jsonl", json.dumps({"transcript": talk}))
    (row,) = Conversations().read(path)
    assert row.output["reply"] == "Done. Note: allow two days."
    assert len(row.input["dialogue"]) == 1


def chat(tmp_path: Path, rows: list[str]) -> list[Sample | BadRow]:
    path = written(tmp_path, "a.csv", "\n".join(["conversation_id,speaker,text,sent_at", *rows, ""]))
    return list(ChatTurns().read(path))


def test_a_log_that_is_newest_first_is_read_by_its_times(tmp_path: Path) -> None:
    lines = ["1,customer,One?,2026-01-01 09:00", "1,agent,Yes.,2026-01-01 09:01", "1,customer,Two?,2026-01-01 09:02"]
    lines += ["1,agent,No.,2026-01-01 09:02"]  # of one minute: below, it was said later
    for rows in (lines, lines[::-1]):
        found = chat(tmp_path, rows)
        assert replies(found) == ["Yes.", "No."]
        assert found[0].input["dialogue"] == [{"who": "customer", "text": "One?"}]


def test_a_log_that_breaks_its_order_late_has_a_bad_row_there(tmp_path: Path) -> None:
    rows = [f"{n},customer,Q{n}?,2026-01-01 09:00" for n in range(5000)]
    rows += ["9,agent,A.,2026-01-01 09:05", "9,agent,B.,2026-01-01 08:00"]
    found = chat(tmp_path, rows)
    assert replies(found) == ["A."]
    assert [type(row) for row in found] == [Sample, BadRow]


def test_thousands_of_open_conversations_are_all_answered(tmp_path: Path) -> None:
    rows = [f"{n},{who},{text}{n}," for who, text in (("customer", "Q"), ("agent", "A")) for n in range(6000)]
    found = chat(tmp_path, rows)
    assert len(found) == 6000
    assert all(row.output["reply"][1:] == row.input["dialogue"][0]["text"][1:] for row in found)


def test_conversations_come_back_from_the_disk_as_they_were() -> None:
    with OpenConversations(in_memory=2) as talks:
        for n in range(20):
            talks.get(str(n)).order["number"] = str(n)
        assert [talks.get(str(n)).order["number"] for n in range(20)] == [str(n) for n in range(20)]


@pytest.mark.parametrize(
    ("cell", "rating"),
    [
        ("10/10", 5.0), ("8/10", 4.0), ("4,5", 4.5), ("4.5", 4.5), ("5つ星のうち2.0", 2.0), ("3星", 3.0),
        ("★★★☆☆", 3.0),
        ("★", 1.0), ("4 out of 5 stars", 4.0), ("4,0 von 5 Sternen", 4.0), ("80%", 4.0), ("５", 5.0), ("四星", 4.0),
        ("5分满分4", 4.0), ("9", None), ("good", None), ("11/10", None), ("1/0", None), ("", None),
    ],
)  # fmt: skip
def test_ratings_of_any_scale(cell: str, rating: float | None) -> None:
    assert rating_of(cell) == rating


def test_reviews_of_two_products_are_two_inputs_and_nothing_is_no_content(tmp_path: Path) -> None:
    rows = [
        {"rating": r, "text": t, "asin": a}
        for r, t, a in ((2, "Broke.", "B1"), (1, "Bent.", "B1"), (5, "Bright.", "B2"))
    ]
    rows.append({"rating": "N/A", "text": "Fine.", "asin": "B2"})
    path = written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    first, second = review_inputs(path)
    assert [r["text"] for r in first["reviews"]] == ["Broke.", "Bent."]
    assert "rating" not in second["reviews"][1]
    empty = written(tmp_path, "b.csv", "product,review\nMug,无\nMug,Nice.\n")
    assert [type(item) for item in review_inputs(empty)] == [BadRow, dict]
