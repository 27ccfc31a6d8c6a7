"""Chat logs, tickets, intents and reviews: whatever the columns are called, each sample keeps its row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metier.contracts import BadRow, DataError, Sample
from metier_support.reading import (
    Answers,
    ChatTurns,
    Conversations,
    IntentTable,
    ReviewTable,
    Tickets,
    Zendesk,
    review_inputs,
)
from metier_support.reading.conversations import messages
from metier_support.reading.dialogue import speaker
from metier_support.reading.json_records import Record, read_records


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_each_agent_turn_is_a_sample_of_its_row_with_the_turns_before_it(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.csv",
        "Chat ID,Role,Message\n1,User,hi\n1,Bot,hello\n2,User,eta?\n1,User,thx\n1,Agent,bye\n2,Agent,soon\n",
    )
    assert ChatTurns().accepts(path)
    one, two, three = ChatTurns().read(path)
    assert isinstance(one, Sample) and isinstance(two, Sample) and isinstance(three, Sample)
    assert [s.provenance and s.provenance.line for s in (one, two, three)] == [3, 6, 7]
    assert [t["text"] for t in two.input["dialogue"]] == ["hi", "hello", "thx"]  # type: ignore[index,union-attr,call-overload]
    assert three.input["dialogue"] == [{"who": "customer", "text": "eta?"}]
    assert two.output == {"escalate": False, "used": [], "reply": "bye"}


@pytest.mark.parametrize(
    ("row", "field"), [("1,agent,", "text"), (",agent,hi", "conversation_id"), ("1,robot overlord,hi", "speaker")]
)
def test_a_turn_that_cannot_be_read_is_a_bad_row_with_its_field(row: str, field: str, tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", f"conversation_id,speaker,text\n1,customer,hi\n{row}\n1,agent,hello\n")
    bad, good = ChatTurns().read(path)
    assert isinstance(bad, BadRow) and isinstance(good, Sample)
    assert (bad.field, bad.provenance.line) == (field, 3) and bad.remedy


def test_the_inbound_column_of_support_exports_gives_the_speaker(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "thread_id,inbound,text\n9,True,help\n9,False,sure\n")
    (sample,) = ChatTurns().read(path)
    assert isinstance(sample, Sample) and sample.output["reply"] == "sure"


def test_a_turn_that_hands_over_is_an_escalation(tmp_path: Path) -> None:
    path = write(
        tmp_path / "l.csv", "chat_id,who,text\n1,customer,fire!\n1,agent,I am transferring you to our safety team.\n"
    )
    (sample,) = ChatTurns().read(path)
    assert isinstance(sample, Sample) and sample.output["escalate"] is True


def test_personal_order_columns_stay_out_of_the_samples(tmp_path: Path) -> None:
    path = write(
        tmp_path / "l.csv",
        "chat_id,who,text,order_id,order_total,order_email,Order "
        "Address\n1,customer,eta,7,£9,a@b.co,1 Mill St\n1,agent,soon,7,£9,a@b.co,x\n",
    )
    (sample,) = ChatTurns().read(path)
    assert isinstance(sample, Sample) and sample.input["order"] == {"id": "7", "total": "£9"}


def test_a_log_without_a_speaker_column_names_the_columns_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "chat_id,text\n1,hi\n")
    assert not ChatTurns().accepts(path)
    with pytest.raises(DataError, match="no column speaker; the columns are chat_id, text"):
        list(ChatTurns().read(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_chinese_log_is_read_in_any_usual_encoding(encoding: str, tmp_path: Path) -> None:
    rows = "".join(f"{n},客户,请问第{n}个包裹到哪里了\n{n},客服,正在派送中，请您耐心等待\n" for n in range(1, 20))
    path = write(tmp_path / "l.csv", "会话ID,角色,内容\n" + rows, encoding)
    samples = list(ChatTurns().read(path))
    assert len(samples) == 19 and all(isinstance(s, Sample) and s.input["language"] == "zh" for s in samples)


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}],
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}],
        '[{"speaker": "Customer", "text": "hi"}, {"speaker": "Agent", "text": "yes"}]',
        "Customer: hi\nAgent: yes",
        "[10:01] Visitor : hi\n[10:02] Support : yes",
        "customer: hi | agent: yes",
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "system", "content": "x"},
                {"role": "agent", "content": "yes"},
            ]
        },
    ],
)
def test_a_conversation_is_read_in_any_of_its_spellings(value: object) -> None:
    assert [(m.who, m.text) for m in messages(value)] == [("customer", "hi"), ("agent", "yes")]


def test_a_row_without_a_conversation_is_a_bad_row(tmp_path: Path) -> None:
    rows = ["Customer: a\nAgent: b", "just words", "Customer: nobody answered"]
    path = write(tmp_path / "c.jsonl", "".join(json.dumps({"transcript": r}) + "\n" for r in rows))
    good, one, two = Conversations().read(path)
    assert isinstance(good, Sample) and isinstance(one, BadRow) and isinstance(two, BadRow)
    assert one.provenance.line == 2 and two.reason == "no agent answers a customer in it"


def test_internal_notes_of_zendesk_never_become_a_reply() -> None:
    samples = list(Zendesk().read(Zendesk.example))
    assert "third one this month" not in str(samples)
    first = samples[0]
    assert isinstance(first, Sample) and first.output["reply"].startswith("Sorry to hear that.")  # type: ignore[union-attr]
    assert [s.provenance and s.provenance.line for s in samples] == [3, 14]


@pytest.mark.parametrize("wrap", ["array", "lines", "page", "one"])
def test_tickets_come_out_of_any_json_with_their_lines(wrap: str, tmp_path: Path) -> None:
    tickets = [{"id": n, "subject": 'a "b" {[', "description": "c\\", "reply": f"d{n}"} for n in range(3)]
    text = {
        "array": "[\n" + ",\n".join(map(json.dumps, tickets)) + "\n]\n",
        "lines": "\n".join(map(json.dumps, tickets)),
        "page": '{"count": 3,\n"tickets": [' + ",\n".join(map(json.dumps, tickets)) + '\n], "meta": {"a": {"b": 1}}}',
        "one": json.dumps(tickets[0], indent=1),
    }[wrap]
    path = write(tmp_path / "t.json", text)
    records = [r for r in read_records(path) if isinstance(r, Record)]
    assert [r.values for r in records] == (tickets[:1] if wrap == "one" else tickets)
    first = {"array": 2, "lines": 1, "page": 2, "one": 1}[wrap]
    assert [r.provenance.line for r in records] == list(range(first, first + len(records)))
    assert Tickets().accepts(path)
    assert [s.output["reply"] for s in Tickets().read(path) if isinstance(s, Sample)] == [
        f"d{n}" for n in range(len(records))
    ]


def test_an_object_across_two_pieces_of_the_reader_is_complete(tmp_path: Path) -> None:
    for pad in (65_490, 65_530, 65_535, 65_536):
        ticket = {"pad": "x" * pad + '\\"{' * 20, "b": '"'}
        path = write(tmp_path / "t.json", json.dumps([ticket, {"c": 1}]))
        assert [r.values for r in read_records(path) if isinstance(r, Record)] == [ticket, {"c": 1}]


def test_the_error_for_a_file_cut_off_within_a_ticket_has_the_line_where_the_ticket_starts(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", '[\n{"description": "a", "reply": "b"},\n{"descr')
    rows = Tickets().read(path)
    assert isinstance(next(rows), Sample)
    with pytest.raises(DataError, match="ends within an object") as caught:
        next(rows)
    assert caught.value.where == f"{path}:3"


def test_names_of_other_sets_are_read_as_the_packaged_intents(tmp_path: Path) -> None:
    path = write(
        tmp_path / "i.csv", "utterance,intent\nwhere is it,track_order\nbill pls,Check Invoice\nhm,ordr_status\nhm,\n"
    )
    one, two, three, four = IntentTable().read(path)
    assert isinstance(one, Sample) and one.output == {"intent": "order_status"}
    assert isinstance(two, Sample) and two.output == {"intent": "invoice"}
    assert isinstance(three, BadRow) and "order_status" in (three.remedy or "") and three.provenance.line == 4
    assert isinstance(four, BadRow) and four.field == "intent"


def test_a_review_row_with_pros_and_cons_is_a_sample() -> None:
    first, _ = ReviewTable().read(ReviewTable.example)
    assert isinstance(first, Sample)
    assert first.output["aspects"] == [
        {"aspect": "speed", "sentiment": "positive"},
        {"aspect": "lid", "sentiment": "negative"},
    ]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (",4,a,b,x: positive,s", "text"),
        ("t,nine,a,b,x: positive,s", "rating"),
        ("t,4,a,b,x: superb,s", "aspects"),
        ("t,4,a,b,x: positive,", "summary"),
    ],
)
def test_a_review_row_that_does_not_fit_is_a_bad_row(row: str, field: str, tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", f"text,rating,pros,cons,aspects,summary\n{row}\n")
    (bad,) = ReviewTable().read(path)
    assert isinstance(bad, BadRow) and (bad.field, bad.provenance.line) == (field, 2) and bad.remedy


def test_plain_reviews_become_one_input_a_product(tmp_path: Path) -> None:
    rows = "".join(f"Mug,ok {n},4\n" for n in range(13)) + "Jug,bad,1\n,,\n"
    path = write(tmp_path / "r.csv", "Product,Review Text,Stars\n" + rows)
    one, two, three = [r for r in review_inputs(path) if not isinstance(r, BadRow)]
    assert [len(v["reviews"]) for v in (one, two, three)] == [12, 1, 1]  # type: ignore[arg-type]
    assert three == {"product": "Jug", "reviews": [{"text": "bad", "rating": 1.0}]}


def test_a_question_and_its_answer_in_a_row_are_a_sample(tmp_path: Path) -> None:
    path = write(
        tmp_path / "b.csv",
        "flags,instruction,category,intent,response\n"
        "B,cancel {{Order Number}},ORDER,cancel_order,Sure.\nB,bill?,I,get_invoice,\n",
    )
    assert Answers().accepts(path)
    good, bad = Answers().read(path)
    assert isinstance(good, Sample) and good.output["intent"] == "cancel_order"
    assert isinstance(bad, BadRow) and (bad.field, bad.provenance.line) == ("response", 3)


@pytest.mark.parametrize(
    ("word", "who"),
    [("Agent Mia", "agent"), ("customer_17", "customer"), ("Support (Bot)", "agent"), (True, "customer"),
     ("客服", "agent"),
     ("System", "silent"), ("Anna", None), ("", None), (None, None)],
)  # fmt: skip
def test_a_speaker_is_recognised_by_its_first_word(word: object, who: str | None) -> None:
    assert speaker(word) == who


FRESHDESK = [
    {"body_text": "hi", "incoming": True},
    {"body_text": "x", "private": True, "incoming": False},
    {"body_text": "yes", "incoming": False},
]
INTERCOM = [{"author": {"type": "user"}, "body": "<p>hi</p>"}, {"author": {"type": "admin"}, "body": "yes"}]


@pytest.mark.parametrize(
    "ticket",
    [
        {"id": 1, "conversations": FRESHDESK},
        {"id": 1, "original": [["customer", "hi"], ["agent", "yes"]]},
        {"id": 1, "conversation_parts": {"conversation_parts": INTERCOM}},
    ],
    ids=["freshdesk", "pairs", "intercom"],
)
def test_threads_of_other_help_desks_are_read_without_their_notes(ticket: dict[str, object], tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", json.dumps(ticket) + "\n" + json.dumps(ticket) + "\n")
    samples = list(Tickets().read(path))
    assert [s.output["reply"] for s in samples if isinstance(s, Sample)] == ["yes", "yes"]
    assert [s.provenance.line for s in samples if s.provenance] == [1, 2]
    assert all(s.input["dialogue"] == [{"who": "customer", "text": "hi"}] for s in samples if isinstance(s, Sample))
