"""The manifest of an exported bundle (`bundle.json`): everything that a host in any language needs to use it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from metier.contracts.base import Base
from metier.contracts.errors import UsageError
from metier.contracts.finetune import FineTuneCard
from metier.contracts.heads import NAME, HeadEntry, TrunkEntry
from metier.contracts.sample import Value
from metier.contracts.schema import SCHEMA_VERSION, Data
from metier.contracts.task import TaskContract

MANIFEST = "bundle.json"

ADAPTER_NAME = NAME

Precision = Literal["fp32", "fp16", "int8", "int4"]
Target = Literal["cpu", "cuda"]


MAX_FEATURES = 1 << 22
"""Largest width of a projection: several times the largest vocabulary."""


class FileEntry(Data):
    """One file of the bundle; damage is detected at load."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    """Bytes."""


class Parity(Data):
    """How close the exported graph is to torch on the packaged samples, teacher-forced over prompt and reply."""

    samples: int
    tokens: int
    """Positions compared."""
    max_abs: float
    """Largest absolute difference of logits."""
    mean_kl: float
    """Mean KL(torch ‖ graph) per position, nats."""
    top1_agreement: float
    """Share of positions with the same most likely token."""
    tolerance: dict[str, float]
    """Bounds that were applied, by the same names."""


class Golden(Data):
    """A packaged sample's frozen prompt: every runtime must tokenise it to exactly these ids."""

    task: str
    input: Value
    language: str | None = None
    token_ids: tuple[int, ...]


class Graph(Data):
    """The facts about model.onnx that a decode loop needs."""

    file: str = "model.onnx"
    candidates: str | None = None
    """Graph that finds each row's best tokens on a device; None in bundles of before: all logits are copied."""
    layers: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    context_length: int = Field(ge=1)
    """Tokens that one row may hold, prompt and reply together."""
    io_dtype: Literal["float32", "float16", "bfloat16"]
    """dtype of logits and KV."""
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    logits: str = "logits"
    past_key: str = "past_key_values.%d.key"
    past_value: str = "past_key_values.%d.value"
    present_key: str = "present.%d.key"
    present_value: str = "present.%d.value"
    eos_token_ids: tuple[int, ...]


class SlotPart(Data):
    """One projection's part of a slot."""

    module: str
    """PEFT's name of it, such as model.layers.0.self_attn.q_proj."""
    offset: int = Field(default=0, ge=0)
    """First of its columns in B."""
    width: int = Field(ge=1, le=MAX_FEATURES)
    """Output features: its own, or of the share of it that the graph computes apart."""
    start: int = Field(default=0, ge=0, le=MAX_FEATURES)
    """First of the module's output features that this is, where the graph computes its shares apart."""


class Slot(Data):
    """One LoRA slot of the graph: y + (x @ A) @ B, with the scale alpha/rank folded into B.

    At rank r and with P parts, A is [rows, in_features, P·r] and B is [rows, P·r, out_features]. Part p's transposed
    lora_A fills A's columns p·r to (p+1)·r. Rows start to start + width of its lora_B, scaled and transposed, fill B's
    rows p·r to (p+1)·r at columns offset to offset + width; the rest of B is zero. A part of lower rank is padded with
    zeros. `rows` is 1 (all rows of the batch share the weights) or the batch size. Left unbound, a slot has rank 0 and
    adds nothing.
    """

    a: str
    """Graph input that takes A."""
    b: str
    """Graph input that takes B."""
    in_features: int = Field(ge=1, le=MAX_FEATURES)
    out_features: int = Field(ge=1, le=MAX_FEATURES)
    dtype: Literal["float32", "float16"] = "float32"
    parts: tuple[SlotPart, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for part in self.parts:
            if part.offset + part.width > self.out_features:
                raise ValueError(
                    f"columns {part.offset} to {part.offset + part.width} of {part.module} are beyond the"
                    f" {self.out_features} output features of the slot {self.a}"
                )
        return self


class AdapterEntry(Data):
    """A LoRA adapter of the bundle, PEFT's format, in adapters/<name>/."""

    name: str = Field(pattern=ADAPTER_NAME)
    path: str
    """Its folder, relative."""
    rank: int
    """Largest rank of any module."""
    card: FineTuneCard | None = None
    """None where plain PEFT saved it."""
    parity: Parity | None = None
    """Logits against peft; None where the adapter was added without torch and is not proved yet."""
    fold_error: float | None = None
    """Largest absolute difference between A @ B of a slot and peft's alpha/rank · B A, computed when it was added."""


class Manifest(Data):
    """`bundle.json`."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    name: str
    created: AwareDatetime
    base: Base
    licence: str | None
    precision: Precision
    target: Target
    tasks: tuple[TaskContract, ...]
    card: FineTuneCard | None = None
    """The merged fine-tune's card; None for a base with slots."""
    graph: Graph | None = None
    """The decoder's graph; None where a head answers every task."""
    slots: tuple[Slot, ...] = ()
    adapters: tuple[AdapterEntry, ...] = ()
    trunks: tuple[TrunkEntry, ...] = ()
    heads: tuple[HeadEntry, ...] = ()
    golden: tuple[Golden, ...] = ()
    parity: Parity | None = None
    metrics: dict[str, JsonValue] = {}
    """Metrics before and after, as `evaluate` measured them."""
    versions: dict[str, str] = {}
    files: dict[str, FileEntry]
    """Relative POSIX path → entry, for every file but bundle.json."""

    @property
    def named(self) -> tuple[AdapterEntry | HeadEntry, ...]:
        """The entries that requests can select: adapters, then heads."""
        return (*self.adapters, *self.heads)

    @property
    def every_task(self) -> tuple[TaskContract, ...]:
        """The bundle's own tasks, then its adapters', then its heads'; the first of each name."""
        found = {task.name: task for task in self.tasks}
        for entry in self.named:
            for task in entry.card.tasks if entry.card else ():
                found.setdefault(task.name, task)
        return tuple(found.values())

    @property
    def decoder(self) -> Graph:
        """The decoder's graph.

        Raises:
            UsageError: the bundle contains heads only.
        """
        if self.graph is None:
            raise UsageError(
                f"the bundle {self.name} contains heads only; it cannot generate text",
                remedy="export it together with a fine-tune that generates text",
            )
        return self.graph

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.graph is None and (self.slots or self.adapters or not self.heads):
            raise ValueError("a bundle without a decoder graph contains heads and nothing else")
        trunks = {trunk.name: trunk for trunk in self.trunks}
        names = [entry.name for entry in self.named]
        if len(trunks) < len(self.trunks) or len(set(names)) < len(names):
            raise ValueError("adapters and heads need distinct names, and so do trunks")
        for head in self.heads:
            if head.trunk not in trunks:
                raise ValueError(f"the head {head.name} reads the trunk {head.trunk}, which is missing")
            if missing := set(head.layers) - set(trunks[head.trunk].layers):
                raise ValueError(f"the head {head.name} reads layers that its trunk lacks: {sorted(missing)}")
        return self
