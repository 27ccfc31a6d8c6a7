"""Feedback is exported and imported again: as JSON lines, and through Label Studio with its annotations."""

import json
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import Answer, DataError, FeedbackEvent, Finding
from metier.feedback import FeedbackStore
from metier.feedback.exchange import export_jsonl, import_jsonl, lines_of
from metier.feedback.label_studio import LABELING_CONFIG, export_label_studio, import_label_studio

text = st.text(max_size=20)
value = st.dictionaries(st.text(min_size=1, max_size=5), text | st.booleans() | st.lists(text, max_size=2), max_size=3)
when = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
answers = st.builds(
    Answer,
    task=st.sampled_from(["shop.a", "shop.b"]),
    input=value,
    output=value,
    at=when,
    user=st.none() | text,
    prompt=st.none() | text,
    findings=st.dictionaries(text, st.lists(st.builds(Finding, message=text), max_size=2).map(tuple), max_size=2),
    consent=st.booleans(),
    keep_until=st.none() | when,
)


def event_of(answer: Answer) -> st.SearchStrategy[FeedbackEvent]:
    def kind(name: str, **fields):
        return st.builds(
            FeedbackEvent,
            answer=st.just(answer.id),
            kind=st.just(name),
            at=when,
            user=st.none() | text,
            **{"comment": st.none() | text, **fields},
        )

    return st.one_of(
        kind("accepted"),
        kind("rejected"),
        kind("edited", edited_to=value),
        kind("chosen", among=st.lists(value, min_size=1, max_size=2).map(tuple)),
        kind("rated", rating=st.floats(0, 1)),
        kind("comment", comment=st.text(min_size=1, max_size=9)),
    )


rows = st.lists(answers.flatmap(lambda a: st.tuples(st.just(a), st.lists(event_of(a), max_size=4))), max_size=4)


@settings(max_examples=30, deadline=None)
@given(rows)
@pytest.mark.parametrize("through", [(export_jsonl, import_jsonl), (export_label_studio, import_label_studio)])
def test_what_leaves_the_store_comes_back_the_same_and_only_once(tmp_path_factory, through, rows) -> None:
    write, read = through
    folder = tmp_path_factory.mktemp("exchange")
    with FeedbackStore(folder / "a.db") as store, FeedbackStore(folder / "b.db") as other:
        for answer, events in rows:
            store.add(answer, *events)
        write(store, folder / "file.json")
        if not rows and read is import_jsonl:
            return
        for _ in range(2):
            read(other, folder / "file.json")

        def content(of: FeedbackStore):
            return [(line.answer, sorted(line.events, key=lambda e: e.id)) for line in lines_of(of)]

        assert content(other) == content(store)


@pytest.fixture
def store(tmp_path: Path):
    with FeedbackStore(tmp_path / "feedback.db") as opened:
        yield opened


def annotated(path: Path, *results: list[dict], **fields) -> Path:
    """The file as Label Studio exports it, after annotators did this to each task."""
    tasks = json.loads(path.read_text())
    for number, (task, result) in enumerate(zip(tasks, results, strict=True), 1):
        task |= {"id": number, "project": 3, "meta": {}}
        about = {"id": 100 + number, "completed_by": 7, "updated_at": "2026-05-04T10:00:00.000000Z", **fields}
        task["annotations"].append({"was_cancelled": False, "lead_time": 4.2, "result": result, **about})
    path.write_text(json.dumps(tasks))
    return path


def control(name: str, kind: str, **value) -> dict:
    return {"id": "Dx_aB91ISN", "from_name": name, "to_name": "input", "type": kind, "value": value, "origin": "manual"}


def test_annotations_become_events(store, tmp_path: Path) -> None:
    plain = [Answer(task="shop.a", input={"facts": f"mug {n}"}, output={"text": "A mug."}, consent=True) for n in "123"]
    rich = Answer(task="shop.a", input={"facts": "lamp"}, output={"name": "lamp", "tags": ["oak"]})
    store.add(*plain, rich)
    export_label_studio(store, tmp_path / "out.json")
    file = annotated(
        tmp_path / "out.json",
        [control("correction", "textarea", text=["A blue mug."]), control("comment", "textarea", text=["colour"])],
        [control("correction", "textarea", text=["A mug."])],
        [control("verdict", "choices", choices=["rejected"]), control("rating", "rating", rating=2)],
        [control("correction", "textarea", text=['{"name": "lamp", "tags": []}'])],
    )
    assert import_label_studio(store, file).events == 5
    assert import_label_studio(store, file).events == 0
    other_form = [
        task
        | {"annotations": [a | {"completed_by": {"id": 7, "email": "ann@example.org"}} for a in task["annotations"]]}
        for task in json.loads(file.read_text())
    ]
    (tmp_path / "other.json").write_text(json.dumps(other_form))
    assert import_label_studio(store, tmp_path / "other.json").events == 0, (
        "the annotator is the same in another form of export"
    )
    events = [stored.event for stored in store.events()]
    assert [(e.kind, e.edited_to, e.rating, e.user) for e in events] == [
        ("edited", {"text": "A blue mug."}, None, "label-studio:7"),
        ("accepted", None, None, "label-studio:7"),
        ("rejected", None, None, "label-studio:7"),
        ("rated", None, 0.25, "label-studio:7"),
        ("edited", {"name": "lamp", "tags": []}, None, "label-studio:7"),
    ]
    assert next(store.events()).event.at == datetime(2026, 5, 4, 10, tzinfo=UTC)


def test_a_skipped_annotation_adds_nothing_and_a_changed_one_is_new(store, tmp_path: Path) -> None:
    answer = Answer(task="shop.a", input={"facts": "mug"}, output={"text": "A mug."})
    store.add(answer, FeedbackEvent(answer=answer.id, kind="accepted", user="ann"))
    export_label_studio(store, tmp_path / "out.json")
    skipped = annotated(tmp_path / "out.json", [control("verdict", "choices", choices=["rejected"])])
    tasks = json.loads(skipped.read_text())
    tasks[0]["annotations"][1]["was_cancelled"] = True
    skipped.write_text(json.dumps(tasks))
    assert import_label_studio(store, skipped).events == 0
    tasks[0]["annotations"][0]["result"][0]["value"] = {"choices": ["rejected"]}
    skipped.write_text(json.dumps(tasks))
    assert import_label_studio(store, skipped).events == 1
    assert [stored.event.kind for stored in store.events()] == ["accepted", "rejected"]


def test_every_control_that_is_written_is_in_the_labelling_config(store, tmp_path: Path) -> None:
    names = {node.get("name"): node for node in ElementTree.fromstring(LABELING_CONFIG).iter() if node.get("name")}
    answer = Answer(task="shop.a", input={"facts": "mug"}, output={"text": "A mug."})
    store.add(answer, *(FeedbackEvent(answer=answer.id, kind=k, rating=1, edited_to={"text": "x"}, comment="c")
                       for k in ("accepted", "edited", "rated", "comment")))  # fmt: skip
    export_label_studio(store, tmp_path / "out.json")
    (task,) = json.loads((tmp_path / "out.json").read_text())
    regions = [r for a in (*task["annotations"], *task["predictions"]) for r in a["result"]]
    assert {r["from_name"] for r in regions} == {"correction", "verdict", "rating", "comment"} == {*names} - {"input"}
    assert all(names[r["from_name"]].tag.lower() == r["type"] and r["to_name"] == "input" for r in regions)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "not a list of tasks"),
        ('[{"id": 5, "data": {"text": "x"}}]', "task 5: the task does not hold the answer"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_file_that_is_not_such_an_export_raises_with_its_place(store, tmp_path: Path, content, words) -> None:
    (tmp_path / "in.json").write_text(content)
    with pytest.raises(DataError, match=words):
        import_label_studio(store, tmp_path / "in.json")


def test_a_bad_line_is_named_and_nothing_is_added(store, tmp_path: Path) -> None:
    good = Answer(task="shop.a", input={}, output={})
    file = tmp_path / "in.jsonl"
    file.write_text(f'{{"answer": {good.model_dump_json()}}}\n{{"answer": {{"task": "shop.a", "input": {{}}}}}}\n')
    with pytest.raises(DataError, match=r"in.jsonl:2: answer.output"):
        import_jsonl(store, file)
    assert store.counts() == {"answers": 0}


@pytest.mark.parametrize(
    ("export", "load"), [(export_jsonl, import_jsonl), (export_label_studio, import_label_studio)], ids=["jsonl", "ls"]
)
def test_what_was_erased_does_not_come_back_with_an_older_export(store, tmp_path: Path, export, load) -> None:
    for user in ("ann", "bob"):
        answer = Answer(task="shop.a", input={"facts": user}, output={"text": "x"}, user=user, consent=True)
        store.add(answer, FeedbackEvent(answer=answer.id, kind="accepted", user=user))
    shown = Answer(task="shop.a", input={"facts": "shared"}, output={"text": "x"}, consent=True)
    store.add(shown, FeedbackEvent(answer=shown.id, kind="rejected", user="ann"))
    export(store, tmp_path / "monday.json")
    store.erase("ann")
    assert load(store, tmp_path / "monday.json") == (0, 0, 3, 3), "bob's two rows and the shared answer; ann's three"
    assert {answer.input["facts"] for answer in store.answers()} == {"bob", "shared"}
    assert [stored.event.user for stored in store.events()] == ["bob"]


def test_a_line_in_the_form_of_the_error_message_is_imported(store, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text('{"answer": {"id": "a1"}}\n')
    with pytest.raises(DataError) as refused:
        import_jsonl(store, file)
    form = str(refused.value.remedy).removeprefix("a line is ")
    for place, value in (('"kind": …', '"kind": "accepted"'), ('"task": …', '"task": "shop.a"')):
        form = form.replace(place, value)
    file.write_text(form.replace("}, …]", "}]").replace("…", "{}") + "\n")
    assert import_jsonl(store, file) == (1, 1, 0, 0) and [stored.event.kind for stored in store.events()] == [
        "accepted"
    ]
