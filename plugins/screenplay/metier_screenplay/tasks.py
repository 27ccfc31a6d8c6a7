"""The tasks `screenplay.scene`, `screenplay.dialogue` and `screenplay.branch`: their inputs and outputs.

Prompts are short, since each token of them is paid for in every training step and every request.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from metier.contracts import ReplyFormat, TaskContract, TaskKind, prompt

SCENE, DIALOGUE, BRANCH = "screenplay.scene", "screenplay.dialogue", "screenplay.branch"

Text = Annotated[str, Field(min_length=1)]
Language = Literal["en", "zh"]
Setting = Literal["INT", "EXT", "INT/EXT"]
MOST_CHOICES = 4


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Member(_Closed):
    """One member of the cast."""

    name: Text
    about: str | None = Field(default=None, description="age, trade, manner: a few words")


class Brief(_Closed):
    """What a scene is to be written from."""

    logline: str | None = None
    beats: list[Text] = Field(default=[], description="what happens, in order")
    characters: list[Member] = Field(default=[], description="the cast: nobody else speaks")
    setting: Setting = "INT"
    place: Text
    time: str | None = Field(default=None, description="such as DAY, NIGHT or LATER")
    camera: bool = Field(default=False, description="whether the house style lets the writer direct the camera")
    max_pages: float | None = Field(default=None, gt=0, description="limit in pages of 55 lines")
    language: Language | None = Field(default=None, description="en if not given")


class Scene(_Closed):
    """One scene."""

    text: str = Field(min_length=1, description="the scene in Fountain, its heading first")


class Note(_Closed):
    """Lines and what the director or script editor says about them."""

    character: Text
    about: str | None = Field(default=None, description="who the character is and how they talk")
    context: str | None = Field(default=None, description="what happens around the lines")
    lines: list[Text] = Field(min_length=1, max_length=8)
    note: Text
    max_words: int | None = Field(default=None, ge=1, description="limit of each line; a Han character is a word")
    language: Language | None = None


class Rewrite(_Closed):
    """The lines again."""

    text: str = Field(min_length=1, description="as many lines as were given, one a row, words only")


class Choice(_Closed):
    """Something the viewer can choose, and the node it leads to."""

    text: Annotated[str, Field(min_length=1, max_length=120)]
    to: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Crossing(_Closed):
    """A scene that ends in choices, and the one that was taken."""

    logline: str | None = None
    scene: Text = Field(description="what has just happened")
    choices: list[Choice] = Field(min_length=1)
    chosen: Text = Field(description="text of the choice taken")
    nodes: list[Text] = Field(default=[], description="nodes that exist already: choices may lead back into them")
    end: bool = Field(default=False, description="whether this node shall end the story")
    language: Language | None = None


class Node(_Closed):
    """The next node of an interactive film."""

    # The reply's grammar takes only the name that the choice taken leads to.
    node: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$", json_schema_extra={"x-metier-one-of": "choices[text=chosen].to"}
    )
    text: Annotated[str, Field(min_length=1, max_length=600)]
    choices: list[Choice] = Field(max_length=MOST_CHOICES)
    ending: bool


_HEADING = (
    "{{ {'INT': 'INT.', 'EXT': 'EXT.', 'INT/EXT': 'INT./EXT.'}[setting or 'INT'] }} {{ place|upper }}"
    "{% if time %} - {{ time|upper }}{% endif %}"
)
_CAST = "{% for c in characters %}\n{{ c.name|upper }}{% if c.get('about') %}: {{ c.about }}{% endif %}{% endfor %}"
_BEATS = "{% for b in beats %}\n- {{ b }}{% endfor %}"
_SCENE_EN = (
    _HEADING + "{% if logline %}\n{{ logline }}{% endif %}" + _CAST + _BEATS + "{% if max_pages %}\nAt most "
    "{{ max_pages }} pages{% endif %}{% if camera %}\nCamera directions allowed{% endif %}"
)
_SCENE_ZH = (
    _HEADING + "{% if logline %}\n{{ logline }}{% endif %}" + _CAST + _BEATS + "{% if max_pages %}\n最多"
    "{{ max_pages }}页{% endif %}{% if camera %}\n可写镜头{% endif %}"
)
# One terminal, since a lexer that takes the longest match cannot tell a line's end from a paragraph's. A paragraph is
# lines without a blank one between. Where the brief names a cast, one of more than a line is either speech under a
# cue of that cast, by the name or a word of it, or action, whose first line has a small or Chinese letter and no `@`,
# so that it is no cue.
_LINE = r"[^ \n][^\n]*"
_NAMES = (
    "{% for c in characters %}{{ '|' if not loop.first }}{{ c.name|upper|regex }}"
    "{% for word in c.name.split() if word|length > 1 %}|{{ word|upper|regex }}{% endfor %}{% endfor %}"
)
_SPEECH = rf"@?({_NAMES})( \([^()\n]+\))*(\n{_LINE})+"
_ACTION = rf"([a-z⺀-鿿]|[^ \n@(][^\n(]*[a-z⺀-鿿])[^\n]*(\n{_LINE})+"
_PARAGRAPH = rf"{{% if characters %}}[^ \n@][^\n]*|{_SPEECH}|{_ACTION}{{% else %}}{_LINE}(\n{_LINE})*{{% endif %}}"
GRAMMAR = rf"""start: SCENE
SCENE: /(INT\.\/EXT\.|INT\.|EXT\.) {_LINE}(\n\n({_PARAGRAPH}))+/
"""

scene = TaskContract(
    name=SCENE,
    kind=TaskKind.GENERATE,
    title="Write a scene",
    description="Logline, beats, cast, place and time become one scene in Fountain.",
    input=Brief,
    output=Scene,
    prompts={
        "en": prompt(_SCENE_EN, system="Write the scene in Fountain."),
        "zh": prompt(_SCENE_ZH, system="用Fountain格式写这场戏。"),
    },
    reply=ReplyFormat(name="fountain", grammar=GRAMMAR),
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=320,
    no_repeat_ngram_size=12,
)

_NOTE = (
    "{{ character }}{% if about %}@:{{ about }}{% endif %}{% if context %}\n{{ context }}{% endif %}"
    "{% for line in lines %}\n> {{ line }}{% endfor %}\n"
)
dialogue = TaskContract(
    name=DIALOGUE,
    kind=TaskKind.GENERATE,
    title="Rewrite lines to a note",
    description="A character's lines again, as the note asks, one a row.",
    input=Note,
    output=Rewrite,
    prompts={
        "en": prompt(
            _NOTE.replace("@:", ": ")
            + "Note: {{ note }}{% if max_words %}\nAt most {{ max_words }} words a line{% endif %}",
            system="Rewrite the lines to the note.",
        ),
        "zh": prompt(
            _NOTE.replace("@:", "：") + "意见：{{ note }}{% if max_words %}\n每行最多{{ max_words }}字{% endif %}",
            system="按意见改写台词。",
        ),
    },
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=160,
)

_CROSSING = (
    "{% if logline %}{{ logline }}\n{% endif %}{{ scene }}"
    "{% for c in choices %}\n{{ '>' if c.text == chosen else '-' }} {{ c.text }} -> {{ c.to }}{% endfor %}"
)
branch = TaskContract(
    name=BRANCH,
    kind=TaskKind.GENERATE,
    title="Branch a story",
    description="The node that a choice leads to: what happens, and what can be chosen next.",
    input=Crossing,
    output=Node,
    prompts={
        "en": prompt(
            _CROSSING
            + "{% if nodes %}\nNodes: {{ nodes|join(', ') }}{% endif %}{% if end %}\nEnd the story{% endif %}",
            system="Write the next node.",
        ),
        "zh": prompt(
            _CROSSING + "{% if nodes %}\n已有：{{ nodes|join('、') }}{% endif %}{% if end %}\n结局{% endif %}",
            system="写出下一节点。",
        ),
    },
    reply=ReplyFormat(name="json"),
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=320,
)
TASKS = (scene, dialogue, branch)


def heading_of(brief: dict[str, object]) -> str:
    """The scene heading that a brief asks for, as the prompt says it."""
    setting = {"INT": "INT.", "EXT": "EXT.", "INT/EXT": "INT./EXT."}[str(brief.get("setting") or "INT")]
    time = str(brief.get("time") or "")
    return f"{setting} {str(brief.get('place', '')).upper()}" + (f" - {time.upper()}" if time else "")
