"""From a task contract and an input to chat messages and token ids: one way for training, evaluation and runtime.

It knows contracts and the tokenizer; it knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from metier.contracts import ContractError, Sample, TaskContract, Turn, Value
from metier.decoding.tokenizer import ChatTokenizer
from metier.prompting.reply import encode_reply
from metier.prompting.template import scope_of, template

Message = dict[str, str]


def messages(
    contract: TaskContract, input: Value, *, language: str | None = None, shots: Sequence[Sample] = ()
) -> list[Message]:
    """The conversation that puts `input` to a chat model.

    Args:
        contract: the task.
        input: a value of its input type. Optional fields that are missing count as their default.
        language: prompt language; None takes the input's own, else the contract's first.
        shots: worked samples, put before the input as earlier turns.

    Returns:
        Messages with `role` and `content`, ending with the user's turn. A turn that renders empty is left out.

    Raises:
        ContractError: the input does not satisfy the contract, or a template fails on it.
    """
    contract.check_input(input)
    language = contract.language_of(input, language)
    asked = _render(contract, language, input)
    told: list[Message] = []
    for shot in shots:
        # System turns come once, from the input itself: chat templates accept them only in front.
        told += [m for m in _render(contract, language, shot.input) if m["role"] != "system"]
        told.append({"role": "assistant", "content": encode_reply(contract, shot.output)})
    system = [m for m in asked if m["role"] == "system"]
    return system + told + [m for m in asked if m["role"] != "system"]


def prompt_ids(
    tokenizer: ChatTokenizer,
    contract: TaskContract,
    input: Value,
    *,
    language: str | None = None,
    shots: Sequence[Sample] = (),
) -> list[int]:
    """Token ids of the whole prompt: the chat template applied exactly once, with the generation prompt.

    Control tokens that the user's own text happens to spell are broken up first, so that an input can neither end
    its turn nor speak in another role.

    Raises:
        ContractError: as `messages`.
        BaseError: the base has no chat template, or refuses the roles.
    """
    said = messages(contract, input, language=language, shots=shots)
    safe = [{"role": m["role"], "content": tokenizer.escape_control_tokens(m["content"])} for m in said]
    return tokenizer.encode(tokenizer.render(safe))


def _render(contract: TaskContract, language: str, input: Value) -> list[Message]:
    scope = scope_of(contract, input)
    rendered: list[Message] = []
    for turn in contract.prompts[language].turns:
        items: Sequence[Any] = scope.get(turn.each) or () if turn.each else (None,)
        for item in items:
            message = _turn(contract, language, turn, {**scope, "item": item} if turn.each else scope)
            if message["content"].strip():
                rendered.append(message)
    return rendered


def _turn(contract: TaskContract, language: str, turn: Turn, scope: dict[str, Any]) -> Message:
    try:
        return {"role": template(turn.role).render(scope).strip(), "content": template(turn.content).render(scope)}
    except TemplateError as error:
        raise ContractError(
            f"the {language} prompt of {contract.name} does not render: {error}",
            remedy=f"a template may use the input's fields: {', '.join(scope_of(contract, {})) or 'none'}",
        ) from error
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ContractError(f"the {language} prompt of {contract.name} fails on this input: {error}") from error
