"""A batch of examples as tensors: packed end to end behind their common prefix, or padded where a model needs that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metier.training.examples import Example
from metier.training.packed_attention import Layout, layout


@dataclass(frozen=True)
class Packed:
    """Rows without any padding. T packed tokens, R reply tokens."""

    ids: Tensor
    """[1, T]"""
    positions: Tensor
    """[1, T] each token's place in its own row, so that rotary embeddings see single rows."""
    at: Tensor
    """[R] packed places whose hidden state predicts a reply token."""
    targets: Tensor
    """[R]"""
    layout: Layout
    lengths: tuple[int, ...]
    """Tokens of each row, the prefix among them."""

    def join(self, rows: Sequence[Tensor]) -> Tensor:
        """Hidden states of each row's tokens, [length, width], as states of the batch, [1, T, width]."""
        prefix = self.layout.prefix
        return torch.cat([rows[0][:prefix], *(row[prefix:] for row in rows)])[None]

    def split(self, states: Tensor) -> list[Tensor]:
        """The inverse of `join`."""
        prefix = self.layout.prefix
        shared, *own = torch.split(states[0], [prefix, *(length - prefix for length in self.lengths)])
        return [torch.cat([shared, row]) for row in own]


@dataclass(frozen=True)
class Padded:
    """Rows padded on the right. `at` counts in the flattened [rows * length]."""

    ids: Tensor
    mask: Tensor
    at: Tensor
    targets: Tensor
    lengths: tuple[int, ...]

    def join(self, rows: Sequence[Tensor]) -> Tensor:
        """Hidden states of each row's tokens, [length, width], as states of the batch, [rows, longest, width]."""
        return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)

    def split(self, states: Tensor) -> list[Tensor]:
        """The inverse of `join`."""
        return [row[:length] for row, length in zip(states, self.lengths, strict=True)]


def common_prefix(examples: Sequence[Example]) -> int:
    """Tokens that all prompts open with; at least each prompt's last token stays with its row."""
    first = examples[0].prompt
    most = min(len(e.prompt) for e in examples) - 1
    return next((i for i in range(most) if any(e.prompt[i] != first[i] for e in examples)), most)


def pack(examples: Sequence[Example], device: torch.device, dtype: torch.dtype) -> Packed:
    """Rows end to end, the tokens that all of them open with only once."""
    prefix = common_prefix(examples)
    ids = list(examples[0].prompt[:prefix])
    positions = list(range(prefix))
    at: list[int] = []
    for example in examples:
        start, length = len(ids), len(example) - prefix
        ids += (example.prompt + example.reply[:-1])[prefix:]
        positions += range(prefix, prefix + length)
        at += range(start + length - len(example.reply), start + length)
    return Packed(
        ids=torch.tensor([ids], device=device),
        positions=torch.tensor([positions], device=device),
        at=torch.tensor(at, device=device),
        targets=_targets(examples, device),
        layout=layout(prefix, [len(e) - prefix for e in examples], device, dtype),
        lengths=tuple(map(len, examples)),
    )


def pad(examples: Sequence[Example], device: torch.device, pad_id: int) -> Padded:
    """Rows padded on the right with `pad_id`, which the mask hides."""
    longest = max(map(len, examples))
    ids = torch.full((len(examples), longest), pad_id)
    mask = torch.zeros_like(ids)
    at: list[int] = []
    for row, example in enumerate(examples):
        tokens = example.prompt + example.reply[:-1]
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        at += range(row * longest + len(example.prompt) - 1, row * longest + len(tokens))
    at_device, lengths = torch.tensor(at, device=device), tuple(map(len, examples))
    return Padded(ids.to(device), mask.to(device), at_device, _targets(examples, device), lengths)


def micro_batches(examples: Sequence[Example], most_tokens: int) -> Iterator[list[Example]]:
    """The batch in order, cut where the next example would pass `most_tokens`; memory is bounded by it."""
    part: list[Example] = []
    for example in examples:
        if part and sum(map(len, part)) + len(example) > most_tokens:
            yield part
            part = []
        part.append(example)
    if part:
        yield part


def _targets(examples: Sequence[Example], device: torch.device) -> Tensor:
    return torch.tensor([token for example in examples for token in example.reply], device=device)
