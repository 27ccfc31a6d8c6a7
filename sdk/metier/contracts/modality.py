"""The five modalities, and how they are derived from a type so that they are declared once."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from metier.contracts.schema import JsonSchema, nodes, schema_of


class Modality(StrEnum):
    """What a model takes in or gives out."""

    TEXT = "text"
    IMAGE = "image"
    SPEECH = "speech"
    VIDEO = "video"
    MESH = "mesh"


MODALITY_KEY = "x-metier-modality"
"""JSON Schema extension key that a payload type writes into its own schema."""

_SCALARS = {"string", "number", "integer", "boolean"}


def modalities_of(type_or_schema: Any) -> frozenset[Modality]:
    """Modalities that a value of this type carries.

    Args:
        type_or_schema: a pydantic model, any annotation that pydantic understands, or a JSON Schema.

    Returns:
        One modality per payload found, and TEXT for any plain scalar, enum or constant: a prompt can
        only state those as text.

    Raises:
        ContractError: the type has no JSON Schema.
    """
    schema: JsonSchema = schema_of(type_or_schema)
    found: set[Modality] = set()
    for node in nodes(schema, stop_at=MODALITY_KEY):
        if MODALITY_KEY in node:
            found.add(Modality(node[MODALITY_KEY]))
        elif node.get("type") in _SCALARS or "enum" in node or "const" in node:
            found.add(Modality.TEXT)
    return frozenset(found)
