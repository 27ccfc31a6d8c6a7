"""Checks of a vertical's packaged samples: contracts satisfied, held-out samples apart, replies decodable."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metier.contracts.errors import MetierError
from metier.contracts.sample import Sample
from metier.contracts.vertical import Vertical
from metier.prompting.reply import decode_reply, encode_reply, grammar_of
from metier.testing import packaged

FEW = 5
"""Complaints of one kind that are listed before the rest is counted."""
TWIN = 0.9
"""Jaccard likeness of character 5-grams from which two samples count as the same one."""


def samples_satisfy_contracts(vertical: Vertical) -> Iterator[str]:
    """Packaged sample files are there, licensed, and every row satisfies its contract."""
    for name, files in vertical.samples.items():
        task = vertical.task(name)
        if not files.licence.strip():
            yield f"samples for {name} have no licence: name one, such as CC-BY-4.0"
        if files.statement is not None and not files.statement.is_file():
            yield f"the data statement {files.statement} is not there: package it, or leave statement out"
        for path in (files.train, files.held_out):
            if not path.is_file():
                yield f"{path} is not there: include it in the distribution's package data"
                continue
            wrong: list[str] = []
            count = 0
            for place, row in packaged.rows(task, path):
                count += 1
                try:
                    if isinstance(row, str):
                        wrong.append(f"{place}: {row}: write {{'input': ..., 'output': ...}} a line")
                    else:
                        task.check_sample(row)
                except MetierError as error:
                    wrong.append(f"{place}: {error.what}: correct the row; {error.remedy or ''}".rstrip("; "))
            yield from _few(wrong)
            if not count:
                yield f"{path} has no samples: write some, or leave samples for {name} out"


def held_out_is_apart(vertical: Vertical) -> Iterator[str]:
    """No held-out sample is in the training set too, or nearly so."""
    for task in vertical.tasks:
        train = [(place, _input_text(s), _sample_text(s)) for place, s in packaged.samples(vertical, task, "train")]
        train_inputs = {input_text: place for place, input_text, _ in train}
        shingles = [(place, _shingles(sample_text)) for place, _, sample_text in train]
        wrong: list[str] = []
        for place, sample in packaged.samples(vertical, task, "held_out"):
            twin = train_inputs.get(_input_text(sample)) or _twin(_shingles(_sample_text(sample)), shingles)
            if twin:
                wrong.append(f"{place} is nearly the same as {twin}: move it to train, or replace it")
        yield from _few(wrong)


def replies_round_trip(vertical: Vertical) -> Iterator[str]:
    """Every packaged output, written as a reply and read back, is the same; and the reply's grammar compiles."""
    for task in vertical.tasks:
        if fault := _grammar_fault(grammar_of(task)):
            yield f"{task.name}: the grammar of reply format {task.reply.name!r} does not compile ({fault}): correct it"
        wrong: list[str] = []
        for place, sample in packaged.samples(vertical, task):
            try:
                task.check_output(sample.output)
            except MetierError:
                continue
            try:
                narrowed = task.for_input(sample.input)
                text = encode_reply(narrowed, sample.output)
                again = decode_reply(narrowed, text)
            except MetierError as error:
                wrong.append(f"{place}: {error.what}: change the output, or the reply format {task.reply.name!r}")
                continue
            if again != sample.output:
                wrong.append(
                    f"{place}: the output comes back from {text[:60]!r} as another: "
                    f"trim blanks, or choose a reply format that keeps all of it, such as json"
                )
            elif (grammar := grammar_of(task, sample.input)) and (fault := _refused(grammar, text)):
                wrong.append(f"{place}: the reply's grammar refuses {text[:60]!r} ({fault}): widen the grammar")
        yield from _few(wrong)


def _grammar_fault(grammar: str | None) -> str | None:
    if grammar is None:
        return None
    from llguidance import LLMatcher

    return LLMatcher.validate_grammar(grammar) or None


def _refused(grammar: str, text: str) -> str | None:
    """Why a grammar does not accept a text, byte by byte; None when it does."""
    from llguidance import LLMatcher, LLTokenizer

    matcher = LLMatcher(LLTokenizer("byte"), grammar)
    taken = matcher.try_consume_tokens(list(text.encode()))
    if taken < len(text.encode()):
        return f"after byte {taken}"
    return None if matcher.is_accepting() else "it is not finished there"


def _input_text(sample: Sample) -> str:
    return _plain(sample.model_dump_json(include={"input"}))


def _sample_text(sample: Sample) -> str:
    return _plain(sample.model_dump_json(include={"input", "output"}))


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


def _shingles(text: str) -> frozenset[str]:
    return frozenset(text[i : i + 5] for i in range(max(1, len(text) - 4)))


def _twin(one: frozenset[str], others: list[tuple[str, frozenset[str]]]) -> str | None:
    for place, other in others:
        # Sets of very different size cannot be alike, and sizes are cheap.
        if min(len(one), len(other)) >= TWIN * max(len(one), len(other)):
            shared = len(one & other)
            if shared >= TWIN * (len(one) + len(other) - shared):
                return place
    return None


def _few(lines: list[str]) -> Iterator[str]:
    yield from lines[:FEW]
    if len(lines) > FEW:
        yield f"and {len(lines) - FEW} more like these"
