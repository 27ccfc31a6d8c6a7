"""A policy over tokens: log-probabilities and values of given answers, for whatever algorithm learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from metier.align.policy_init import Reference, lora_weights
from metier.training.examples import Example
from metier.training.packing import Padded, pad


class PolicyOutputs(NamedTuple):
    """A policy's outputs for given answers, [N, T] each."""

    logprobs: Tensor
    """Of every reply token."""
    values: Tensor
    """Of the state before it."""
    entropy: Tensor
    """Of the distribution that the token was drawn from, over the whole vocabulary, in nats."""
    mask: Tensor
    """1 where there is a token."""


class Policy:
    """A PEFT model, a value head on its last hidden state, and the reference policy.

    The value head reads the hidden state without a gradient: its loss moves the head alone.

    Args:
        adapted: the PEFT model with its LoRA trainable.
        pad_id: fills rows; no token of an answer sees it.
        reference: `start` or `base`, see `Reference`.
    """

    def __init__(self, adapted: Any, pad_id: int, reference: Literal["start", "base"]) -> None:
        self.adapted = adapted.eval()  # without dropout: a ratio compares two evaluations of one policy
        self._model, self._pad = adapted.get_base_model(), pad_id
        self.lora = lora_weights(adapted)
        self.reference = Reference(self.lora, reference)
        width = int(self._model.config.get_text_config().hidden_size)
        self.value = nn.Linear(width, 1, device=self._model.device)
        nn.init.zeros_(self.value.weight)  # every state has the value 0 before the first reward
        nn.init.zeros_(self.value.bias)
        self._plain = self._is_plain()

    @property
    def weights(self) -> list[nn.Parameter]:
        """All that is trained, in a fixed order: the LoRA, then the value head."""
        return [*self.lora.values(), *self.value.parameters()]

    def evaluate(self, examples: Sequence[Example], at_once: int) -> PolicyOutputs:
        """Log-probability, value and entropy at every reply token.

        Args:
            examples: prompts with the replies to judge.
            at_once: rows per pass; with gradient, all of them in one.
        """
        starts = range(0, len(examples), at_once)
        parts = [self._evaluate(examples[start : start + at_once]) for start in starts]
        pack = nn.utils.rnn.pad_sequence
        logprobs, values, entropy = (
            pack([row for part in parts for row in part[k]], batch_first=True).cpu() for k in range(3)
        )
        mask = pack([torch.ones(len(e.reply)) for e in examples], batch_first=True)
        return PolicyOutputs(logprobs, values, entropy, mask)

    def _evaluate(self, examples: Sequence[Example]) -> list[tuple[Tensor, ...]]:
        batch = pad(examples, self._model.device, self._pad)
        hidden, logits = self._replies(batch) if self._plain else self._everything(batch)
        every = logits.log_softmax(-1)
        logprobs = every.gather(1, batch.targets[:, None])[:, 0]
        values: Tensor = self.value(hidden.detach().float())[:, 0]
        entropy = -(every.exp() * every).sum(-1)
        lengths = [len(e.reply) for e in examples]
        return [torch.split(found, lengths) for found in (logprobs, values, entropy)]

    def _replies(self, batch: Padded) -> tuple[Tensor, Tensor]:
        """Last hidden states, [reply tokens, width], and logits, [reply tokens, vocabulary], of replies alone."""
        out = self._model.get_decoder()(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
        hidden = out.last_hidden_state.flatten(0, 1)[batch.at]
        return hidden, self._model.get_output_embeddings()(hidden).float()

    def _everything(self, batch: Padded) -> tuple[Tensor, Tensor]:
        """The same, as the model computes logits: some scale them, or cap them (Granite, arXiv 2408.00118)."""
        out = self._model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False, output_hidden_states=True)
        return out.hidden_states[-1].flatten(0, 1)[batch.at], out.logits.flatten(0, 1)[batch.at].float()

    def _is_plain(self) -> bool:
        probe = pad([Example(prompt=(1, 2), reply=(3, 4, 5))], self._model.device, self._pad)
        with torch.no_grad():
            given, expected = self._replies(probe)[1], self._everything(probe)[1]
        return bool((given - expected).norm() < 0.01 * expected.norm())


def padded(rows: Sequence[Sequence[float]], mask: Tensor) -> Tensor:
    """Ragged rows of numbers in the mask's shape, 0 beyond their ends."""
    found = torch.zeros_like(mask)
    for row, values in enumerate(rows):
        found[row, : len(values)] = torch.tensor(list(values))
    return found
