"""Renders a validated output: bridges turn its text into speech, images, video or meshes. It is given the bridges."""

from __future__ import annotations

from collections.abc import Iterable

from metier._install import package_command
from metier.contracts import PAYLOADS, Bridge, ContractError, PluginError, Reading, TaskContract, UsageError, Value
from metier.contracts.reading import renderings
from metier.runtime.bridging import run_bridge


def run_output_bridges(contract: TaskContract, output: Value, bridges: Iterable[Bridge]) -> Value:
    """`output` with the payload fields that bridges fill; the payloads are JSON data with a `data:` URI or a path.

    A field whose text is missing or null keeps its default.

    Raises:
        UsageError: no bridge fills a field; names the package to install.
        PluginError: a bridge failed, or gave something else than the payload.
        ContractError: the rendered output does not satisfy the contract.
    """
    fields = [r for r in renderings(contract.output) if isinstance(output.get(r.source), str)]
    if not fields:
        return output
    installed = [bridge for bridge in bridges if bridge.run is not None]
    rendered = {r.field: _render(contract, r, str(output[r.source]), installed) for r in fields}
    return contract.check_output({**output, **rendered})


def check_output_bridges(contract: TaskContract, bridges: Iterable[Bridge]) -> None:
    """Check that every rendered field has its bridges, before anything is generated.

    Raises:
        UsageError: a field has none; names the package to install.
    """
    installed = [bridge for bridge in bridges if bridge.run is not None]
    for rendering in renderings(contract.output):
        _chain(contract, rendering, installed)


def _chain(contract: TaskContract, rendering: Reading, bridges: list[Bridge]) -> tuple[Bridge, ...]:
    chain = rendering.chain(bridges)
    if chain is None:
        content = f" ({rendering.content})" if rendering.content else ""
        install = package_command(rendering.package) if rendering.package else "install a plugin with such a bridge"
        raise UsageError(
            f"{contract.name} renders {rendering.field} from {rendering.source}, and no bridge"
            f" text→{rendering.target}{content} is installed",
            remedy=f"{install} and give its bridges to the engine",
        )
    return chain


def _render(contract: TaskContract, rendering: Reading, text: str, bridges: list[Bridge]) -> Value:
    chain = _chain(contract, rendering, bridges)
    value: object = text
    for bridge in chain:
        value = run_bridge(bridge, value, rendering.field)
    kind = PAYLOADS[rendering.target]
    try:
        payload = value if isinstance(value, kind) else kind.of(value)  # type: ignore[arg-type]
    except ContractError as error:
        raise PluginError(
            f"the bridge {chain[-1].name} gave no valid {rendering.target}: {error.what}",
            remedy=f"fix the bridge: it returns a {kind.__name__}, its bytes or its path",
        ) from error
    return payload.model_dump(mode="json")
