"""The precisions of a decoder graph's weights, one entry each. Other modules read this table and compare no names."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from metier.contracts import Base, UsageError
from metier.contracts.bundle import Precision, Target

INT8_ACTIVATIONS = "accuracy_level=4"
"""Activations rounded to int8 in CPU kernels. With 8-bit weights the KL to fp32 is 0.007 on SmolLM2-135M."""

SMALL = 1_000_000_000
"""Parameters of a base up to which 8-bit weights are the default on CPU."""


@dataclass(frozen=True)
class PrecisionEntry:
    """How weights of one precision are stored, and what a graph of them must satisfy."""

    name: Precision
    tolerance: dict[str, float]
    """Parity bounds: `max_abs` and `mean_kl` from above, `top1_agreement` from below. A graph with a wrong weight, mask
    or rotation misses each of them by orders of magnitude."""
    packing: tuple[str, ...] = ()
    """The model builder's options for quantised weights; empty where weights are floating point."""
    calibrated: bool = False
    """Whether GPTQ chooses the codes, from training samples, in place of the builder's rounding."""
    embedding_in_8_bits: bool = False
    """Whether the token embedding is stored in 8 bits in a graph for CPU; else it is floating point."""
    computes_fp16: bool = False
    """Whether the graph computes in fp16 on CPU as well."""
    targets: tuple[Target, ...] = ("cpu", "cuda")
    default_targets: tuple[Target, ...] = ()
    """Targets that take it where the user names no precision."""
    default_below: float = inf
    """Parameters of the base up to which it is that default."""
    trunk: Literal["fp32", "fp16"] = "fp16"
    """What the trunks of heads are stored in beside such a graph."""

    def quantises_embedding(self, target: Target) -> bool:
        """Whether a graph for a target stores its token embedding in 8 bits."""
        return self.embedding_in_8_bits and target == "cpu"

    def builder_options(self, target: Target) -> list[str]:
        """The model builder's extra options for these weights."""
        return [*self.packing, *([INT8_ACTIVATIONS] if self.packing and target == "cpu" else [])]

    def builder_provider(self, target: Target) -> str:
        """The model builder's execution provider; it writes fp16 graphs for CUDA alone, and they run on CPU as well."""
        return "cuda" if target == "cuda" or self.computes_fp16 else "cpu"


_ENTRIES = (
    # Only the order of additions differs. ONNX Runtime's CUDA attention over shared KV computes in 16 bits.
    PrecisionEntry("fp32", {"max_abs": 1e-2, "mean_kl": 1e-4, "top1_agreement": 0.995}, targets=("cpu",), trunk="fp32"),
    # 11 bits of mantissa; a logit of 30 is rounded to 0.02.
    PrecisionEntry("fp16", {"mean_kl": 1e-2, "top1_agreement": 0.97}, computes_fp16=True),
    # Rounded to nearest, an error of half a percent in weights and activations; a random model's answers are near ties.
    # Blocks of 64 are read a sixth faster than blocks of 32, and cost a KL of 0.009 instead of 0.006 nats a token on
    # SmolLM2-135M. The default for a small base on CPU: GPTQ's 4 bits cost ten times that KL (0.09 to 0.15 on adcopy's
    # fine-tune) and minutes. Eight rows decode 5% faster, prompts are read 20% faster; one row decodes 24% slower.
    PrecisionEntry(
        "int8",
        {"mean_kl": 0.05, "top1_agreement": 0.8},
        packing=("block_size=64", "is_symmetric=true", "algo_config=default"),
        embedding_in_8_bits=True,
        default_targets=("cpu",),
        default_below=SMALL,
    ),
    # The form that `gptq` fills in: symmetric, blocks of 32, no zero points. The bound is what 16 levels per weight
    # cost the fine-tune itself; parity.SAME_WEIGHTS bounds the graph. The default for larger bases, whose weights are
    # read from memory for every token: 4 bits are half of 8.
    PrecisionEntry(
        "int4",
        {"mean_kl": 0.5},
        packing=("block_size=32", "is_symmetric=true", "algo_config=default"),
        calibrated=True,
        embedding_in_8_bits=True,
        default_targets=("cpu", "cuda"),
    ),
)

PRECISIONS: dict[Precision, PrecisionEntry] = {entry.name: entry for entry in _ENTRIES}


def default_precision(base: Base, target: Target) -> Precision:
    """The precision of a base's weights where the user names none: int8 for a small base on CPU, else int4."""
    size = base.parameters or 0
    return next(e.name for e in _ENTRIES if target in e.default_targets and size < e.default_below)


def check_target(precision: str | None, target: str) -> None:
    """Raise UsageError where the precision or the target is unknown, or the target cannot run the precision."""
    for name, value, known in (("precision", precision, tuple(PRECISIONS)), ("target", target, get_args(Target))):
        if value is not None and value not in known:
            raise UsageError(f"unknown {name} {value}", remedy=f"use one of: {', '.join(known)}")
    entry = next((e for e in _ENTRIES if e.name == precision), None)
    if entry is not None and target not in entry.targets:
        able = ", ".join(e.name for e in _ENTRIES if target in e.targets)
        raise UsageError(
            f"{target} cannot run a bundle in {precision}: its attention over shared KV computes in 16 bits",
            remedy=f"export {able} for {target}, or {precision} for {' or '.join(entry.targets)}",
        )
