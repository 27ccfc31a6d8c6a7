"""Fills an input's fields that are read off others, by running bridges. It is handed them, and knows no plugins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from metier._install import package_command
from metier.contracts import (
    PAYLOADS,
    Bridge,
    ContractError,
    MetierError,
    Modality,
    PluginError,
    Reading,
    TaskContract,
    UsageError,
    Value,
    readings,
)
from metier.contracts.schema import resolve


def read_off(contract: TaskContract, input: Value, bridges: Iterable[Bridge]) -> Value:
    """`input` with what bridges read, such as the words on its photo.

    A field that is there is left as it is, null and empty text included: the caller has read for themselves.

    Raises:
        ContractError: the input misses the contract, or its photo cannot be read.
        UsageError: a field must be read and no bridge does it; says what to install.
        PluginError: a bridge failed.
    """
    wanted = [r for r in readings(contract.input) if r.field not in input and input.get(r.source) is not None]
    if not wanted:
        return input
    contract.check_input(input)
    at_hand = [bridge for bridge in bridges if bridge.run is not None]
    return {**input, **{r.field: _read(contract, r, input[r.source], at_hand) for r in wanted}}


def unread(contract: TaskContract, input: Value) -> Value:
    """`input` with its readable fields at their defaults: no bridge is asked, as where a sample is put to a model."""
    fields = resolve(contract.input, contract.input).get("properties", {})
    return {**{r.field: fields[r.field].get("default") for r in readings(contract.input)}, **input}


def _read(contract: TaskContract, reading: Reading, source: Any, bridges: list[Bridge]) -> str:
    chain = reading.chain(bridges)
    if chain is None:
        kept = f" ({reading.content})" if reading.content else ""
        brings = package_command(reading.package) if reading.package else "install a plugin with such a bridge"
        raise UsageError(
            f"{contract.name} reads {reading.field} off {reading.source}, and no bridge"
            f" {reading.modality}→text{kept} is at hand",
            remedy=f"{brings} and give its bridges to the engine, or give {reading.field} yourself (null for nothing)",
        )
    value = _payload(reading, source)
    for bridge in chain:
        value = _cross(bridge, value)
    if not isinstance(value, str):
        raise PluginError(f"the bridge {chain[-1].name} gave a value of type {type(value).__name__}, not text")
    return value


def _payload(reading: Reading, source: Any) -> Any:
    kind = PAYLOADS[reading.modality]
    if not isinstance(source, dict):
        return kind.of(source)
    try:
        return kind.model_validate(source)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ContractError(said, where=reading.source, remedy=f"give a whole file: {kind.kinds}") from error


def _cross(bridge: Bridge, value: Any) -> Any:
    assert bridge.run is not None
    try:
        return bridge.run(value)
    except MetierError:
        raise
    except Exception as error:
        raise PluginError(
            f"the bridge {bridge.name} failed: {type(error).__name__}: {error}",
            where=None if bridge.source == Modality.TEXT or value.source.startswith("data:") else value.source,
            remedy=f"look at the {bridge.source}, or give the field that is read off it yourself",
        ) from error
