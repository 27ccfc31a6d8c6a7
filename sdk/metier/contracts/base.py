"""The card of a general pretrained model: what `fit` needs to know before anything is trained."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, field_serializer

from metier.contracts.modality import Modality
from metier.contracts.schema import SCHEMA_VERSION, Data


class Base(Data):
    """A general pretrained model, described."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    id: str
    """Metier's short name, a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`, or a local folder."""
    revision: str | None = None
    """Hub commit, or the wheel's version; None for a folder."""
    architecture: str
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
    generative: bool = True
    """Whether it writes; an encoder only reads, and a head must answer (`Recipe.way`)."""
    sha256: str | None = None
    """Fingerprint of the weights: sha256 over the sorted (file name, sha256) of its safetensors."""

    @field_serializer("modalities_in", "modalities_out")
    def _in_order(self, modalities: frozenset[Modality]) -> list[Modality]:
        # A set has no order of its own, and a document that changes from run to run has no checksum.
        return sorted(modalities)
