"""A task solved by a head: base, head and tokenizer together, from inputs to outputs; its weights, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from metier.bases.finetune import load_finetune
from metier.bases.resolve import LocalBase, resolve
from metier.bases.torch_model import check_fits, load_trunk
from metier.contracts import DataError, Recipe, Sample, TaskContract, Value
from metier.contracts.finetune import HEAD
from metier.contracts.heads import pooling_of
from metier.heads.layers import HeadNetwork, gathered
from metier.heads.token_batch import Padded, padded
from metier.heads.trunk import Trunk
from metier.runtime.head_inputs import HeadInput, Shape, head_input, shape_of
from metier.runtime.head_labels import classes_of, output_of, targets_of
from metier.runtime.head_tokens import Row, RowTokenizer

AT_ONCE = 32
"""Texts in one forward pass without gradient."""


@dataclass(frozen=True)
class Item:
    """One input as tokens, and where it is a sample the classes of what is labelled."""

    shown: HeadInput
    rows: tuple[Row, ...]
    targets: tuple[int, ...] = ()

    def __len__(self) -> int:
        return sum(len(row.ids) for row in self.rows)


class HeadModel:
    """A base with a head for one task. `predict` gives outputs; the rest serves training."""

    def __init__(
        self,
        task: TaskContract,
        base: LocalBase,
        recipe: Recipe,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.task, self.recipe, self.base = task, recipe, base
        self.shape = shape_of(task)
        # Trained weights stay in fp32: bf16 has 8 bits, and most small steps would round to nothing.
        own = torch.float32 if recipe.method == "full" else dtype
        self.trunk = Trunk(load_trunk(base, device, own), recipe, base.card.id, dtype)
        self.head = HeadNetwork(self.shape, len(self.trunk.read), self.trunk.width, classes_of(task)).to(device)
        longest = min(recipe.max_length, base.card.context_length)
        self._tokenizer = RowTokenizer(base.path, longest, pooling_of(recipe, base.card))

    def item(self, sample: Sample) -> Item:
        """A sample, ready to train on.

        Raises:
            ContractError, DataError: it misses the contract, is too long, or has a span that is not in its text.
        """
        self.task.check_sample(sample)
        shown = head_input(self.task, sample.input, sample.language)
        where = str(sample.provenance) if sample.provenance else None
        return Item(shown, self._tokenizer.rows(shown, where), tuple(targets_of(self.task, sample, shown)))

    def input_item(self, sample: Sample) -> Item:
        """A sample's input alone, ready to predict."""
        shown = head_input(self.task, sample.input, sample.language)
        return Item(shown, self._tokenizer.rows(shown))

    def item_of(self, text: str, target: int) -> Item:
        """A bare text of a known class, such as a label's own words; for heads over whole texts."""
        shown = HeadInput((text,), (((0, len(text)),),))
        return Item(shown, self._tokenizer.rows(shown), (target,))

    def predict(self, inputs: Sequence[Value], languages: Sequence[str | None] | None = None) -> list[Value]:
        """One output per input; each satisfies the contract.

        Raises:
            ContractError: an input misses the contract.
            DataError: an input is longer than the base allows.
        """
        spoken = languages or [None] * len(inputs)
        shown = [head_input(self.task, given, language) for given, language in zip(inputs, spoken, strict=True)]
        items = [Item(each, self._tokenizer.rows(each)) for each in shown]
        outputs: dict[int, Value] = {}
        order = sorted(range(len(items)), key=lambda i: len(items[i]))
        with self.evaluating():
            for start in range(0, len(order), AT_ONCE):
                part = order[start : start + AT_ONCE]
                chosen = self.head(self.features([items[i] for i in part])).argmax(-1).tolist()
                for i in part:
                    count = self.labelled(items[i])
                    outputs[i], chosen = output_of(self.task, chosen[:count], items[i].shown), chosen[count:]
        return [outputs[i] for i in range(len(items))]

    def labelled(self, item: Item) -> int:
        """How many things of an item get a class."""
        return len(item.rows[0].groups) if self.shape is Shape.TOKEN else 1

    def batch(self, items: Sequence[Item]) -> Padded:
        """The items' texts as one batch."""
        return padded([row for item in items for row in item.rows], self.trunk.device)

    def features(self, items: Sequence[Item], states: Tensor | None = None) -> Tensor:
        """Features of some items, [labelled things, read, groups, width].

        Args:
            items: any.
            states: hidden states of their batch, where they are computed already.
        """
        batch = self.batch(items)
        pooled = gathered(self.trunk.states(batch) if states is None else states, batch.pool)
        if self.shape is Shape.SIDES:
            return pooled[:, :, 0].view(-1, 2, *pooled.shape[1:2], pooled.shape[-1]).transpose(1, 2)
        if self.shape is Shape.TOKEN:
            return torch.cat([pooled[i, :, : self.labelled(item)] for i, item in enumerate(items)], 1).transpose(0, 1)[
                :, :, None
            ]
        return pooled

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, gradients and dropout are off."""
        was = self.trunk.model.training
        self.trunk.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.trunk.model.train(was)

    def save(self, path: Path) -> None:
        """Write head.safetensors: the head and the trained weights of the base, as fp16 where that holds them."""
        tensors = {f"head.{name}": tensor.detach().cpu() for name, tensor in self.head.state_dict().items()}
        for name, weight in self.trunk.weights().items():
            half = weight.detach().cpu().half()
            tensors[f"trunk.{name}"] = half if bool(half.isfinite().all()) else weight.detach().cpu()
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
        path.chmod(0o644)

    def load(self, path: Path) -> None:
        """Load the tensors of head.safetensors.

        Raises:
            DataError: they are not those of this base, task and recipe.
        """
        tensors: dict[str, Any] = load_file(path)
        own = dict(self.trunk.model.named_parameters())
        head = {name.removeprefix("head."): t for name, t in tensors.items() if name.startswith("head.")}
        try:
            self.head.load_state_dict(head)
            with torch.no_grad():
                for name in (name for name in tensors if name.startswith("trunk.")):
                    own[name.removeprefix("trunk.")].copy_(tensors[name])
        except (KeyError, RuntimeError) as error:
            raise DataError(
                f"the head does not fit this base: {str(error).splitlines()[0]}",
                where=str(path),
                remedy="adapt again on this base",
            ) from error


def load_head(path: str | Path, *, base: LocalBase | None = None, device: str | torch.device = "cpu") -> HeadModel:
    """The head in a fine-tune's folder, on its base.

    Args:
        path: folder that `adapt` wrote.
        base: a resolved base; None resolves the card's.
        device: as torch names it.

    Raises:
        UsageError: there is no such fine-tune, or it belongs to other weights than this base's.
        DataError: it is damaged.
    """
    finetune = load_finetune(path, produces="head")
    card = finetune.card
    base = base or resolve(card.base.id, revision=card.base.revision)
    check_fits(base, finetune)
    head_model = HeadModel(card.tasks[0], base, card.recipe, device)
    head_model.load(finetune.path / HEAD)
    return head_model
