"""The tasks `npc.line`, `npc.bark` and `npc.persona`: who speaks, what the world is like, what can be stated and done.

A secret whose condition does not hold never enters a prompt: the model learns what to keep quiet about, not what it is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from metier.contracts import Prompt, ReplyFormat, TaskContract, TaskKind, Turn, prompt

LINE, BARK, PERSONA = "npc.line", "npc.bark", "npc.persona"
NONE = "none"
"""The action of a character that does nothing."""
LONGEST_LINE = 600
"""Characters of one line of dialogue: longer ones are prose, not speech."""

Emotion = Literal["neutral", "happy", "sad", "angry", "afraid", "surprised", "disgusted", "curious"]
"""Ekman's six, curiosity, and none of them: what facial rigs commonly have."""
Era = Literal["ancient", "medieval", "industrial", "modern", "future"]
Language = Literal["en", "zh"]
Text = Annotated[str, Field(min_length=1)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Utterance(_Closed):
    """One turn of the talk so far."""

    who: Text
    text: Text


class Secret(_Closed):
    """Something the character tells only once a state variable allows it."""

    about: Text = Field(description="the topic, safe to know: it is what the character evades")
    text: Text = Field(description="the secret itself: it stays out of the prompt until it may be told")
    when: Text = Field(description="name of the state variable that opens it: true, or a number of at_least or more")
    at_least: float | None = None


class Character(_Closed):
    """What all tasks know of a character and the world."""

    speaker: Text = Field(description="the character's name")
    persona: str | None = Field(default=None, description="who it is and how it talks")
    world: str | None = Field(default=None, description="place, time and what is going on")
    state: dict[str, JsonValue] = Field(default={}, description="the game's variables: flags, counters, words")
    era: Era | None = Field(default=None, description="newest age whose things the character can know; for the check")
    never_say: list[Text] = Field(default=[], description="words that do not exist in this world; for the check")
    max_chars: int | None = Field(
        default=None, ge=1, description="room in the bubble; a full-width character takes two"
    )
    language: Language | None = Field(default=None, description="en if not given")


class Scene(Character):
    """What a line of dialogue comes from."""

    secrets: list[Secret] = []
    history: list[Utterance] = Field(default=[], description="the talk so far, the last turn to be answered")
    when: list[Text] = Field(default=[], description="conditions of the line, as a script writes them")
    choices: list[Text] = Field(default=[], description="what the player can answer next")
    tags: list[Text] = Field(default=[], description="the script's tags on the line")
    actions: list[Text] = Field(default=[NONE], min_length=1, description="what the engine can play now")


class Line(_Closed):
    """What the character says and does."""

    line: str = Field(min_length=1, max_length=LONGEST_LINE)
    emotion: Emotion
    # The reply's grammar narrows the field to the values of that list field of the input.
    action: str = Field(min_length=1, json_schema_extra={"x-metier-one-of": "actions"})
    remember: list[Annotated[str, Field(min_length=1, max_length=80)]] = Field(max_length=2)
    """What goes into the character's memory."""


class Situation(Character):
    """What a bark answers to."""

    situation: Text = Field(description="what happens, such as `spots an intruder`")
    avoid: list[Text] = Field(default=[], description="barks heard lately")
    count: int = Field(default=3, ge=1, le=6, description="how many variants")


class Barks(_Closed):
    """Variants of one bark, to be played in any order."""

    variants: list[Annotated[str, Field(min_length=1, max_length=160)]] = Field(min_length=1, max_length=6)


class Talk(Character):
    """A long conversation with a character of an IP; `player` is what is answered now."""

    facts: list[Text] = Field(default=[], description="what the character knows")
    secrets: list[Secret] = []
    history: list[Utterance] = []
    player: Text


class Answer(_Closed):
    """What the character says, in its voice."""

    text: str = Field(min_length=1, max_length=LONGEST_LINE)


def opened(secret: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether a secret may be told, by the rule that the prompts apply as well.

    Without `at_least` the variable must be true; with it, a number of at least that. Anything else counts as 0.
    """
    value, least = state.get(secret["when"]), secret.get("at_least")
    if least is None:
        return bool(value)
    try:
        number = float(value or 0)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    return bool(number >= least)


_OPEN = (
    "{% if s.get('at_least') is none %}{% set open = state.get(s.when) %}"
    "{% else %}{% set open = state.get(s.when)|float(0) >= s.at_least %}{% endif %}"
)


def _who(state: str, revealable: str, hidden: str, colon: str) -> str:
    return (
        "{{ speaker }}{% if persona %}" + colon + "{{ persona }}{% endif %}"
        "{% if world %}\n{{ world }}{% endif %}"
        "{% if state %}\n" + state + "{% for k, v in state.items() %}{{ k }}={{ v|tojson }}"
        "{% if not loop.last %}, {% endif %}{% endfor %}{% endif %}"
        "{% for s in secrets|default([]) %}" + _OPEN + "\n{% if open %}" + revealable + "{{ s.text }}"
        "{% else %}" + hidden + "{{ s.about }}{% endif %}{% endfor %}"
    )


_EN = _who("State: ", "May tell: ", "Hides: ", ": ")
_ZH = _who("状态：", "可说：", "隐瞒：", "：")

_LINE_EN = (
    _EN + "{% if when %}\nIf: {{ when|join('; ') }}{% endif %}{% if tags %}\nTags: {{ tags|join(', ') }}{% endif %}"
    "\nActions: {{ actions|join(', ') }}{% if max_chars %}\nAt most {{ max_chars }} characters{% endif %}"
    "{% for t in history %}\n{{ t.who }}: {{ t.text }}{% endfor %}"
    "{% if choices %}\nThen: {{ choices|join(' / ') }}{% endif %}"
)
_LINE_ZH = (
    _ZH + "{% if when %}\n条件：{{ when|join('；') }}{% endif %}{% if tags %}\n标签：{{ tags|join('、') }}{% endif %}"
    "\n动作：{{ actions|join('、') }}{% if max_chars %}\n最多{{ max_chars }}字符{% endif %}"
    "{% for t in history %}\n{{ t.who }}：{{ t.text }}{% endfor %}"
    "{% if choices %}\n随后：{{ choices|join(' / ') }}{% endif %}"
)
_BARK_EN = (
    _EN + "{% if avoid %}\nNot: {{ avoid|join(' / ') }}{% endif %}"
    "{% if max_chars %}\nAt most {{ max_chars }} characters{% endif %}\n{{ count }} barks: {{ situation }}"
)
_BARK_ZH = (
    _ZH + "{% if avoid %}\n不用：{{ avoid|join(' / ') }}{% endif %}"
    "{% if max_chars %}\n最多{{ max_chars }}字符{% endif %}\n{{ count }}句：{{ situation }}"
)
_FACTS_EN = (
    "{% for f in facts %}\nKnows: {{ f }}{% endfor %}{% if max_chars %}\nAt most {{ max_chars }} characters{% endif %}"
)
_FACTS_ZH = "{% for f in facts %}\n知道：{{ f }}{% endfor %}{% if max_chars %}\n最多{{ max_chars }}字符{% endif %}"


def _talk(system: str) -> Prompt:
    role = "{{ 'assistant' if item.who == speaker else 'user' }}"
    return Prompt(
        turns=(
            Turn(role="system", content=system),
            Turn(role=role, content="{{ item.text }}", each="history"),
            Turn(role="user", content="{{ player }}"),
        )
    )


line = TaskContract(
    name=LINE,
    kind=TaskKind.DIALOGUE,
    title="A line of dialogue",
    description="What a character says, feels, does and remembers; the action is one of those the engine can play.",
    input=Scene,
    output=Line,
    prompts={
        "en": prompt(_LINE_EN, system="Write the character's next line."),
        "zh": prompt(_LINE_ZH, system="写出角色的下一句。"),
    },
    reply=ReplyFormat(name="json"),
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=160,
)
bark = TaskContract(
    name=BARK,
    kind=TaskKind.GENERATE,
    title="Barks",
    description="Short lines that a character calls out in a situation, several ways.",
    input=Situation,
    output=Barks,
    prompts={
        "en": prompt(_BARK_EN, system="Write short barks."),
        "zh": prompt(_BARK_ZH, system="写简短的喊话。"),
    },
    reply=ReplyFormat(name="json"),
    metrics=("chrf",),
    max_reply_tokens=160,
)
persona = TaskContract(
    name=PERSONA,
    kind=TaskKind.DIALOGUE,
    title="A conversation in character",
    description="The next answer of a long conversation, in voice, within what the character knows and may tell.",
    input=Talk,
    output=Answer,
    prompts={
        "en": _talk("Stay in character.\n" + _EN + _FACTS_EN),
        "zh": _talk("保持角色。\n" + _ZH + _FACTS_ZH),
    },
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=160,
)
TASKS = (line, bark, persona)
