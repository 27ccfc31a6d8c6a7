"""From a predictor's reply to an output that satisfies the contract, and how two of them compare."""

from __future__ import annotations

from dataclasses import dataclass

from metier.contracts import Finding, TaskContract, Value
from metier.prompting.reply import decode_reply
from metier.runtime.predictor import Reply


@dataclass(frozen=True)
class Judged:
    """A valid output and what the checks found in it."""

    output: Value
    findings: dict[str, tuple[Finding, ...]]
    reply: Reply

    @property
    def finding_count(self) -> int:
        """Findings of all checks together."""
        return sum(map(len, self.findings.values()))

    @property
    def rank(self) -> tuple[int, float]:
        """Smaller is better: the fewest findings, then the greatest likelihood."""
        return self.finding_count, -(self.reply.log_likelihood or 0.0)


def validate(contract: TaskContract, reply: Reply) -> Value:
    """The output of a reply; it satisfies the contract.

    Args:
        contract: narrowed to the input (`for_input`).
        reply: text to decode, or an output.

    Raises:
        ContractError: the reply does not parse, or does not satisfy the contract.
    """
    if reply.output is not None:
        return contract.check_output(reply.output)
    return decode_reply(contract, reply.text or "")
