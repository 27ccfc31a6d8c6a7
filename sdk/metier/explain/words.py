"""Tokens joined into words: the pieces of a word, and the bytes of a character, are shown and added up as one.

A word ends at a space, at punctuation, and around every token of a script that is written without spaces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "template", "reply"]

_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\U00020000-\U0003ffff]")
"""Han, kana, Thai and Lao: scripts without spaces between words, where a token stays a unit of its own."""


@dataclass(frozen=True)
class Word:
    """Neighbouring tokens that are shown as one."""

    text: str
    first: int
    """Position of its first token."""
    last: int
    """Position behind its last token."""
    role: Role
    """Whose text it is; `template` is what the chat template adds."""


def words_of(tokens: Sequence[bytes], roles: Sequence[Role]) -> list[Word]:
    """Words of tokens.

    Args:
        tokens: the bytes of each token; a token can be part of a character.
        roles: of each token; a word never crosses from one to another.
    """
    words: list[Word] = []
    first, grown = 0, b""
    for position, raw in enumerate(tokens):
        if position > first and not (roles[position] == roles[first] and _continues(grown, raw)):
            words.append(_word(grown, first, position, roles))
            first, grown = position, b""
        grown += raw
    if tokens:
        words.append(_word(grown, first, len(tokens), roles))
    return words


def token_roles(tokens: Sequence[bytes], messages: Sequence[tuple[Role, str]]) -> list[Role]:
    """Whose text each token of a prompt is: that of the message in which most of its bytes lie, else the template's.

    Args:
        tokens: the bytes of each token of the rendered prompt.
        messages: role and content in their order.
    """
    whole = b"".join(tokens)
    owners: list[Role] = ["template"] * len(whole)
    at = 0
    for role, content in messages:
        raw = content.strip().encode()
        found = whole.find(raw, at) if raw else -1
        if found >= 0:  # a template may change a text, such as trim its lines: then it stays the template's
            owners[found : found + len(raw)] = [role] * len(raw)
            at = found + len(raw)
    roles: list[Role] = []
    at = 0
    for token in tokens:
        inside = owners[at : at + len(token)]
        roles.append(max(inside, key=inside.count) if inside else "template")
        at += len(token)
    return roles


def _continues(grown: bytes, raw: bytes) -> bool:
    """Whether a token belongs to the word before it."""
    try:
        before = grown.decode()
    except UnicodeDecodeError as error:
        # Within a character: at most its three first bytes are there. Bytes that no character has end the word.
        return error.reason == "unexpected end of data" and len(grown) - error.start < 4
    after = raw.decode("utf-8", "replace")
    if not before or not after:  # an id without text, such as one that the tokenizer does not have
        return True
    if _NO_SPACES.search(before[-1]) or _NO_SPACES.match(after):
        return False
    if "\ufffd" in after[:1]:  # the first bytes of a character: which one is not known yet
        return False
    return before[-1].isalnum() and after[0].isalnum()


def _word(raw: bytes, first: int, last: int, roles: Sequence[Role]) -> Word:
    return Word(raw.decode("utf-8", "replace"), first, last, roles[first])
