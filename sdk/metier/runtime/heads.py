"""A bundle's heads at work: inputs in, checked outputs with their labels' probabilities out, texts as vectors. Nothing
is written token by token, so nothing is sampled, retried or streamed.

A head's features are means of its trunk's hidden states over groups of tokens, and its graph chooses. Which groups an
input has, and what the choices say, is in `asked`, `rows` and `answered`: the code that training used as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metier.contracts import (
    BundleError,
    Check,
    DataError,
    MetierError,
    RequestError,
    UsageError,
    Value,
)
from metier.contracts.check import run_checks
from metier.contracts.heads import HEAD_FILE, TRUNK_FILE, HeadEntry
from metier.decoding.adapter_store import check_name
from metier.decoding.device import DeviceSession, open_session
from metier.runtime.bundle import Bundle, row_tokenizer
from metier.runtime.head_inputs import Asked, Shape, asked, shape_of
from metier.runtime.head_labels import classes_of, output_of
from metier.runtime.head_tokens import Row, RowTokenizer
from metier.runtime.head_trunk import States, Trunk
from metier.runtime.retries import Answer

AHEAD = 128
"""Inputs taken at once, so that texts of like length meet in a pass."""


class Item(NamedTuple):
    """One input as a head takes it."""

    shown: Asked
    rows: tuple[Row, ...]
    """Text by text."""


class Scores(NamedTuple):
    """What a head makes of one input, before it is an output."""

    logits: States
    """[things, classes]."""
    probabilities: States
    """[things, classes]."""


class Chosen(NamedTuple):
    """A head's answer, and what it was given."""

    input: Value
    text: str
    """What the trunk read of it."""
    answer: Answer


class Head:
    """One head on its trunk."""

    def __init__(
        self, entry: HeadEntry, trunk: Trunk, tokenizer: RowTokenizer, opened: DeviceSession, where: str
    ) -> None:
        """
        Raises:
            BundleError: the graph is not of the task's classes or the head's layers.
        """
        self.entry, self.task = entry, entry.card.tasks[0]
        self.shape = shape_of(self.task)
        self._trunk, self._tokenizer, self._session = trunk, tokenizer, opened.session
        takes = {node.name: node.shape for node in self._session.get_inputs()}
        gives = {node.name: node.shape for node in self._session.get_outputs()}
        fits = takes.get("features", [None, None])[1] == len(entry.layers)
        if not fits or gives.get("probabilities", [None])[-1] != classes_of(self.task):
            raise BundleError(
                f"the head {entry.name} is not of {self.task.name} with {classes_of(self.task)} classes over "
                f"{len(entry.layers)} layers",
                where=where,
                remedy="export or fetch the bundle again",
            )

    def item(self, input: Value, language: str | None = None) -> Item:
        """An input as tokens.

        Raises:
            ContractError: it misses the contract. RequestError: a text is longer than the base or the recipe allows.
        """
        return self._item(asked(self.task, input, language))

    def scores(self, items: Sequence[Item]) -> list[Scores]:
        """What the head makes of some inputs."""
        features = self._features(items)
        together = np.concatenate(features)
        if len(together):
            logits, likely = self._session.run(["logits", "probabilities"], {"features": together})
        else:  # texts without a word
            logits = likely = np.zeros((0, classes_of(self.task)), np.float32)
        ends = np.cumsum([len(each) for each in features])[:-1]
        return [Scores(*part) for part in zip(np.split(logits, ends), np.split(likely, ends), strict=True)]

    def embed(self, texts: Sequence[str]) -> States:
        """Texts as vectors of length 1, [texts, width].

        Raises:
            RequestError: a text is longer than the base or the recipe allows.
        """
        if not texts:
            return np.zeros((0, self._trunk.width), np.float32)
        rows = [self._item(Asked((text,), (((0, len(text)),),))).rows[0] for text in texts]
        groups = {Shape.PAIR: 3, Shape.SIDES: 2}.get(self.shape, 1)  # the graph takes as many as its task has
        features = np.stack(self._trunk.pooled(rows, self.entry.layers)).repeat(groups, axis=2)
        (vectors,) = self._session.run(["embeddings"], {"features": features})
        return np.asarray(vectors[:, 0])

    def _item(self, shown: Asked) -> Item:
        try:
            return Item(shown, self._tokenizer.rows(shown))
        except DataError as error:
            raise RequestError(error.what, remedy=error.remedy) from error

    def _features(self, items: Sequence[Item]) -> list[States]:
        """What the head reads of each input, [things, layers, groups, width]."""
        pooled = iter(self._trunk.pooled([row for item in items for row in item.rows], self.entry.layers))
        sides = [[next(pooled) for _ in item.rows] for item in items]  # each [layers, groups, width]
        if self.shape is Shape.TOKEN:
            return [only.swapaxes(0, 1)[:, :, None] for (only,) in sides]
        return [np.concatenate(both, axis=1)[None] for both in sides]


class Heads:
    """Every head of a bundle, by name. Safe to use from any thread."""

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int | None = None) -> None:
        """
        Raises:
            BundleError, DeviceError: as `open_session`; or a graph is not what the manifest says.
        """
        manifest, path = bundle.manifest, bundle.path
        self._bundle = bundle
        self._trunks: dict[str, Trunk] = {}
        self.device, self.reason = "cpu", "the bundle has no heads"
        for entry in manifest.trunks:
            file = path / entry.path / TRUNK_FILE
            opened = open_session(file, device, prefer_cuda=manifest.target == "cuda", threads=threads)
            self.device, self.reason = opened.device, opened.reason
            self._trunks[entry.name] = Trunk(opened, entry, str(file))
        self._heads = {
            head.name: self._opened(head, bundle.rows[head.name], path / head.path / HEAD_FILE)
            for head in manifest.heads
        }
        self._live: dict[str, Head] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._live or name in self._heads

    def __getitem__(self, name: str) -> Head:
        return self._live.get(name) or self._heads[name]

    def set(self, entry: HeadEntry, file: Path) -> None:
        """Make a head usable under its entry's name at once; one of the bundle's may be covered. Answers under way keep
        the head that they began with.

        Args:
            entry: of a task of the bundle, on a trunk of the bundle; its path counts for nothing.
            file: the graph.

        Raises:
            UsageError: the name is not one, or the bundle has not that task or trunk.
            BundleError: the graph is not what the entry says.
        """
        check_name(entry.name)
        self._bundle.task(entry.card.tasks[0].name)
        trunk = next((trunk for trunk in self._bundle.manifest.trunks if trunk.name == entry.trunk), None)
        if trunk is None:
            raise UsageError(
                f"the bundle has no trunk {entry.trunk} for the head {entry.name}",
                where=str(self._bundle.path),
                remedy="export a bundle with a head on that base",
            )
        self._live[entry.name] = self._opened(entry, row_tokenizer(self._bundle.path, entry, trunk), file)

    def drop(self, name: str) -> None:
        """Forget a head that was set; one of the bundle's of the same name is there again."""
        self._live.pop(name, None)

    def forget(self) -> None:
        """Let go of the texts read last, so that the next one takes the time of a new one."""
        for trunk in self._trunks.values():
            trunk.forget()

    def _opened(self, entry: HeadEntry, rows: RowTokenizer, file: Path) -> Head:
        opened = open_session(file, "cpu", threads=1)  # a thousandth of its trunk's work
        return Head(entry, self._trunks[entry.trunk], rows, opened, str(file))

    def answers(
        self,
        name: str,
        task: str,
        inputs: Iterable[Value],
        checks: Sequence[Check] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Iterator[Chosen]:
        """Answers of the head of that name, in order; inputs are taken lazily.

        Args:
            name: of the head.
            task: what it is asked for.
            inputs: read off by bridges already.
            checks: the trade's own.
            options: as the engine was given them. `language` counts, and `deadline` is met by nature; the rest is for
                bases that write.

        Raises:
            UsageError: an option that a head has no use for, or the head is of another task.
            ContractError, RequestError: an input misses the contract, or is too long.
        """
        head = self[name]
        given = dict(options or {})
        language = given.pop("language", None)
        if head.task.name != task:
            raise UsageError(
                f"the head {name} answers {head.task.name}, not {task}", remedy="name a head or adapter of that task"
            )
        if idle := sorted(key for key, value in given.items() if key not in _ALLOWED and value not in (None, (), [])):
            raise UsageError(
                f"{task} is answered by the head {name}, which chooses and does not write: it takes no "
                f"{', '.join(idle)}",
                remedy="leave that out; language, adapter and deadline are understood",
            )
        rest = iter(inputs)
        while True:
            ready: list[tuple[Value, Item]] = []
            wrong: MetierError | None = None
            try:
                for input in islice(rest, AHEAD):
                    ready.append((input, head.item(input, language)))
            except MetierError as error:  # those before it have their answers first
                wrong = error
            if ready:
                for (input, item), scores in zip(ready, head.scores([item for _, item in ready]), strict=True):
                    yield Chosen(input, "\n".join(item.shown.texts), _answer(head, input, item, scores, checks))
            if wrong is not None:
                raise wrong
            if not ready:
                return

    def embed(self, texts: Sequence[str], name: str | None = None) -> States:
        """Texts as the head of that name reads them; None takes the only one, or the only one of two texts.

        Raises:
            UsageError: there is none, or one must be named. RequestError: a text is too long.
        """
        if name is None:
            pairs = [each for each, head in self._heads.items() if head.shape is Shape.SIDES]
            name = next(iter(found)) if len(found := pairs or list(self._heads)) == 1 else None
        if name is None or name not in self:
            known = sorted({*self._heads, *self._live})
            raise UsageError(
                f"there is no head {name}" if name else "a head must be named, to say which vectors are meant",
                remedy=f"heads: {', '.join(known) or 'none; export a fine-tune whose way is head'}",
            )
        return self[name].embed(texts)


_ALLOWED = frozenset({"language", "adapter", "deadline"})


def _answer(head: Head, input: Value, item: Item, scores: Scores, checks: Sequence[Check]) -> Answer:
    task = head.task
    output = output_of(task, scores.logits.argmax(-1).tolist(), item.shown)
    narrowed = task.for_input(input)
    if narrowed is not task:
        narrowed.check_output(output)
    findings = run_checks(checks, input, output)
    likely = {} if head.shape is Shape.TOKEN else dict(zip(task.labels, scores.probabilities[0].tolist(), strict=True))
    return Answer(
        output=output,
        passed=not any(findings.values()),
        findings=findings,
        attempts=1,
        adapter=head.entry.name,
        finish_reason="stop",
        probabilities=likely,
    )
