"""The model in training: examples in, summed loss out; packed where that is proved to equal padded computation."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from metier.training import packed_attention
from metier.training.examples import Example
from metier.training.frozen_prefix import UNSUPPORTED, FrozenPrefix
from metier.training.packing import Packed, Padded, micro_batches, pack, pad
from metier.training.reply_loss import reply_loss

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest relative difference of logits that counts as the same computation: a few roundings of the dtype.
Attention that leaks across rows or ignores a window differs by tens of per cent."""
_FULL_SPEED = 1024
"""Tokens at once without gradient; products of 560 rows are at full speed already. A fixed number, since hidden states
of frozen layers must not depend on the memory that was free: a resumed run computes them again."""


class TrainingModel:
    """A model whose LoRA or own weights are trained, with its device, dtype, and the layout of its batches."""

    def __init__(self, adapted: Any, pad_id: int, dtype: torch.dtype | None = None) -> None:
        """Take a model.

        Args:
            adapted: a PEFT model, or one some of whose own weights are trained.
            pad_id: padding token.
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
        self.frozen: FrozenPrefix | None = None
        """Layers that are computed once per example."""
        self._config = self.model.get_decoder().config
        self._attention = self._config._attn_implementation

    @property
    def weights(self) -> list[torch.nn.Parameter]:
        """The trained weights, in a fixed order."""
        return [p for p in self.adapted.parameters() if p.requires_grad]

    def choose_layout(self, probe: Sequence[Example]) -> None:
        """Pack from now on if packed and padded computation agree on `probe`, else pad."""
        with self._evaluating():
            expected = self._logits(probe)
            self.packed = True
            try:
                self.packed = self._same(self._logits(probe), expected)
            except UNSUPPORTED:
                self.packed = False
            finally:
                self._attend_with(self._attention)

    def reuse_frozen(self, frozen: FrozenPrefix, probe: Sequence[Example]) -> None:
        """Reuse the hidden states of `frozen` from now on, if that agrees with the full model on `probe`."""
        with self._evaluating():
            expected = self._logits(probe)
            self.frozen = frozen
            try:
                same = self._same(self._logits(probe), expected)
            except UNSUPPORTED:
                same = False
        if not same:
            self.frozen = None

    def cache_frozen(self, examples: Sequence[Example]) -> None:
        """Cache the frozen layers' hidden states of examples, in groups that depend on these alone."""
        if self.frozen is None:
            return
        for task in dict.fromkeys(e.task for e in examples):
            for group in micro_batches(_sorted_by_length(examples, task), _FULL_SPEED):
                for example, states in zip(group, self._frozen_states(group), strict=True):
                    if not self.frozen.store(example, states):
                        return

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Negative log-likelihood of the replies, summed over their tokens, in nats."""
        if self.packed:
            hidden, targets = self._packed_hidden(examples)
            bias = None if self.head.bias is None else self.head.bias.to(hidden.dtype)
            return reply_loss(hidden, self.head.weight.to(hidden.dtype), bias, targets)
        logits, targets = self._padded_logits(examples)
        return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")

    def nats(self, examples: Sequence[Example]) -> list[float]:
        """Negative log-likelihood of each reply, in nats, without gradient; one reply's logits at a time."""
        nats: list[float] = []
        with self._evaluating():
            for group in micro_batches(examples, _FULL_SPEED if self.packed else 1):
                for logits, example in zip(self._logits_of_each(group), group, strict=True):
                    targets = torch.tensor(example.reply, device=self.device)
                    nats.append(float(torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")))
        return nats

    def _logits_of_each(self, examples: Sequence[Example]) -> Iterator[Tensor]:  # [reply tokens, vocabulary] each
        if self.packed:
            hidden, _ = self._packed_hidden(examples)
            yield from (self._logits_from(part) for part in torch.split(hidden, [len(e.reply) for e in examples]))
            return
        for example in examples:
            ids = torch.tensor([[*example.prompt, *example.reply[:-1]]], device=self.device)
            with self._cast():
                yield self.model(input_ids=ids, use_cache=False, logits_to_keep=len(example.reply)).logits[0]

    def finish(self) -> None:
        """Put the model's own attention back."""
        self._attend_with(self._attention)

    def _logits(self, examples: Sequence[Example]) -> Tensor:  # [reply tokens, vocabulary]
        if not self.packed:
            return self._padded_logits(examples)[0]
        return self._logits_from(self._packed_hidden(examples)[0])

    def _logits_from(self, hidden: Tensor) -> Tensor:
        with self._cast():
            logits: Tensor = self.head(hidden)
        return logits

    def _packed_hidden(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        batch = pack(examples, self.device, self.dtype)
        with self._over_frozen(batch, examples):
            hidden = self._decoded(batch)
        return hidden[0].index_select(0, batch.at).to(self.dtype), batch.targets

    def _padded_logits(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        batch = pad(examples, self.device, self.pad_id)
        with self._over_frozen(batch, examples), self._cast():
            out = self.model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
        return out.logits.flatten(0, 1)[batch.at], batch.targets

    def _decoded(self, batch: Packed | Padded) -> Tensor:
        if isinstance(batch, Packed):
            self._attend_with(packed_attention.NAME)
            arguments = {"position_ids": batch.positions, "metier_layout": batch.layout}
        else:
            arguments = {"attention_mask": batch.mask}
        with self._cast():
            last: Tensor = self.model.get_decoder()(input_ids=batch.ids, use_cache=False, **arguments).last_hidden_state
        return last

    def _over_frozen(self, batch: Packed | Padded, examples: Sequence[Example]) -> AbstractContextManager[None]:
        if self.frozen is None:
            return nullcontext()
        cached = {example: self.frozen.cached_states(example) for example in examples}
        new = [example for example, states in cached.items() if states is None]
        fresh = dict(zip(new, self._frozen_states(new) if new else [], strict=True))
        rows = [fresh[e] if (states := cached[e]) is None else states.to(self.device) for e in examples]
        return self.frozen.replaced_by(batch.join(rows))

    def _frozen_states(self, examples: Sequence[Example]) -> list[Tensor]:  # [tokens, width] each
        assert self.frozen is not None
        batch = pack(examples, self.device, self.dtype) if self.packed else pad(examples, self.device, self.pad_id)
        with self._evaluating(), self.frozen.only_frozen() as outputs:
            self._decoded(batch)
        return batch.split(outputs[0])

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        was = self.adapted.training
        self.adapted.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.adapted.train(was)

    def _same(self, logits: Tensor, expected: Tensor) -> bool:
        error = (logits.float() - expected.float()).norm() / expected.float().norm()
        return bool(error < _TOLERANCE[self.dtype])

    def _cast(self) -> Any:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not self.model.dtype)

    def _attend_with(self, name: str) -> None:
        self._config._attn_implementation = name


def reply_tokens(examples: Sequence[Example]) -> int:
    """Tokens that the loss counts."""
    return sum(len(e.reply) for e in examples)


def mean_loss(training_model: TrainingModel, examples: Sequence[Example], batch_size: int) -> float:
    """Nats per reply token over `examples`, without gradient; of several tasks the mean of their losses."""
    losses = []
    for task in dict.fromkeys(e.task for e in examples):
        ordered = _sorted_by_length(examples, task)
        with torch.no_grad():
            parts = [training_model.loss(ordered[i : i + batch_size]) for i in range(0, len(ordered), batch_size)]
        losses.append(float(torch.stack(parts).double().sum()) / reply_tokens(ordered))
    return sum(losses) / len(losses)


def _sorted_by_length(examples: Sequence[Example], task: str) -> list[Example]:
    return sorted((e for e in examples if e.task == task), key=len)  # like lengths: least padding in attention
