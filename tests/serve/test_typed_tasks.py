"""Typed tasks over HTTP: contracts as JSON Schema, answers with findings, batches, streams and feedback."""

from __future__ import annotations

import json

import httpx
import pytest
from tests.serve.conftest import KEY, running

from metier.contracts import Check, Finding

TASK = "tiny.copy"
INPUT = {"facts": "a blue mug"}


@pytest.fixture(scope="module")
def task_server(tiny_slotted, settings, tmp_path_factory):
    from metier.feedback import FeedbackStore, StoreRecorder
    from metier.runtime import Engine
    from metier.serve import create_app

    def finds(input, output):
        return [Finding(message="it always finds something")]

    pair = ({"facts": "x"}, {"text": "y"})
    check = Check(name="always", tasks=(TASK,), run=finds, passing=pair, failing=pair)
    store = FeedbackStore(tmp_path_factory.mktemp("store") / "feedback.db")
    engine = Engine(tiny_slotted, threads=1, rows=4, recorder=StoreRecorder(store))
    with store, engine, running(create_app([engine], settings, checks={TASK: (check,)}, store=store)) as found:
        found.store, found.engine = store, engine
        yield found


@pytest.fixture(scope="module")
def post(task_server):
    with httpx.Client(base_url=task_server.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as client:

        def send(path, **body):
            return client.post(path, json=body)

        yield send


def test_tasks_are_listed_with_their_schemas_and_are_in_the_openapi_document(task_server):
    headers = {"Authorization": f"Bearer {KEY}"}
    tasks = {task["name"]: task for task in httpx.get(f"{task_server.url}/v1/tasks", headers=headers).json()["data"]}
    assert tasks[TASK]["input"]["type"] == "object"
    document = httpx.get(f"{task_server.url}/openapi.json", headers=headers).json()
    body = document["paths"][f"/v1/tasks/{TASK}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["input"]["properties"].keys() == tasks[TASK]["input"]["properties"].keys()
    assert "$ref" not in json.dumps(document)


def test_an_answer_has_output_findings_and_an_id_that_feedback_names(task_server, post):
    answer = post(f"/v1/tasks/{TASK}", input=INPUT, user="u1", consent=True)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["findings"]["always"][0]["message"] == "it always finds something"
    assert task_server.store.answer(body["id"]).output == body["output"]
    event = post("/v1/feedback", answer=body["id"], kind="accepted", user="u1")
    assert event.status_code == 201
    (stored,) = task_server.store.events()
    assert stored.event.answer == body["id"]
    assert post("/v1/feedback", answer="no-such", kind="accepted").status_code == 400
    assert post("/v1/feedback", answer=body["id"], kind="edited").status_code == 400


def test_a_batch_keeps_its_order_and_names_the_rows_that_failed(task_server, post):
    good = INPUT
    body = post(f"/v1/tasks/{TASK}", inputs=[good, {"wrong": 1}, good], record=False).json()
    assert [row["index"] for row in body["data"]] == [0, 1, 2]
    assert body["data"][0]["output"] == body["data"][2]["output"]
    assert body["data"][1]["error"]["code"] == "input"


def test_a_stream_gives_pieces_then_the_checked_answer(task_server, post):
    whole = post(f"/v1/tasks/{TASK}", input=INPUT, record=False).json()
    with httpx.stream(
        "POST",
        f"{task_server.url}/v1/tasks/{TASK}",
        json={"input": INPUT, "stream": True},
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=60,
    ) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    assert events[-1]["type"] == "answer"
    assert events[-1]["output"] == whole["output"]
    assert "".join(event["delta"] for event in events[:-1]).strip()
    assert task_server.store.answer(events[-1]["id"]).output == whole["output"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"input": {"nonsense": 1}}, 400),
        ({"input": {}, "inputs": []}, 400),
        ({"input": {"facts": "x"}, "unknown": 1}, 400),
        ({"input": {"facts": "x"}, "adapter": "nobody"}, 400),
        ({"input": {"facts": "x"}, "candidates": 1000}, 400),
        ({"input": {"facts": "x"}, "language": "tlh"}, 400),
    ],
)
def test_bad_requests_are_refused(post, body, status):
    assert post(f"/v1/tasks/{TASK}", **body).status_code == status


def test_an_unknown_task_is_not_found(post):
    answer = post("/v1/tasks/tiny.cpy", input={})
    assert answer.status_code == 404
    assert TASK in answer.json()["error"]["message"]
