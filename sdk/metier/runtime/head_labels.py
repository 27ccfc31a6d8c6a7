"""From an output to the classes that a head is to choose, and from its choices back to an output that satisfies the
contract. Words carry IOB2 tags (Ramshaw and Marcus 1995, arXiv cmp-lg/9505040)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metier.contracts import DataError, Sample, TaskContract, Value
from metier.prompting.reply import decode_reply, encode_reply
from metier.runtime.head_inputs import HeadInput, Place, Shape, shape_of, span_labels

OUTSIDE = 0
"""Class of a word that is in no span; label k begins with class 2k + 1 and goes on with 2k + 2."""


def classes_of(task: TaskContract) -> int:
    """How many classes the task's head chooses from."""
    return 1 + 2 * len(span_labels(task)) if shape_of(task) is Shape.TOKEN else len(task.labels)


def targets_of(task: TaskContract, sample: Sample, shown: HeadInput) -> list[int]:
    """The class of each thing that is labelled: the whole, or word by word.

    Raises:
        DataError: a span does not stand in the text, so that no word could be tagged with it.
    """
    if shape_of(task) is not Shape.TOKEN:
        return [task.labels.index(encode_reply(task, sample.output))]
    names, text = span_labels(task), shown.texts[0]
    tags = [OUTSIDE] * len(shown.places[0])
    after: dict[str, int] = {}
    spans: Any = sample.output.get("spans") or []
    for span in spans:
        words = str(span["text"])
        start = text.find(words, after.get(words, 0))
        if start < 0 or not words.strip():
            raise DataError(
                f"the span {words!r} does not stand in the text",
                where=str(sample.provenance) if sample.provenance else None,
                remedy="copy spans word for word, or say produces: text",
            )
        after[words] = start + len(words)
        first = 2 * names.index(str(span["label"])) + 1
        inside = [i for i, place in enumerate(shown.places[0]) if _meets(place, (start, start + len(words)))]
        for i in inside:
            tags[i] = first if i == inside[0] else first + 1
    return tags


def output_of(task: TaskContract, chosen: Sequence[int], shown: HeadInput) -> Value:
    """The output that a head's choices say."""
    if shape_of(task) is not Shape.TOKEN:
        return decode_reply(task, task.labels[chosen[0]])
    names, text, found = span_labels(task), shown.texts[0], []
    open_label, begun, ended = None, 0, 0
    for tag, (start, end) in [*zip(chosen, shown.places[0], strict=True), (OUTSIDE, (0, 0))]:
        label = None if tag == OUTSIDE else names[(tag - 1) // 2]
        goes_on = label is not None and label == open_label and tag % 2 == 0
        if open_label is not None and not goes_on:
            found.append({"label": open_label, "text": text[begun:ended]})
        if label is not None and not goes_on:
            begun = start
        open_label, ended = label, end
    return task.check_output({"spans": found})


def _meets(one: Place, other: Place) -> bool:
    return one[0] < other[1] and other[0] < one[1]
