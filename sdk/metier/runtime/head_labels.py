"""From an output to a head's target classes, and from its predicted classes to an output that satisfies the contract.

Words have IOB2 tags (Ramshaw and Marcus 1995, arXiv cmp-lg/9505040)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metier.contracts import DataError, Sample, TaskContract, Value
from metier.prompting.reply import decode_reply, encode_reply
from metier.runtime.head_inputs import HeadInput, Place, Shape, shape_of, span_labels

OUTSIDE = 0
"""Class of a word in no span; the first word of a span of label k has class 2k + 1, the next ones 2k + 2."""


def classes_of(task: TaskContract) -> int:
    """Number of classes of the task's head."""
    return 1 + 2 * len(span_labels(task)) if shape_of(task) is Shape.TOKEN else len(task.labels)


def targets_of(task: TaskContract, sample: Sample, given: HeadInput) -> list[int]:
    """The class of each labelled item: of the text, or of each word.

    Raises:
        DataError: a span does not occur in the text, so that no word can have its label.
    """
    if shape_of(task) is not Shape.TOKEN:
        return [task.labels.index(encode_reply(task, sample.output))]
    names, text = span_labels(task), given.texts[0]
    tags = [OUTSIDE] * len(given.places[0])
    after: dict[str, int] = {}
    spans: Any = sample.output.get("spans") or []
    for span in spans:
        words = str(span["text"])
        start = text.find(words, after.get(words, 0))
        if start < 0 or not words.strip():
            raise DataError(
                f"the span {words!r} does not occur in the text",
                where=str(sample.provenance) if sample.provenance else None,
                remedy="copy spans word for word, or set produces: text in the recipe",
            )
        after[words] = start + len(words)
        first = 2 * names.index(str(span["label"])) + 1
        inside = [i for i, place in enumerate(given.places[0]) if _overlap(place, (start, start + len(words)))]
        for i in inside:
            tags[i] = first if i == inside[0] else first + 1
    return tags


def output_of(task: TaskContract, classes: Sequence[int], given: HeadInput) -> Value:
    """The output that the predicted classes mean."""
    if shape_of(task) is not Shape.TOKEN:
        return decode_reply(task, task.labels[classes[0]])
    names, text, found = span_labels(task), given.texts[0], []
    open_label, begin, end_of_span = None, 0, 0
    for tag, (start, end) in [*zip(classes, given.places[0], strict=True), (OUTSIDE, (0, 0))]:
        label = None if tag == OUTSIDE else names[(tag - 1) // 2]
        continues = label is not None and label == open_label and tag % 2 == 0
        if open_label is not None and not continues:
            found.append({"label": open_label, "text": text[begin:end_of_span]})
        if label is not None and not continues:
            begin = start
        open_label, end_of_span = label, end
    return task.check_output({"spans": found})


def _overlap(one: Place, other: Place) -> bool:
    return one[0] < other[1] and other[0] < one[1]
