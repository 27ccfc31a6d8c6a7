"""Texts as token ids, and the groups of tokens whose hidden states are pooled. It knows neither outputs nor models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenizers import Encoding, Tokenizer

from metier.contracts import DataError
from metier.runtime.head_inputs import HeadInput, Place

_BETWEEN = "\n"
"""Separates a text from its repetition."""


@dataclass(frozen=True)
class Row:
    """One text: its token ids, and for each labelled item the positions of its tokens."""

    ids: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


class RowTokenizer:
    """The base's own tokenizer with its special tokens, without the truncation and padding that some files set."""

    def __init__(self, folder: Path, longest: int, pooling: Literal["mean", "last", "echo"]) -> None:
        """
        Args:
            folder: holds tokenizer.json.
            longest: tokens of a text, at most.
            pooling: `last` takes a text's last token, `mean` the mean of each place's tokens, `echo` the same over a
                repetition of the text (arXiv 2402.15449).
        """
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._longest, self._pooling = longest, pooling

    def rows(self, given: HeadInput, where: str | None = None) -> tuple[Row, ...]:
        """One row per text.

        Raises:
            DataError: a text is longer than the base or the recipe allows.
        """
        return tuple(self._row(t, p, where) for t, p in zip(given.texts, given.places, strict=True))

    def _row(self, text: str, places: Sequence[Place], where: str | None) -> Row:
        found = self._tokenizer.encode(text)
        before: tuple[int, ...] = ()
        if self._pooling == "echo" and (again := self._bare(text)).ids:
            before = (*found.ids, *self._bare(_BETWEEN).ids)
            found = again
        ids = (*before, *found.ids) or (0,)
        if len(ids) > self._longest:
            twice = ", repeated," if before else ""
            raise DataError(
                f"the text{twice} has {len(ids)} tokens, more than {self._longest}",
                where=where,
                remedy="shorten it, raise max_length in the recipe, or take a base with a longer context"
                + ("; pooling: mean does not repeat it" if before else ""),
            )
        everything = tuple(range(len(before), len(ids)))
        if self._pooling == "last" and places == ((0, len(text)),):
            return Row(ids, (everything[-1:],))
        # A text is pooled with the special tokens around it, as sentence encoders are trained.
        groups = tuple(
            everything if place == (0, len(text)) else _within(found.offsets, place, len(before)) or everything
            for place in places
        )
        return Row(ids, groups)

    def _bare(self, text: str) -> Encoding:
        return self._tokenizer.encode(text, add_special_tokens=False)


def _within(offsets: Sequence[Place], place: Place, first: int) -> tuple[int, ...]:
    return tuple(
        i for i, (start, end) in enumerate(offsets, first) if start < end and start < place[1] and place[0] < end
    )
