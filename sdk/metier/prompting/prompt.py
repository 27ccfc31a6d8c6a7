"""Chat messages and token ids of a task's input, or of messages that a caller wrote: one implementation for training,
evaluation and runtime.

It knows contracts and the tokenizer; it knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from metier.contracts import ContractError, Sample, TaskContract, Turn, Value
from metier.decoding.sandbox import render
from metier.decoding.tokenizer import ChatTokenizer
from metier.prompting.reply import encode_reply
from metier.prompting.template import scope_of, template

Message = dict[str, str]


def messages(
    contract: TaskContract, input: Value, *, language: str | None = None, shots: Sequence[Sample] = ()
) -> list[Message]:
    """The conversation that a chat model gets for `input`.

    Args:
        contract: the task.
        input: a value of its input type. Missing optional fields take their default.
        language: of the prompt; None takes the input's own, else the contract's first.
        shots: samples that are put before the input as earlier turns.

    Returns:
        Messages with `role` and `content`, ending with the user's. A message that renders empty is left out.

    Raises:
        ContractError: the input does not satisfy the contract, or a template fails on it.
    """
    contract.check_input(input)
    language = contract.language_of(input, language)
    rendered = _render(contract, language, input)
    examples: list[Message] = []
    for shot in shots:
        # System messages come once, from the input itself: chat templates accept them only in front.
        examples += [m for m in _render(contract, language, shot.input) if m["role"] != "system"]
        examples.append({"role": "assistant", "content": encode_reply(contract, shot.output, shot.input)})
    system = [m for m in rendered if m["role"] == "system"]
    return system + examples + [m for m in rendered if m["role"] != "system"]


def prompt_ids(
    tokenizer: ChatTokenizer,
    contract: TaskContract,
    input: Value,
    *,
    language: str | None = None,
    shots: Sequence[Sample] = (),
) -> list[int]:
    """Token ids of the whole prompt: `messages` through `chat_ids`.

    Raises:
        ContractError: as `messages`.
        BaseError: as `chat_ids`.
    """
    return chat_ids(tokenizer, messages(contract, input, language=language, shots=shots))


def chat_ids(tokenizer: ChatTokenizer, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation: the chat template applied exactly once, with the generation prompt.

    Control tokens that a message's own text spells are broken up first, so that a text can neither end its turn nor
    speak in another role.

    Raises:
        BaseError: the base has no chat template, or the template refuses the roles.
    """
    safe = [{"role": m["role"], "content": tokenizer.escape_control_tokens(m["content"])} for m in messages]
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
        return {"role": render(template(turn.role), scope).strip(), "content": render(template(turn.content), scope)}
    except TemplateError as error:
        raise ContractError(
            f"the {language} prompt of {contract.name} does not render: {error}",
            remedy=f"use only the input's fields in the template: {', '.join(scope_of(contract, {})) or 'none'}",
        ) from error
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ContractError(f"the {language} prompt of {contract.name} fails on this input: {error}") from error
