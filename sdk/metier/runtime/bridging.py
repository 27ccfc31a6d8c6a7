"""Runs a chain of bridges on one value. It knows neither inputs nor outputs."""

from __future__ import annotations

from typing import Any

from metier.contracts import Bridge, MetierError, Modality, PluginError


def run_bridge(bridge: Bridge, value: Any, field: str) -> Any:
    """What an installed bridge makes of a value.

    Args:
        bridge: with code.
        value: a payload, or text.
        field: the field that it fills, for the error.

    Raises:
        PluginError: the bridge failed.
    """
    assert bridge.run is not None
    try:
        return bridge.run(value)
    except MetierError:
        raise
    except Exception as error:
        raise PluginError(
            f"the bridge {bridge.name} failed: {type(error).__name__}: {error}",
            where=None if bridge.source == Modality.TEXT or value.source.startswith("data:") else value.source,
            remedy=f"check the {bridge.source} that {field} is read from, or give {field} yourself"
            if bridge.target == Modality.TEXT
            else f"check the {bridge.source} that {field} is read from",
        ) from error
