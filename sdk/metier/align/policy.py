"""A policy over tokens: log-probabilities and values of given answers, for whatever algorithm learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metier.align.policy_init import Reference, lora_weights
from metier.training.examples import Example
from metier.training.packing import Padded, pad


class Policy:
    """A PEFT model, a value head on its last hidden state, and the reference policy.

    Args:
        adapted: the PEFT model with its LoRA trainable.
        pad_id: fills rows; no token of an answer sees it.
        reference: `start` or `base`, see `Reference`.
    """

    def __init__(self, adapted: Any, pad_id: int, reference: Literal["start", "base"]) -> None:
        self.adapted = adapted.eval()  # without dropout: a ratio compares two looks at one policy
        self._model, self._pad = adapted.get_base_model(), pad_id
        self.lora = lora_weights(adapted)
        self.reference = Reference(self.lora, reference)
        width = int(self._model.config.get_text_config().hidden_size)
        self.value = nn.Linear(width, 1, device=self._model.device)
        nn.init.zeros_(self.value.weight)  # every state is worth nothing before the first reward
        nn.init.zeros_(self.value.bias)
        self._plain = self._is_plain()

    @property
    def weights(self) -> list[nn.Parameter]:
        """All that is trained, in a fixed order: the LoRA, then the value head."""
        return [*self.lora.values(), *self.value.parameters()]

    def look(self, examples: Sequence[Example], at_once: int) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of every reply token, value of the state before it, and the mask of tokens, [N, T] each.

        Args:
            examples: prompts with the replies to judge.
            at_once: rows per pass; with gradient, all of them in one.
        """
        starts = range(0, len(examples), at_once)
        parts = [self._look(examples[start : start + at_once]) for start in starts]
        logprobs, values = ([row for part in parts for row in part[k]] for k in (0, 1))
        longest = max(map(len, logprobs))
        mask = torch.zeros(len(examples), longest)
        for row, found in enumerate(logprobs):
            mask[row, : len(found)] = 1
        pack = nn.utils.rnn.pad_sequence
        return pack(logprobs, batch_first=True).cpu(), pack(values, batch_first=True).cpu(), mask

    def _look(self, examples: Sequence[Example]) -> tuple[list[Tensor], list[Tensor]]:
        batch = pad(examples, self._model.device, self._pad)
        hidden, logits = self._replies(batch) if self._plain else self._everything(batch)
        logprobs: Tensor = logits.log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
        values: Tensor = self.value(hidden.float())[:, 0]
        lengths = [len(e.reply) for e in examples]
        return list(torch.split(logprobs, lengths)), list(torch.split(values, lengths))

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
