"""Fills an input's text fields from its photo or voice. It is given the bridges; it knows no plugins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from metier._install import package_command
from metier.contracts import (
    PAYLOADS,
    Bridge,
    ContractError,
    PluginError,
    Reading,
    TaskContract,
    UsageError,
    Value,
    readings,
)
from metier.contracts.schema import resolve
from metier.runtime.bridging import run_bridge


def run_input_bridges(contract: TaskContract, input: Value, bridges: Iterable[Bridge]) -> Value:
    """`input` with the fields that bridges fill, such as the words on its photo.

    A field that the input already has is not changed, null and empty text included.

    Raises:
        ContractError: the input does not satisfy the contract, or its photo cannot be read.
        UsageError: no bridge fills a field; names the package to install.
        PluginError: a bridge failed.
    """
    missing = [r for r in readings(contract.input) if r.field not in input and input.get(r.source) is not None]
    if not missing:
        return input
    contract.check_input(input)
    installed = [bridge for bridge in bridges if bridge.run is not None]
    return {**input, **{r.field: _read(contract, r, input[r.source], installed) for r in missing}}


def skip_input_bridges(contract: TaskContract, input: Value) -> Value:
    """`input` with the fields that bridges fill at their defaults, so that no bridge runs: for samples."""
    fields = resolve(contract.input, contract.input).get("properties", {})
    return {**{r.field: fields[r.field].get("default") for r in readings(contract.input)}, **input}


def _read(contract: TaskContract, reading: Reading, source: Any, bridges: list[Bridge]) -> str:
    chain = reading.chain(bridges)
    if chain is None:
        content = f" ({reading.content})" if reading.content else ""
        install = package_command(reading.package) if reading.package else "install a plugin with such a bridge"
        raise UsageError(
            f"{contract.name} reads {reading.field} from {reading.source}, and no bridge"
            f" {reading.modality}→text{content} is installed",
            remedy=f"{install} and give its bridges to the engine, or give {reading.field} yourself (null for nothing)",
        )
    value = _payload(reading, source)
    for bridge in chain:
        value = run_bridge(bridge, value, reading.field)
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
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ContractError(reason, where=reading.source, remedy=f"give a complete file: {kind.kinds}") from error
