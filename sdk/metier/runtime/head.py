"""One head at work: inputs in, scores and outputs out, texts as vectors.

A head's features are means of its trunk's hidden states over groups of tokens; its graph scores the classes. Which
groups an input has, and which output the classes mean, is in `head_inputs`, `head_tokens` and `head_labels`, which
training uses as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metier.contracts import BundleError, DataError, RequestError, Value
from metier.contracts.heads import HeadEntry
from metier.decoding.device import DeviceSession
from metier.runtime.head_inputs import HeadInput, Shape, head_input, shape_of
from metier.runtime.head_labels import classes_of, output_of
from metier.runtime.head_tokens import Row, RowTokenizer
from metier.runtime.head_trunk import HiddenStates, Trunk


class Item(NamedTuple):
    """One input as a head takes it."""

    head_input: HeadInput
    rows: tuple[Row, ...]
    """One per text."""


class Scores(NamedTuple):
    """A head's scores for one input."""

    logits: HiddenStates
    """[things, classes]."""
    probabilities: HiddenStates
    """[things, classes]."""


class Head:
    """One head on its trunk. Safe to use from any thread."""

    def __init__(
        self, entry: HeadEntry, trunk: Trunk, tokenizer: RowTokenizer, opened: DeviceSession, where: str
    ) -> None:
        """
        Raises:
            BundleError: the graph does not have the task's classes or the head's layers.
        """
        self.entry, self.task = entry, entry.card.tasks[0]
        self.shape = shape_of(self.task)
        self._trunk, self._tokenizer, self._session = trunk, tokenizer, opened.session
        inputs = {node.name: node.shape for node in self._session.get_inputs()}
        outputs = {node.name: node.shape for node in self._session.get_outputs()}
        fits = inputs.get("features", [None, None])[1] == len(entry.layers)
        if not fits or outputs.get("probabilities", [None])[-1] != classes_of(self.task):
            raise BundleError(
                f"the head {entry.name} does not have the {classes_of(self.task)} classes of {self.task.name} over "
                f"{len(entry.layers)} layers",
                where=where,
                remedy="export or fetch the bundle again",
            )

    def item(self, input: Value, language: str | None = None) -> Item:
        """An input as tokens.

        Raises:
            ContractError: it does not satisfy the contract.
            RequestError: a text is longer than the base or the recipe allows.
        """
        return self._item(head_input(self.task, input, language))

    def scores(self, items: Sequence[Item]) -> list[Scores]:
        """The scores of some inputs, in order."""
        features = self._features(items)
        stacked = np.concatenate(features)
        if len(stacked):
            logits, probabilities = self._session.run(["logits", "probabilities"], {"features": stacked})
        else:  # texts without a word
            logits = probabilities = np.zeros((0, classes_of(self.task)), np.float32)
        ends = np.cumsum([len(each) for each in features])[:-1]
        return [Scores(*part) for part in zip(np.split(logits, ends), np.split(probabilities, ends), strict=True)]

    def output_of(self, item: Item, scores: Scores) -> tuple[Value, dict[str, float]]:
        """The output of the best classes, and each label's probability where the whole text has one label.

        Raises:
            ContractError: the output does not satisfy the contract.
        """
        output = output_of(self.task, scores.logits.argmax(-1).tolist(), item.head_input)
        if self.shape is Shape.TOKEN:
            return output, {}
        return output, dict(zip(self.task.labels, scores.probabilities[0].tolist(), strict=True))

    def output(self, input: Value, language: str | None = None) -> Value:
        """The output of one input, without checks or a recorder. Raises as `item` and `output_of`."""
        item = self.item(input, language)
        (scores,) = self.scores([item])
        return self.output_of(item, scores)[0]

    def embed(self, texts: Sequence[str]) -> HiddenStates:
        """Texts as vectors of length 1, [texts, width].

        Raises:
            RequestError: a text is longer than the base or the recipe allows.
        """
        if not texts:
            return np.zeros((0, self._trunk.width), np.float32)
        rows = [self._item(HeadInput((text,), (((0, len(text)),),))).rows[0] for text in texts]
        groups = {Shape.PAIR: 3, Shape.SIDES: 2}.get(self.shape, 1)  # the graph takes as many as its task has
        features = np.stack(self._trunk.pooled(rows, self.entry.layers)).repeat(groups, axis=2)
        (vectors,) = self._session.run(["embeddings"], {"features": features})
        return np.asarray(vectors[:, 0])

    def _item(self, given: HeadInput) -> Item:
        try:
            return Item(given, self._tokenizer.rows(given))
        except DataError as error:
            raise RequestError(error.what, remedy=error.remedy) from error

    def _features(self, items: Sequence[Item]) -> list[HiddenStates]:
        """The features of each input, [things, layers, groups, width]."""
        pooled = iter(self._trunk.pooled([row for item in items for row in item.rows], self.entry.layers))
        sides = [[next(pooled) for _ in item.rows] for item in items]  # each [layers, groups, width]
        if self.shape is Shape.TOKEN:
            return [only.swapaxes(0, 1)[:, :, None] for (only,) in sides]
        return [np.concatenate(both, axis=1)[None] for both in sides]
