"""Texts as token ids, and which tokens are pooled into what a head reads. It knows neither outputs nor models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenizers import Encoding, Tokenizer

from metier.contracts import DataError
from metier.runtime.head_inputs import HeadInput, Place

_BETWEEN = "\n"
"""What stands between a text and its second reading."""


@dataclass(frozen=True)
class Row:
    """One text: its tokens, and for each thing that is labelled the tokens it is made of."""

    ids: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


class RowTokenizer:
    """The base's own tokenizer, special tokens and all, without the cutting and padding that some files ask for."""

    def __init__(self, folder: Path, longest: int, pooling: Literal["mean", "last", "echo"]) -> None:
        """
        Args:
            folder: holds tokenizer.json.
            longest: tokens of a text.
            pooling: `last` of a whole text's tokens, or the mean of those that are asked about, `echo` in a second
                reading of the text.
        """
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._longest, self._pooling = longest, pooling

    def rows(self, shown: HeadInput, where: str | None = None) -> tuple[Row, ...]:
        """One row per text.

        Raises:
            DataError: a text is longer than the base or the recipe allows.
        """
        return tuple(self._row(t, p, where) for t, p in zip(shown.texts, shown.places, strict=True))

    def _row(self, text: str, places: Sequence[Place], where: str | None) -> Row:
        found = self._tokenizer.encode(text)
        before: tuple[int, ...] = ()
        if self._pooling == "echo" and (again := self._bare(text)).ids:
            before = (*found.ids, *self._bare(_BETWEEN).ids)
            found = again
        ids = (*before, *found.ids) or (0,)
        if len(ids) > self._longest:
            twice = ", read twice," if before else ""
            raise DataError(
                f"the text{twice} has {len(ids)} tokens, more than {self._longest}",
                where=where,
                remedy="shorten it, raise max_length in the recipe, or take a base with a longer context"
                + ("; pooling: mean reads it once" if before else ""),
            )
        everything = tuple(range(len(before), len(ids)))
        if self._pooling == "last" and places == ((0, len(text)),):
            return Row(ids, (everything[-1:],))
        # The whole text is pooled with the special tokens around it, as sentence encoders were trained to be.
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
