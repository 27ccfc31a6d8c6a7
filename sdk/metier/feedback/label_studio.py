"""The feedback store as Label Studio's JSON, both ways: answers go out to annotators, what they did comes back.

A task is an answer; the answer itself is a prediction in a text area, and each event is an annotation of four controls
(LABELING_CONFIG). `data.metier` carries the row itself, which Label Studio hands back untouched, so that an answer
finds its way home and an annotation that nobody changed is not taken for a new one. Format:
https://labelstud.io/guide/task_format
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError

from metier.contracts import DataError, Value
from metier.disk import atomic_file
from metier.feedback.exchange import Imported, Line, bring_in, lines_of
from metier.feedback.records import Answer, Event
from metier.feedback.store import FeedbackStore

LABELING_CONFIG = """<View>
  <Header value="$task"/>
  <Text name="input" value="$input"/>
  <TextArea name="correction" toName="input" editable="true" maxSubmissions="1" rows="6"/>
  <Choices name="verdict" toName="input" choice="single-radio">
    <Choice value="accepted"/>
    <Choice value="rejected"/>
  </Choices>
  <Rating name="rating" toName="input" maxRating="5"/>
  <TextArea name="comment" toName="input" maxSubmissions="1"/>
</View>
"""
"""What a Label Studio project needs to show these tasks."""

STARS = 5


def export_label_studio(store: FeedbackStore, path: str | Path, task: str | None = None) -> int:
    """Write the store, or one task of it, as a file to import into Label Studio; the number of tasks."""
    tasks = [_task(line) for line in lines_of(store, task)]
    with atomic_file(Path(path)) as file:
        json.dump(tasks, file, ensure_ascii=False, indent=1)
    return len(tasks)


def import_label_studio(store: FeedbackStore, path: str | Path) -> Imported:
    """Add what annotators did in a file that Label Studio exported (JSON, not JSON-MIN).

    A correction becomes `edited`, an answer left as it is with no verdict `accepted`, stars a rating. Annotations that
    were skipped, or that this store wrote itself and nobody changed, add nothing. Tasks whose answer the store does
    not hold bring it along, but for what was erased.

    Raises:
        DataError: the file is no such export, or a task of it was not made by `export_label_studio`.
    """
    lines = []
    for number, found in enumerate(_read(Path(path)), 1):
        where = f"{path}: task {found.get('id', number)}"
        try:
            line = Line.model_validate(found["data"]["metier"])
            events = tuple(_events(line, found.get("annotations") or (), where))
            lines.append(Line(answer=line.answer, events=events))
        except (KeyError, TypeError, AttributeError, ValidationError) as error:
            raise DataError(
                "it does not carry the answer that it is about",
                where=where,
                remedy="import into the project what `metier feedback export --to label-studio` wrote",
            ) from error
    return bring_in(store, lines)


def _task(line: Line) -> dict[str, Any]:
    answer = line.answer
    return {
        "data": {
            "task": answer.task,
            "input": _shown(answer.input),
            "metier": line.model_dump(mode="json"),
        },
        "predictions": [
            {
                "model_version": answer.adapter or answer.bundle or "unknown",
                "result": [_control("correction", "textarea", {"text": [_shown(answer.output)]})],
            }
        ],
        "annotations": [
            {
                "unique_id": _unique(event.id),
                "created_at": event.at.isoformat(),
                "was_cancelled": False,
                "result": result,
            }
            for event in line.events
            if (result := _result(event))
        ],
    }


def _result(event: Event) -> list[dict[str, Any]]:
    """An event as controls; empty where Label Studio has none for it (a choice among several answers)."""
    found = []
    if event.kind == "edited":
        found.append(_control("correction", "textarea", {"text": [_shown(event.edited_to or {})]}))
    if event.kind in ("accepted", "rejected"):
        found.append(_control("verdict", "choices", {"choices": [event.kind]}))
    if event.kind == "rated":
        found.append(_control("rating", "rating", {"rating": 1 + round((STARS - 1) * (event.rating or 0))}))
    if event.comment and event.kind != "chosen":
        found.append(_control("comment", "textarea", {"text": [event.comment]}))
    return found


def _control(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "input", "type": kind, "value": value}


def _events(line: Line, annotations: Any, where: str) -> Iterator[Event]:
    known = {_unique(event.id): event for event in line.events}
    for event in line.events:
        if not _result(event):
            yield event
    for annotation in annotations:
        if annotation.get("was_cancelled"):
            continue
        own = known.get(str(annotation.get("unique_id")))
        if own is not None and _same(annotation["result"], _result(own)):
            yield own
        else:
            yield from _made(line.answer, annotation, where)


def _made(answer: Answer, annotation: Mapping[str, Any], where: str) -> Iterator[Event]:
    """The events that an annotation amounts to. Its id and time make theirs, so that an import repeated adds none."""
    said = {name: _said(annotation["result"], name) for name in ("correction", "verdict", "rating", "comment")}
    at = annotation.get("updated_at") or annotation.get("created_at")
    mark = f"label-studio:{annotation.get('unique_id') or annotation.get('id')}:{at}"
    common: dict[str, Any] = {"answer": answer.id, "user": _who(annotation)}
    if at:
        common["at"] = datetime.fromisoformat(str(at).replace("Z", "+00:00"))
    comment = said["comment"]
    corrected = None if said["correction"] is None else _value(answer.output, str(said["correction"]), where)
    made: list[Event] = []
    if corrected is not None and corrected != answer.output:
        made.append(Event(id=f"{mark}:edited", kind="edited", edited_to=corrected, comment=comment, **common))
    elif said["verdict"] in ("accepted", "rejected"):
        made.append(Event(id=f"{mark}:verdict", kind=said["verdict"], comment=comment, **common))
    elif corrected is not None:
        made.append(Event(id=f"{mark}:accepted", kind="accepted", comment=comment, **common))
    if said["rating"] is not None:
        rating = (float(said["rating"]) - 1) / (STARS - 1)
        made.append(Event(id=f"{mark}:rated", kind="rated", rating=min(1.0, max(0.0, rating)), **common))
    if comment and not (made and made[0].comment):
        made.append(Event(id=f"{mark}:comment", kind="comment", comment=comment, **common))
    yield from made


def _said(result: Any, name: str) -> Any:
    """What a control holds; None where it was left alone."""
    for region in result:
        if region.get("from_name") == name:
            value = region["value"]
            inner = value.get("text", value.get("choices", value.get("rating")))
            return inner[0] if isinstance(inner, list) and inner else inner
    return None


def _same(result: Any, own: list[dict[str, Any]]) -> bool:
    names = ("correction", "verdict", "rating", "comment")
    return all(_said(result, name) == _said(own, name) for name in names)


def _who(annotation: Mapping[str, Any]) -> str | None:
    """The annotator, the same however Label Studio's different exports name them: by a number, or an object with it."""
    by = annotation.get("completed_by")
    if isinstance(by, Mapping):
        by = by.get("id") or by.get("email")
    return None if by is None else f"label-studio:{by}"


def _shown(value: Value) -> str:
    """A value as an annotator reads and writes it: the text where it has one string only, else JSON."""
    if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only
    return json.dumps(value, ensure_ascii=False, indent=1)


def _value(like: Value, text: str, where: str) -> Value:
    if len(like) == 1 and isinstance(next(iter(like.values())), str):
        return {next(iter(like)): text}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(
            f"the correction is not JSON: {error}", where=where, remedy="mend it in Label Studio, and export again"
        ) from error
    if not isinstance(found, dict):
        raise DataError("the correction is not a JSON object", where=where, remedy="mend it in Label Studio")
    return found


def _unique(id: str) -> str:
    """An event's id in the only form that Label Studio keeps: a UUID."""
    try:
        return str(UUID(id))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, id))


def _read(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the file cannot be read: {error}", where=str(path), remedy="export it as JSON") from error
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DataError("this is not a list of tasks", where=str(path), remedy="export it as JSON, not JSON-MIN")
    return found
