"""Outputs as the text a model writes, and back; and the grammar that keeps a model's text within the output type.

Each reply format is one module; this one looks the format up and checks outputs against the contract.
"""

from __future__ import annotations

from jinja2 import TemplateError

from metier.contracts import ContractError, TaskContract, Value, renderings
from metier.decoding.sandbox import render
from metier.prompting import reply_json, reply_label, reply_spans, reply_text
from metier.prompting.reply_format import ReplyCodec
from metier.prompting.template import scope_of, template

REPLY_FORMATS: dict[str, ReplyCodec] = {
    "json": reply_json,
    "label": reply_label,
    "spans": reply_spans,
    "text": reply_text,
}
"""Name of a reply format → its codec. Any other name is a trade's own format: text, with a grammar of its own."""


def encode_reply(contract: TaskContract, output: Value, input: Value | None = None) -> str:
    """`output` as the text that the model writes; fields that bridges fill are left out.

    Args:
        contract: the task.
        output: satisfies the task's output schema.
        input: the input that the output answers; where given, the output must also satisfy the schema narrowed to it
            (`x-metier-one-of`).

    Raises:
        ContractError: the output does not satisfy the contract.
    """
    if input is not None:
        contract = contract.for_input(input)
    contract.check_output(output)
    if rendered := {rendering.field for rendering in renderings(contract.output)}:
        output = {name: value for name, value in output.items() if name not in rendered}
    return _codec(contract).encode(contract, output)


def decode_reply(contract: TaskContract, text: str) -> Value:
    """The output that the reply `text` encodes.

    Raises:
        ContractError: it does not parse, or does not satisfy the contract.
    """
    return contract.check_output(_codec(contract).decode(contract, text))


def grammar_of(contract: TaskContract, input: Value | None = None) -> str | None:
    """The llguidance grammar (JSON Schema or Lark form) of the contract's replies to one input.

    Args:
        contract: the task; narrowed to the input (`for_input`), where the reply must be.
        input: for grammars that are templates over the input's fields; None takes the fields' defaults.

    Returns:
        The grammar; None where any text is a reply.

    Raises:
        ContractError: the grammar's template does not render.
    """
    if contract.reply.grammar is None:
        return _codec(contract).grammar(contract)
    try:
        return render(template(contract.reply.grammar), scope_of(contract, input or {}))
    except TemplateError as error:
        raise ContractError(
            f"the reply grammar of {contract.name} does not render: {error}",
            remedy=f"use only the input's fields in the template: {', '.join(scope_of(contract, {})) or 'none'}",
        ) from error


def _codec(contract: TaskContract) -> ReplyCodec:
    return REPLY_FORMATS.get(contract.reply.name, reply_text)
