"""The manifest of an exported bundle (`bundle.json`): all that a host in any language needs to use the folder."""

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


class FileEntry(Data):
    """One file of the bundle, so that damage is found at load."""

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
    """A packaged sample's frozen prompt: any runtime must tokenise it to exactly these ids."""

    task: str
    input: Value
    language: str | None = None
    token_ids: tuple[int, ...]


class Graph(Data):
    """What a decode loop must know about model.onnx."""

    file: str = "model.onnx"
    candidates: str | None = None
    """Graph that finds each row's best tokens on a device; None in bundles of before: all logits are copied."""
    layers: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    context_length: int
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
    """One projection's share of a slot."""

    module: str
    """PEFT's name of it, such as model.layers.0.self_attn.q_proj."""
    offset: int = Field(default=0, ge=0)
    """First of its columns in B."""
    width: int = Field(ge=1)
    """Output features: its own, or of the share of it that the graph computes apart."""
    start: int = Field(default=0, ge=0)
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
    in_features: int
    out_features: int
    dtype: Literal["float32", "float16"] = "float32"
    parts: tuple[SlotPart, ...] = Field(min_length=1)


class AdapterEntry(Data):
    """A LoRA adapter of the bundle, PEFT's format, in adapters/<name>/."""

    name: str = Field(pattern=ADAPTER_NAME)
    path: str
    """Its folder, relative."""
    rank: int
    """Largest rank of any module."""
    card: FineTuneCard | None = None
    """None where it came from plain PEFT."""
    parity: Parity | None = None
    """Logits against peft; None where that was not proved, because it was added where torch is not installed."""
    fold_error: float | None = None
    """Largest absolute difference between A @ B of a slot and peft's own alpha/rank · B A, found when it was added."""


class Manifest(Data):
    """`bundle.json`."""

    schema_version: Literal["1"] = SCHEMA_VERSION
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
    """The graph that writes; None where every task is answered by a head."""
    slots: tuple[Slot, ...] = ()
    adapters: tuple[AdapterEntry, ...] = ()
    trunks: tuple[TrunkEntry, ...] = ()
    heads: tuple[HeadEntry, ...] = ()
    golden: tuple[Golden, ...] = ()
    parity: Parity | None = None
    metrics: dict[str, JsonValue] = {}
    """Before and after, as `evaluate` measured them."""
    versions: dict[str, str] = {}
    files: dict[str, FileEntry]
    """Relative POSIX path → entry, for every file but bundle.json."""

    @property
    def named(self) -> tuple[AdapterEntry | HeadEntry, ...]:
        """What requests may name: adapters, then heads."""
        return (*self.adapters, *self.heads)

    @property
    def every_task(self) -> tuple[TaskContract, ...]:
        """The bundle's own tasks, then its adapters', then its heads'; of one name, the first."""
        found = {task.name: task for task in self.tasks}
        for entry in self.named:
            for task in entry.card.tasks if entry.card else ():
                found.setdefault(task.name, task)
        return tuple(found.values())

    @property
    def decoder(self) -> Graph:
        """The graph that writes.

        Raises:
            UsageError: there is none.
        """
        if self.graph is None:
            raise UsageError(
                f"the bundle {self.name} contains heads only; it cannot generate text",
                remedy="export it with a text-to-text fine-tune as well",
            )
        return self.graph

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.graph is None and (self.slots or self.adapters or not self.heads):
            raise ValueError("without a graph that writes, a bundle holds heads and nothing else")
        trunks = {trunk.name: trunk for trunk in self.trunks}
        names = [entry.name for entry in self.named]
        if len(trunks) < len(self.trunks) or len(set(names)) < len(names):
            raise ValueError("adapters and heads, and trunks, have names of their own")
        for head in self.heads:
            if head.trunk not in trunks:
                raise ValueError(f"the head {head.name} reads the trunk {head.trunk}, which is not there")
            if missing := set(head.layers) - set(trunks[head.trunk].layers):
                raise ValueError(f"the head {head.name} reads layers that its trunk does not give: {sorted(missing)}")
        return self
