"""A task contract: input, output, prompts, reply format and metrics of a job of a trade. Data, not code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from metier.contracts.errors import ContractError
from metier.contracts.modality import Modality, modalities_of
from metier.contracts.nearest import nearest
from metier.contracts.reading import readings, renderings, without_renderings
from metier.contracts.sample import Sample, Value
from metier.contracts.schema import (
    SCHEMA_VERSION,
    Data,
    JsonSchema,
    SchemaKey,
    TypeSchema,
    narrowed,
    problems,
    resolve,
)
from metier.contracts.script import language_by_script


class TaskKind(StrEnum):
    """The seven kinds of work."""

    GENERATE = "generate"
    DIALOGUE = "dialogue"
    CLASSIFY = "classify"
    EXTRACT = "extract"
    RELATE = "relate"
    TRANSLATE = "translate"
    RANK = "rank"


HEADED = frozenset({TaskKind.CLASSIFY, TaskKind.EXTRACT, TaskKind.RELATE, TaskKind.RANK})
"""Kinds that a head on an encoder can do as well: what they give is chosen from the input or from a list."""


class Turn(Data):
    """One message of a prompt. `role` and `content` are Jinja templates over the input's fields."""

    role: str
    content: str
    each: str | None = None
    """Name of a list field of the input: the turn is repeated per item, with `item` in scope (chat history)."""


class Prompt(Data):
    """The messages for a chat model in one language: turns, before the base's own chat template."""

    turns: tuple[Turn, ...] = Field(min_length=1)


def prompt(user: str, system: str | None = None) -> Prompt:
    """The usual prompt: an optional system turn and one user turn, both Jinja templates."""
    turns = [Turn(role="user", content=user)]
    return Prompt(turns=tuple([Turn(role="system", content=system), *turns] if system else turns))


class ReplyFormat(Data):
    """How an output is written as text.

    `text`: the output's single string field, unchanged. `json`: the output as JSON, decoded under its schema.
    `label`: the output's single enum field, decoded as one of its values. `spans`: one `label: text` line per span
    of the output's `spans` list. Any other name is a trade format of a plugin's, whose text is the output's single
    string field, optionally decoded under `grammar`: Lark in llguidance's dialect, as a Jinja template over the
    input's fields, so that a reply can be held to names that come with the input (`{{ name|regex }}`).
    """

    name: str = "text"
    grammar: str | None = None


REPLY_FORMAT_NAMES = ("text", "json", "label", "spans")
"""Reply formats of Metier; `metier.prompting.reply` has the codec of each. Any other name is a trade's own format."""
_SLIP = 0.8
"""Likeness from which an unknown name is taken for a known one mistyped: `jsn`, `max_char`, not `title_id`."""


def _format(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in REPLY_FORMAT_NAMES and (near := nearest(value.lower(), REPLY_FORMAT_NAMES, _SLIP)):
        raise ValueError(
            f"there is no reply format {value!r}, did you mean {near}? For one of the trade's own write"
            f" ReplyFormat(name={value!r})"
        )
    return ReplyFormat(name=value)


PASSAGES = "passages"
"""The input field that search fills: a list of objects with `id` and `text`, and `heading` where there is one."""

TASK_NAME = r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"


class TaskContract(Data):
    """Input and output types, prompts, reply format and metrics of a job.

    `input` and `output` are written as pydantic classes and stored as JSON Schema, so that a contract serialises
    completely: a bundle's reader in C#, Java or JavaScript needs neither Python nor the plugin.
    """

    schema_version: Literal["2"] = SCHEMA_VERSION
    name: str = Field(pattern=TASK_NAME)
    """`vertical.task`, lower case."""
    kind: TaskKind
    title: str = ""
    description: str = ""
    input: TypeSchema
    output: TypeSchema
    prompts: dict[str, Prompt] = Field(min_length=1)
    """One prompt per language (BCP 47)."""
    reply: Annotated[ReplyFormat, BeforeValidator(_format)] = ReplyFormat()
    metrics: tuple[str, ...] = ()
    """Names of metrics, Metier's or a plugin's; empty takes the kind's own."""
    fresh_facts: bool = False
    """True where answers need facts newer than any base, so that search must supply them."""
    max_reply_tokens: int = Field(default=256, ge=1)
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    """No run of this many tokens is repeated in a reply, so that a small model's long answer cannot fall into a loop
    (arXiv 1705.04304, section 2.5); 0 allows repetition. For free text: a form's own punctuation repeats."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        for side in ("input", "output"):
            schema: JsonSchema = getattr(self, side)
            if resolve(schema, schema).get("type") != "object":
                raise ValueError(f"{side} must be a pydantic model (a JSON object), so that its fields have names")
        try:
            readings(self.input)
            renderings(self.output)
        except ContractError as error:
            raise ValueError(f"{error.what}: {error.remedy}") from error
        fields = _fields(self.reply_schema)
        if self.reply.name == "label" and not (len(fields) == 1 and self.labels):
            raise ValueError("reply format 'label' needs an output with exactly one field, an enum or Literal")
        if self.reply.name not in {*REPLY_FORMAT_NAMES} - {"text"} and self.text_field is None:
            raise ValueError(
                f"reply format '{self.reply.name}' needs an output with exactly one string field; 'json' takes any"
            )
        return self

    @property
    def vertical(self) -> str:
        """The trade this task belongs to."""
        return self.name.split(".")[0]

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages the task is prompted in; the first is its default."""
        return tuple(self.prompts)

    @property
    def reply_schema(self) -> JsonSchema:
        """The output schema without the fields that bridges fill after the reply is validated (`read_from`)."""
        return _reply_schema(SchemaKey(self.output))

    @property
    def text_field(self) -> str | None:
        """The output's only field where that is a string, else None."""
        fields = _fields(self.reply_schema)
        if len(fields) != 1:
            return None
        ((name, node),) = fields.items()
        return name if resolve(self.output, node).get("type") == "string" else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Values of the output's only field where that is an enum, else empty."""
        fields = _fields(self.reply_schema)
        if len(fields) != 1:
            return ()
        node = resolve(self.output, next(iter(fields.values())))
        return tuple(str(v) for v in node.get("enum", [node["const"]] if "const" in node else []))

    @property
    def takes_passages(self) -> bool:
        """Whether its input has a field `passages`, which the documents of a bundle fill."""
        return PASSAGES in _fields(self.input)

    @property
    def modalities_in(self) -> frozenset[Modality]:
        return modalities_of(self.input)

    @property
    def modalities_out(self) -> frozenset[Modality]:
        return modalities_of(self.output)

    def language_of(self, input: Value, language: str | None = None) -> str:
        """The prompt's language for an input: the requested one, else its `language` field, else that of its script,
        else the default."""
        wanted = language or input.get("language")
        if isinstance(wanted, str) and wanted in self.prompts:
            return wanted
        return (len(self.prompts) > 1 and language_by_script(input, self.languages)) or self.languages[0]

    @property
    def spoken_languages(self) -> tuple[str, ...]:
        """The languages that a base must know: those of the prompts, and those that a TRANSLATE task translates from
        and to, which its input's fields `…language`, `source` and `target` enumerate."""
        found = dict.fromkeys(self.languages)
        if self.kind is TaskKind.TRANSLATE:
            for name, node in resolve(self.input, self.input).get("properties", {}).items():
                if name.endswith(("language", "source", "target")):
                    found.update(dict.fromkeys(_tags_in(self.input, node)))
        return tuple(found)

    def check_language(self, language: str | None, where: str | None = None) -> None:
        """Check that the contract has a prompt in a language; None is always valid.

        Raises:
            ContractError: it has none; names the languages that it has.
        """
        if language is not None and language not in self.prompts:
            raise ContractError(
                f"{self.name} has no prompt in the language {language!r}",
                where=where,
                remedy=f"use one of its languages: {', '.join(self.languages)}",
            )

    def for_input(self, input: Value) -> Self:
        """The contract with its output narrowed to one input (`x-metier-one-of`); itself where nothing narrows."""
        output = narrowed(self.output, self.input, input)
        return self if output is self.output else self.model_copy(update={"output": output})

    def check_input(self, value: Any, where: str | None = None) -> Value:
        """`value` if it satisfies the input schema.

        Raises:
            ContractError: naming each field that does not.
        """
        return self._checked("input", self.input, value, where)

    def check_output(self, value: Any, where: str | None = None) -> Value:
        """`value` if it satisfies the output schema.

        Raises:
            ContractError: naming each field that does not.
        """
        return self._checked("output", self.output, value, where)

    def check_sample(self, sample: Sample) -> Sample:
        """`sample` if both sides satisfy the contract.

        Raises:
            ContractError: with the sample's own place.
        """
        where = str(sample.provenance) if sample.provenance else None
        if sample.task != self.name:
            raise ContractError(f"a sample of task {sample.task} was given to {self.name}", where=where)
        self.check_input(sample.input, where)
        self.for_input(sample.input).check_output(sample.output, where)
        return sample

    def _checked(self, side: str, schema: JsonSchema, value: Any, where: str | None) -> Value:
        found, slips = problems(schema, value), _slips(schema, value)
        if side == "input" and any(p.field == "language" for p in found):
            # The field is a list of literals: jsonschema's own message names neither the value's use nor the list.
            self.check_language(str(value["language"]), where)
        if found or slips:
            listed = [f"{p.field or side}: {p.reason}" for p in found[:5]]
            # An open schema takes any field, so that a mistyped one would be ignored in silence.
            suggestions = [f"there is no field {name}, did you mean {near}?" for name, near in slips.items()]
            raise ContractError(
                f"{side} does not satisfy {self.name}: {'; '.join([*listed, *suggestions])}",
                where=where,
                remedy=f"the {side}'s fields are: {', '.join(_fields(schema))}",
            )
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ContractError(
                f"{side} holds half a character (the surrogate U+{ord(error.object[error.start]):04X}) for {self.name}",
                where=where,
                remedy="repair the text: it was cut within an emoji, or decoded wrongly",
            ) from error
        return value  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _reply_schema(key: SchemaKey) -> JsonSchema:
    # Cached, so that one contract's reply schema is one object: compiled validators are kept by identity.
    return without_renderings(key.schema)


def _slips(schema: JsonSchema, value: Any) -> dict[str, str]:
    """Names in a value that are no fields, but nearly one that is not there; none where extra fields are foreseen."""
    known = _fields(schema)
    if not isinstance(value, dict) or resolve(schema, schema).get("additionalProperties", False) is not False:
        return {}
    absent = [name for name in known if name not in value]
    return {name: near for name in value if name not in known and (near := nearest(str(name), absent, _SLIP))}


def _fields(schema: JsonSchema) -> dict[str, Any]:
    return dict(resolve(schema, schema).get("properties", {}))


_TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def _tags_in(root: JsonSchema, node: Mapping[str, Any]) -> list[str]:
    """Language tags that a field enumerates."""
    node = resolve(root, node)
    found = [node.get("const"), *node.get("enum", ())]
    for inner in node.get("anyOf", ()):
        found += _tags_in(root, inner)
    return [tag for tag in found if isinstance(tag, str) and _TAG.fullmatch(tag)]
