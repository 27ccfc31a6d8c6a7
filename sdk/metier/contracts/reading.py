"""A field of an input that is read off another one: words off a photo, a transcript off a voice. A contract says so in
its schema; which bridges do it is found when it is asked. It runs none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from metier.contracts._chains import Chain, shortest
from metier.contracts.bridge import Bridge
from metier.contracts.errors import ContractError
from metier.contracts.modality import Modality, modalities_of
from metier.contracts.schema import Data, JsonSchema, resolve

READ_FROM = "x-metier-read-from"
"""On a text field of an input schema: a bridge fills it from another field where the caller leaves it out."""


class Reading(Data):
    """One field that a bridge can fill."""

    field: str
    source: str
    """The field that holds the photo, voice or film."""
    modality: Modality
    """What `source` holds."""
    content: str | None = None
    """Which bridges will do, by `Bridge.content`; None takes any."""
    package: str | None = None
    """Distribution to install where no bridge is at hand."""

    def suits(self, bridge: Bridge) -> bool:
        """Whether a bridge may stand in the chain: one that gives text must give the content that is wanted."""
        return bridge.target != Modality.TEXT or self.content in {None, bridge.content}

    def chain(self, bridges: Iterable[Bridge]) -> Chain | None:
        """Bridges from the source to text, in order; None where no way leads there."""
        return shortest([bridge for bridge in bridges if self.suits(bridge)], (self.modality,), (Modality.TEXT,))


def read_from(source: str, *, content: str | None = None, package: str | None = None) -> dict[str, Any]:
    """What makes a field one that is read off `source`, for pydantic's `Field(json_schema_extra=…)`.

    Args:
        source: name of the input's field that holds the photo, voice or film.
        content: what of it is wanted, such as `words` or `description`; None takes what any bridge gives.
        package: distribution with a bridge that does it.
    """
    given = {"source": source, "content": content, "package": package}
    return {READ_FROM: {key: value for key, value in given.items() if value is not None}}


def readings(input: JsonSchema) -> tuple[Reading, ...]:
    """The fields of an input schema that are read off others, in order.

    Raises:
        ContractError: one names no payload field, or has no default to take where nothing is read.
    """
    fields = resolve(input, input).get("properties", {})
    return tuple(_reading(input, name, node[READ_FROM]) for name, node in fields.items() if READ_FROM in node)


def _reading(input: JsonSchema, name: str, said: Any) -> Reading:
    root = resolve(input, input)
    fields = root.get("properties", {})
    source = said.get("source") if isinstance(said, dict) else None
    carried = modalities_of({**fields[source], "$defs": input.get("$defs", {})}) if source in fields else frozenset()
    if len(carried) != 1 or Modality.TEXT in carried or name in root.get("required", ()):
        raise ContractError(
            f"the field {name} cannot be read off {source!r}",
            remedy="read_from takes the name of an image, speech, video or mesh field, on a field with a default",
        )
    try:
        return Reading(field=name, modality=next(iter(carried)), **said)
    except ValidationError as error:
        raise ContractError(
            f"the field {name} is marked {READ_FROM} wrongly: {error.errors()[0]['msg']}",
            remedy="write it with metier.contracts.read_from",
        ) from error
