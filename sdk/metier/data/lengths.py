"""How long samples are in a base's own tokens: `fit` compares them with its context."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from metier.contracts import Sample, TaskContract
from metier.decoding.tokenizer import ChatTokenizer
from metier.prompting.prompt import prompt_ids
from metier.prompting.reply import encode_reply


def token_lengths(base: Path, task: TaskContract, samples: Iterable[Sample]) -> list[int]:
    """Tokens of prompt, reply and end token together, per sample.

    Args:
        base: folder of the base, whose tokenizer and chat template count.

    Raises:
        BaseError: the folder has no usable tokenizer.
    """
    tokenizer = ChatTokenizer.load(base)
    return [
        len(prompt_ids(tokenizer, task, sample.input, language=sample.language))
        + len(tokenizer.encode(encode_reply(task, sample.output)))
        + 1
        for sample in samples
    ]
