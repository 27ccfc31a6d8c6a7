"""What every reply format implements: an output as the text that a model writes, and back. It knows no format."""

from __future__ import annotations

from typing import Any, Protocol

from metier.contracts import ContractError, TaskContract, Value
from metier.contracts.schema import resolve


class ReplyCodec(Protocol):
    """One reply format. A module with these three functions is one."""

    def encode(self, contract: TaskContract, output: Value) -> str:
        """`output`, which satisfies the contract, as text."""
        ...

    def decode(self, contract: TaskContract, text: str) -> Any:
        """The value of the reply `text`, not yet checked against the output schema.

        Raises:
            ContractError: the text does not parse.
        """
        ...

    def grammar(self, contract: TaskContract) -> str | None:
        """llguidance grammar of all replies; None where any text is a reply."""
        ...


def only_field(contract: TaskContract) -> str:
    """Name of the single output field, for replies that contain one value."""
    return str(next(iter(resolve(contract.reply_schema, contract.reply_schema)["properties"])))


def unreadable(contract: TaskContract, text: str, reason: str) -> ContractError:
    """The error for a reply that does not parse."""
    shown = text if len(text) <= 80 else text[:77] + "…"
    return ContractError(
        f"the reply {shown!r} is not a {contract.reply.name} output of {contract.name}: {reason}",
        remedy="decode under the contract's grammar, or train on more samples",
    )
