"""The feedback store as Label Studio's JSON, both ways: answers go to annotators, their annotations become events.

A task is an answer; its output is a prediction in a text area, and each event is an annotation of four controls
(LABELING_CONFIG). `data.metier` carries the row itself, which Label Studio returns unchanged: it identifies the answer,
and shows which annotations are unchanged. Format: https://labelstud.io/guide/task_format
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError

from metier.contracts import Answer, DataError, EventKind, FeedbackEvent, Value
from metier.disk import atomic_file
from metier.feedback.exchange import Imported, Line, import_lines, lines_of
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

CONTROLS = ("correction", "verdict", "rating", "comment")


def export_label_studio(store: FeedbackStore, path: str | Path, task: str | None = None) -> int:
    """Write the store, or one task of it, as a file to import into Label Studio; the number of tasks."""
    tasks = [_label_studio_task(line) for line in lines_of(store, task)]
    with atomic_file(Path(path)) as file:
        json.dump(tasks, file, ensure_ascii=False, indent=1)
    return len(tasks)


def import_label_studio(store: FeedbackStore, path: str | Path) -> Imported:
    """Add the annotations of a file that Label Studio exported (JSON, not JSON-MIN).

    A correction becomes `edited`, an unchanged answer without a verdict `accepted`, stars become `rated`. Annotations
    that were skipped, or that this store exported and that are unchanged, add nothing. Answers that the store does not
    hold are added too, except erased ones.

    Raises:
        DataError: the file is not such an export, or a task of it was not written by `export_label_studio`.
    """
    lines = []
    for number, task in enumerate(_read(Path(path)), 1):
        where = f"{path}: task {task.get('id', number)}"
        try:
            line = Line.model_validate(task["data"]["metier"])
            events = tuple(_events(line, task.get("annotations") or (), where))
            lines.append(Line(answer=line.answer, events=events))
        except (KeyError, TypeError, AttributeError, ValidationError) as error:
            raise DataError(
                "the task does not hold the answer that it is about",
                where=where,
                remedy="import the file of `metier feedback export --to label-studio` into the project",
            ) from error
    return import_lines(store, lines)


def _label_studio_task(line: Line) -> dict[str, Any]:
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


def _correction(event: FeedbackEvent) -> dict[str, Any]:
    return _control("correction", "textarea", {"text": [_shown(event.edited_to or {})]})


def _verdict(event: FeedbackEvent) -> dict[str, Any]:
    return _control("verdict", "choices", {"choices": [event.kind.value]})


def _stars(event: FeedbackEvent) -> dict[str, Any]:
    return _control("rating", "rating", {"rating": 1 + round((STARS - 1) * (event.rating or 0))})


_KIND_CONTROLS: Mapping[EventKind, Callable[[FeedbackEvent], dict[str, Any]]] = {
    EventKind.ACCEPTED: _verdict,
    EventKind.EDITED: _correction,
    EventKind.REJECTED: _verdict,
    EventKind.RATED: _stars,
}
"""The control that shows an event of each kind; Label Studio has none for a choice among several answers."""


def _result(event: FeedbackEvent) -> list[dict[str, Any]]:
    """An event as controls, with its comment; empty where Label Studio has none for it."""
    if event.kind is EventKind.CHOSEN:
        return []
    control = _KIND_CONTROLS.get(event.kind)
    controls = [control(event)] if control else []
    if event.comment:
        controls.append(_control("comment", "textarea", {"text": [event.comment]}))
    return controls


def _control(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "input", "type": kind, "value": value}


def _events(line: Line, annotations: Any, where: str) -> Iterator[FeedbackEvent]:
    known = {_unique(event.id): event for event in line.events}
    for event in line.events:
        if not _result(event):
            yield event
    for annotation in annotations:
        if annotation.get("was_cancelled"):
            continue
        exported = known.get(str(annotation.get("unique_id")))
        if exported is not None and _same(annotation["result"], _result(exported)):
            yield exported
        else:
            yield from _new_events(line.answer, annotation, where)


def _new_events(answer: Answer, annotation: Mapping[str, Any], where: str) -> Iterator[FeedbackEvent]:
    """The events of one annotation. Their ids derive from its id and time, so that a repeated import adds none."""
    values = {name: _control_value(annotation["result"], name) for name in CONTROLS}
    at = annotation.get("updated_at") or annotation.get("created_at")
    mark = f"label-studio:{annotation.get('unique_id') or annotation.get('id')}:{at}"
    common: dict[str, Any] = {"answer": answer.id, "user": _annotator(annotation)}
    if at:
        common["at"] = datetime.fromisoformat(str(at).replace("Z", "+00:00"))
    comment = values["comment"]
    corrected = None if values["correction"] is None else _value(answer.output, str(values["correction"]), where)
    events: list[FeedbackEvent] = []

    def add(suffix: str, kind: EventKind, **fields: Any) -> None:
        events.append(FeedbackEvent(id=f"{mark}:{suffix}", kind=kind, **fields, **common))

    if corrected is not None and corrected != answer.output:
        add("edited", EventKind.EDITED, edited_to=corrected, comment=comment)
    elif values["verdict"] in ("accepted", "rejected"):
        add("verdict", EventKind(values["verdict"]), comment=comment)
    elif corrected is not None:
        add("accepted", EventKind.ACCEPTED, comment=comment)
    if values["rating"] is not None:
        rating = (float(values["rating"]) - 1) / (STARS - 1)
        add("rated", EventKind.RATED, rating=min(1.0, max(0.0, rating)))
    if comment and not (events and events[0].comment):
        add("comment", EventKind.COMMENT, comment=comment)
    yield from events


def _control_value(result: Any, name: str) -> Any:
    """What a control holds; None where the annotator left it empty."""
    for region in result:
        if region.get("from_name") == name:
            value = region["value"]
            inner = value.get("text", value.get("choices", value.get("rating")))
            return inner[0] if isinstance(inner, list) and inner else inner
    return None


def _same(result: Any, exported: list[dict[str, Any]]) -> bool:
    return all(_control_value(result, name) == _control_value(exported, name) for name in CONTROLS)


def _annotator(annotation: Mapping[str, Any]) -> str | None:
    """The annotator. Some exports of Label Studio name them by a number, others by an object that holds it."""
    by = annotation.get("completed_by")
    if isinstance(by, Mapping):
        by = by.get("id") or by.get("email")
    return None if by is None else f"label-studio:{by}"


def _shown(value: Value) -> str:
    """A value as an annotator reads and writes it: the text where it holds a single string, else JSON."""
    if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only
    return json.dumps(value, ensure_ascii=False, indent=1)


def _value(output: Value, text: str, where: str) -> Value:
    """What an annotator wrote, in the form of the answer's output."""
    if len(output) == 1 and isinstance(next(iter(output.values())), str):
        return {next(iter(output)): text}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(
            f"the correction is not JSON: {error}", where=where, remedy="fix it in Label Studio, and export again"
        ) from error
    if not isinstance(found, dict):
        raise DataError(
            "the correction is not a JSON object", where=where, remedy="fix it in Label Studio, and export again"
        )
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
