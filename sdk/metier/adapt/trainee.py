"""The model in training: examples in, summed loss out, by the packed way where it is proved to equal the plain one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metier.adapt import packed_attention
from metier.adapt.examples import Example
from metier.adapt.packing import pack, pad
from metier.adapt.reply_loss import reply_loss

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest relative difference of hidden states that counts as the same computation: a few roundings of the dtype.
Attention that leaks across rows or ignores a window differs by tens of per cent."""


class Trainee:
    """A model whose LoRA or own weights learn, with its device, dtype, and the way its loss is computed."""

    def __init__(self, adapted: Any, pad_id: int, dtype: torch.dtype | None = None) -> None:
        """Take a model.

        Args:
            adapted: a PEFT model, or one some of whose own weights learn.
            pad_id: token that padding is made of.
            dtype: of products; None takes the weights' own.
        """
        packed_attention.register()
        self.adapted = adapted
        self.model = adapted.get_base_model() if hasattr(adapted, "peft_config") else adapted
        self.pad_id = pad_id
        self.device: torch.device = self.model.device
        self.dtype: torch.dtype = dtype or self.model.dtype
        self.head = self.model.get_output_embeddings()
        self.packed = False
        self._config = self.model.get_decoder().config
        self._attention = self._config._attn_implementation

    @property
    def weights(self) -> list[torch.nn.Parameter]:
        """The trained weights, in a fixed order."""
        return [p for p in self.adapted.parameters() if p.requires_grad]

    def choose_way(self, probe: Sequence[Example]) -> None:
        """Pack from now on if packed and plain computation agree on `probe`, else pad."""
        with torch.no_grad():
            plain = pad(probe, self.device, self.pad_id)
            with self._cast():
                out = self.model(input_ids=plain.ids, attention_mask=plain.mask, use_cache=False)
            expected = out.logits.flatten(0, 1)[plain.at]
            try:
                with self._cast():
                    given = self.head(self._packed_hidden(probe)[0])
            except (TypeError, ValueError, RuntimeError, AttributeError, LookupError):
                return  # this architecture takes no attention function, or calls it in another way
            finally:
                self._attend_with(self._attention)
        error = (given.float() - expected.float()).norm() / expected.float().norm()
        self.packed = bool(error < _TOLERANCE[self.dtype])

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Negative log-likelihood of the replies, summed over their tokens, in nats."""
        if self.packed:
            hidden, targets = self._packed_hidden(examples)
            bias = None if self.head.bias is None else self.head.bias.to(hidden.dtype)
            return reply_loss(hidden, self.head.weight.to(hidden.dtype), bias, targets)
        batch = pad(examples, self.device, self.pad_id)
        with self._cast():
            out = self.model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
        logits = out.logits.flatten(0, 1)[batch.at].float()
        return torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum")

    def finish(self) -> None:
        """Give the model back with the attention it came with."""
        self._attend_with(self._attention)

    def _packed_hidden(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        self._attend_with(packed_attention.NAME)
        batch = pack(examples, self.device, self.dtype)
        with self._cast():
            out = self.model.get_decoder()(
                input_ids=batch.ids, position_ids=batch.positions, use_cache=False, metier_layout=batch.layout
            )
        return out.last_hidden_state[0].index_select(0, batch.at).to(self.dtype), batch.targets

    def _cast(self) -> Any:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not self.model.dtype)

    def _attend_with(self, name: str) -> None:
        self._config._attn_implementation = name


def reply_tokens(examples: Sequence[Example]) -> int:
    """Tokens that the loss counts."""
    return sum(len(e.reply) for e in examples)


def mean_loss(trainee: Trainee, examples: Sequence[Example], batch_size: int) -> float:
    """Nats per reply token over `examples`, without gradient; of several tasks the mean of theirs, as in training."""
    losses = []
    for task in dict.fromkeys(e.task for e in examples):
        ordered = sorted((e for e in examples if e.task == task), key=len)  # like lengths: least padding in attention
        with torch.no_grad():
            parts = [trainee.loss(ordered[i : i + batch_size]) for i in range(0, len(ordered), batch_size)]
        losses.append(float(torch.stack(parts).double().sum()) / reply_tokens(ordered))
    return sum(losses) / len(losses)
