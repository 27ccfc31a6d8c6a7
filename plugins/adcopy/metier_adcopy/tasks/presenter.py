"""`adcopy.presenter`: a brief in, what a virtual presenter says and does out, line by line.

The answer is data for whatever animates the presenter; `metier_adcopy.ssml` writes it as SSML 1.1 for a voice.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from metier.contracts import TaskContract, TaskKind, prompt

PRESENTER = "adcopy.presenter"

Gesture = Literal["none", "wave", "open_hands", "point", "show", "count", "nod", "thumbs_up", "hand_on_heart"]


class Slot(BaseModel):
    """What is presented, to whom, and in what time."""

    model_config = ConfigDict(extra="forbid")

    facts: str = Field(min_length=1, description="key[value], key[value]: all that may be said, and all that must be")
    presenter: str | None = Field(default=None, description="name the presenter goes by")
    audience: str | None = Field(default=None, description="who watches")
    tone: str | None = Field(default=None, description="one or two words, such as warm or dry")
    seconds: int | None = Field(default=None, ge=3, le=180, description="length of the slot")
    language: Literal["en", "zh"] | None = Field(default=None, description="language spoken; en if not given")


class Line(BaseModel):
    """One breath: words, the words among them that are stressed, what the hands do, and how long it takes."""

    model_config = ConfigDict(extra="forbid")

    say: str = Field(min_length=1, max_length=160)
    stress: list[Annotated[str, Field(min_length=1, max_length=32)]] = Field(
        max_length=2, description="words of `say`, as they stand there"
    )
    gesture: Gesture
    seconds: int = Field(ge=1, le=30)


class Script(BaseModel):
    """All that the presenter says."""

    model_config = ConfigDict(extra="forbid")

    lines: list[Line] = Field(min_length=1, max_length=8)


_USER = (
    "{{ facts }}"
    "{% if presenter %}\nPRESENTER{{ presenter }}{% endif %}"
    "{% if audience %}\nAUDIENCE{{ audience }}{% endif %}"
    "{% if tone %}\nTONE{{ tone }}{% endif %}"
    "{% if seconds %}\nLENGTH{% endif %}"
)
_USER_EN = (
    _USER.replace("PRESENTER", "Presenter: ")
    .replace("AUDIENCE", "Audience: ")
    .replace("TONE", "Tone: ")
    .replace("LENGTH", "{{ seconds }} seconds")
)
_USER_ZH = (
    _USER.replace("PRESENTER", "主播：")
    .replace("AUDIENCE", "受众：")
    .replace("TONE", "语气：")
    .replace("LENGTH", "{{ seconds }}秒")
)

presenter = TaskContract(
    name=PRESENTER,
    kind=TaskKind.GENERATE,
    title="Script a virtual presenter",
    description="Spoken lines with stress, gesture and duration that state every fact and add none.",
    input=Slot,
    output=Script,
    prompts={
        "en": prompt(_USER_EN, system="Script the presenter's lines. State every fact, add none, invite at the end."),
        "zh": prompt(_USER_ZH, system="写主播台词：每个事实都说到，不添加，最后邀请下单。"),
    },
    reply="json",
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=320,
)
