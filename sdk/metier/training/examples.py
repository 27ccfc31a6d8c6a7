"""Samples as token ids: the prompt through the base's chat template once, the reply, and its end token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metier.contracts import DataError, MetierError, Sample, TaskContract, UsageError
from metier.decoding.tokenizer import ChatTokenizer
from metier.prompting.prompt import prompt_ids
from metier.prompting.reply import encode_reply

_NAMED = 5
"""Rows that an error names before it only counts the rest."""


@dataclass(frozen=True)
class Example:
    """One sample as the model takes it; the loss counts the reply only."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    """The reply's tokens and the end token."""
    task: str = ""
    """A batch holds examples of one task."""

    def __len__(self) -> int:
        """Tokens that go through the model: the end token is predicted, never read."""
        return len(self.prompt) + len(self.reply) - 1


def encode_samples(
    tokenizer: ChatTokenizer, tasks: Mapping[str, TaskContract], samples: Sequence[Sample], max_length: int
) -> list[Example]:
    """Examples in the order of the samples.

    Args:
        tokenizer: the base's.
        tasks: contracts by full name.
        samples: each of one of the tasks.
        max_length: most tokens of prompt and reply together.

    Raises:
        UsageError: a sample belongs to another task.
        DataError: samples are too long (each named), or do not satisfy their contract.
    """
    examples: list[Example] = []
    long: list[str] = []
    for number, sample in enumerate(samples, 1):
        where = str(sample.provenance) if sample.provenance else f"sample {number}"
        if sample.task not in tasks:
            raise UsageError(f"the sample is of task {sample.task}", where=where, remedy=f"train it with {sample.task}")
        try:
            example = encode_sample(tokenizer, tasks[sample.task], sample)
        except MetierError as error:
            raise DataError(error.what, where=where, remedy=error.remedy) from error
        if len(example.prompt) + len(example.reply) > max_length:
            long.append(f"{where} ({len(example.prompt) + len(example.reply)} tokens)")
        examples.append(example)
    if long:
        named = ", ".join(long[:_NAMED]) + (f" and {len(long) - _NAMED} more" if len(long) > _NAMED else "")
        raise DataError(
            f"{len(long)} of {len(samples)} samples are longer than max_length, {max_length} tokens: {named}",
            remedy="raise max_length in the recipe (at most the base's context length), or shorten these samples",
        )
    return examples


def encode_sample(tokenizer: ChatTokenizer, task: TaskContract, sample: Sample) -> Example:
    """One sample's token ids. Control tokens that a reply happens to spell are broken up, as in prompts."""
    reply = tokenizer.encode(tokenizer.escape_control_tokens(encode_reply(task, sample.output, sample.input)))
    return Example(
        prompt=tuple(prompt_ids(tokenizer, task, sample.input, language=sample.language)),
        reply=(*reply, tokenizer.eos_ids[0]),
        task=task.name,
    )
