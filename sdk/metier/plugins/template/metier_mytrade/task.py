"""The task mytrade.title: a text in, its title out."""

from typing import Literal

from metier.contracts import TaskContract, TaskKind, prompt
from pydantic import BaseModel, Field


class Draft(BaseModel, extra="forbid"):
    """What the writer hands in."""

    text: str = Field(min_length=1)
    max_chars: int | None = Field(default=None, ge=1, description="room for the title")
    language: Literal["en", "zh"] = Field(default="en", description="which prompt is used")


class Heading(BaseModel, extra="forbid"):
    """What the editor sets above it."""

    title: str = Field(min_length=1)


title = TaskContract(
    name="mytrade.title",
    kind=TaskKind.GENERATE,
    title="Title a text",
    input=Draft,
    output=Heading,
    prompts={
        "en": prompt(
            "{{ text }}{% if max_chars %}\nAt most {{ max_chars }} characters{% endif %}",
            system="Write one short title.",
        ),
        "zh": prompt(
            "{{ text }}{% if max_chars %}\n最多{{ max_chars }}字{% endif %}",
            system="写一个简短的标题。",
        ),
    },
    max_reply_tokens=48,
)
