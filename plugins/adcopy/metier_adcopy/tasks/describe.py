"""`adcopy.describe`: product facts in, one description out."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from metier.contracts import TaskContract, TaskKind, prompt

DESCRIBE = "adcopy.describe"


class Brief(BaseModel):
    """What a copywriter is told."""

    model_config = ConfigDict(extra="forbid")

    facts: str = Field(min_length=1, description="key[value], key[value]: all that may be said, and all that must be")
    audience: str | None = Field(default=None, description="who reads it")
    tone: str | None = Field(default=None, description="one or two words, such as warm or dry")
    max_chars: int | None = Field(default=None, ge=1, description="limit in characters, a full-width one counts as two")
    language: Literal["en", "zh"] | None = Field(default=None, description="language of the copy; en if not given")


class Copy(BaseModel):
    """What the copywriter hands in."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, description="one description, one to three sentences")


_USER_EN = (
    "{{ facts }}"
    "{% if audience %}\nAudience: {{ audience }}{% endif %}"
    "{% if tone %}\nTone: {{ tone }}{% endif %}"
    "{% if max_chars %}\nAt most {{ max_chars }} characters{% endif %}"
)
_USER_ZH = (
    "{{ facts }}"
    "{% if audience %}\n受众：{{ audience }}{% endif %}"
    "{% if tone %}\n语气：{{ tone }}{% endif %}"
    "{% if max_chars %}\n最多{{ max_chars }}字符{% endif %}"
)

describe = TaskContract(
    name=DESCRIBE,
    kind=TaskKind.GENERATE,
    title="Describe a product",
    description="One short description that states every fact given and claims nothing else.",
    input=Brief,
    output=Copy,
    prompts={
        "en": prompt(_USER_EN, system="Write ad copy that states every fact and adds none."),
        "zh": prompt(_USER_ZH, system="写广告文案：每个事实都写到，不添加。"),
    },
    metrics=("bleu", "chrf", "rouge_l"),
    max_reply_tokens=160,
)
