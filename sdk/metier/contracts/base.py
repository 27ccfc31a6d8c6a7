"""The card of a general pretrained model: what `fit` needs to know before anything is trained."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field, field_serializer

from metier.contracts.modality import Modality
from metier.contracts.schema import SCHEMA_VERSION, Data
from metier.contracts.script import names_language


class Architecture(StrEnum):
    """How a model takes a text in and gives one out."""

    DECODER = "decoder"
    """Continues a text, token by token: it generates."""
    ENCODER = "encoder"
    """Gives hidden states of a text; it cannot generate, and needs a head (`Recipe.produces`)."""
    ENCODER_DECODER = "encoder-decoder"
    """Encodes the input and generates the output (sequence to sequence)."""


class Base(Data):
    """A general pretrained model, described."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    id: str
    """Metier's short name, a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`, or a local folder."""
    revision: str | None = None
    """Hub commit, or the wheel's version; None for a folder."""
    architecture: Architecture = Architecture.DECODER
    model_class: str
    """`architectures[0]` of its config.json, such as LlamaForCausalLM."""
    parameters: int | None = Field(default=None, ge=0)
    modalities_in: frozenset[Modality] = Field(default=frozenset({Modality.TEXT}), min_length=1)
    modalities_out: frozenset[Modality] = Field(default=frozenset({Modality.TEXT}), min_length=1)
    languages: tuple[str, ...] = ()
    """BCP 47; empty when the card does not say."""
    context_length: int = Field(ge=1)
    """Tokens."""
    licence: str | None = None
    """SPDX identifier; None when the card does not say."""
    knowledge_cutoff: date | None = None
    chat_template: bool = True
    sha256: str | None = None
    """Fingerprint of the weights: sha256 over the sorted (file name, sha256) of its safetensors."""

    def names_language(self, tag: str) -> bool:
        """Whether its card names a language, by the primary subtag: zh-Hans is named where zh is."""
        return names_language(self.languages, tag)

    @property
    def writes(self) -> bool:
        """Whether it can generate text."""
        return self.architecture is not Architecture.ENCODER

    @field_serializer("modalities_in", "modalities_out")
    def _in_order(self, modalities: frozenset[Modality]) -> list[Modality]:
        # A set has no order of its own, and a document that changes from run to run has no checksum.
        return sorted(modalities)
