"""Fields that bridges fill: an input's text read from its photo or voice, an output's speech made from its text.

A contract says so in its schema. Which bridges do it is decided when an input is answered; this module runs none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import ValidationError

from metier.contracts._chains import Chain, shortest
from metier.contracts.bridge import Bridge
from metier.contracts.errors import ContractError
from metier.contracts.modality import Modality, modalities_of
from metier.contracts.schema import Data, JsonSchema, resolve

READ_FROM = "x-metier-read-from"
"""On a field of an input or output schema: a bridge fills the field from another one. In an input the field holds text
and the source a payload; in an output the field holds a payload and the source text."""


class Reading(Data):
    """One field that a bridge can fill."""

    field: str
    source: str
    """The field that the value is read from."""
    modality: Modality
    """Modality of `source`."""
    target: Modality = Modality.TEXT
    """Modality of `field`."""
    content: str | None = None
    """Required `Bridge.content` of the bridge that gives the target; None accepts any."""
    package: str | None = None
    """Distribution to install where no bridge is available."""

    def suits(self, bridge: Bridge) -> bool:
        """Whether a bridge may be part of the chain: one that gives the target must give the required content."""
        return bridge.target != self.target or self.content in {None, bridge.content}

    def chain(self, bridges: Iterable[Bridge]) -> Chain | None:
        """Bridges from the source to the field, in order; None where no chain exists."""
        return shortest([bridge for bridge in bridges if self.suits(bridge)], (self.modality,), (self.target,))


def read_from(source: str, *, content: str | None = None, package: str | None = None) -> dict[str, Any]:
    """Marks a field that a bridge fills, for pydantic's `Field(json_schema_extra=…)`.

    Args:
        source: name of the field that the value is read from: an image, speech, video or mesh field of the same
            input, or a text field of the same output.
        content: required content of the bridge, such as `words` or `description`; None accepts any bridge.
        package: distribution that brings a suitable bridge.
    """
    given = {"source": source, "content": content, "package": package}
    return {READ_FROM: {key: value for key, value in given.items() if value is not None}}


def readings(input: JsonSchema) -> tuple[Reading, ...]:
    """The text fields of an input schema that bridges fill, in order.

    Raises:
        ContractError: a source is no payload field, or the field has no default for inputs without the source.
    """
    return _marked(input, "input")


def renderings(output: JsonSchema) -> tuple[Reading, ...]:
    """The payload fields of an output schema that bridges fill after the reply is validated, in order.

    Raises:
        ContractError: a source is no text field, or the field has no default for outputs that are not rendered.
    """
    return _marked(output, "output")


def without_renderings(output: JsonSchema) -> JsonSchema:
    """An output schema without the fields that bridges fill: what the model itself writes. The schema itself where
    there are none."""
    root = resolve(output, output)
    names = {name for name, node in root.get("properties", {}).items() if READ_FROM in node}
    if not names:
        return output
    kept = {name: node for name, node in root["properties"].items() if name not in names}
    schema = {key: value for key, value in root.items() if key != "$ref"}
    return {**schema, "properties": kept, **({"$defs": output["$defs"]} if "$defs" in output else {})}


def _marked(schema: JsonSchema, side: Literal["input", "output"]) -> tuple[Reading, ...]:
    fields = resolve(schema, schema).get("properties", {})
    return tuple(_reading(schema, side, name, node[READ_FROM]) for name, node in fields.items() if READ_FROM in node)


def _reading(schema: JsonSchema, side: Literal["input", "output"], name: str, marked: Any) -> Reading:
    source = marked.get("source") if isinstance(marked, dict) else None
    payload, text = (source, name) if side == "input" else (name, source)
    modality = _modality(schema, payload)
    source_is_text = side == "input" or _modality(schema, text) == Modality.TEXT
    required = name in resolve(schema, schema).get("required", ())
    if modality in {None, Modality.TEXT} or not source_is_text or required:
        raise ContractError(
            f"the {side} field {name} cannot be read from {source!r}",
            remedy="in an input, read_from takes the name of an image, speech, video or mesh field and marks a text "
            "field with a default; in an output, it takes the name of a text field and marks a payload field with a "
            "default",
        )
    ends = {"modality": modality} if side == "input" else {"modality": Modality.TEXT, "target": modality}
    try:
        return Reading(field=name, **ends, **marked)
    except (ValidationError, TypeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise ContractError(
            f"the {side} field {name} has a wrong {READ_FROM}: {reason}",
            remedy="write it with metier.contracts.read_from",
        ) from error


def _modality(schema: JsonSchema, field: str | None) -> Modality | None:
    """The single modality of a field; None where there is no such field, or it has several."""
    fields = resolve(schema, schema).get("properties", {})
    if field not in fields:
        return None
    found = modalities_of({**fields[field], "$defs": schema.get("$defs", {})})
    return next(iter(found)) if len(found) == 1 else None
