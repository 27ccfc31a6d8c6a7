"""`adcopy.search_match`: a search query and an ad in, how well the ad answers it out.

Grades are those of the Shopping Queries data set, ESCI (Reddy et al. 2022, arXiv 2206.06588): an exact match, a
substitute, a complement, irrelevant. Ads of one query are ranked by their grade.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from metier.contracts import TaskContract, TaskKind, prompt

SEARCH_MATCH = "adcopy.search_match"

Grade = Literal["exact", "substitute", "complement", "irrelevant"]
GRADES: tuple[Grade, ...] = ("exact", "substitute", "complement", "irrelevant")
"""Best first."""


class Impression(BaseModel):
    """What was typed, and the ad that would be shown."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1)
    title: str = Field(min_length=1, description="headline of the ad, or the product's name")
    text: str | None = Field(default=None, description="description of the ad")
    language: Literal["en", "zh"] | None = Field(default=None, description="language of the query; en if not given")


class Relevance(BaseModel):
    """How well it answers."""

    model_config = ConfigDict(extra="forbid")

    grade: Grade = Field(description="offers it; offers another of its kind; goes with it; none of these")


search_match = TaskContract(
    name=SEARCH_MATCH,
    kind=TaskKind.RANK,
    title="Match a query to an ad",
    description="How well an ad answers a query, in four grades by which the ads of a query are ranked.",
    input=Impression,
    output=Relevance,
    prompts={
        "en": prompt(
            "Query: {{ query }}\nAd: {{ title }}{% if text %}. {{ text }}{% endif %}",
            system="Grade the ad for the query: exact, substitute, complement or irrelevant.",
        ),
        "zh": prompt(
            "搜索：{{ query }}\n广告：{{ title }}{% if text %}。{{ text }}{% endif %}",
            system="给广告评级：exact、substitute、complement 或 irrelevant。",
        ),
    },
    reply="label",
    metrics=("pairwise_accuracy", "accuracy", "macro_f1"),
    max_reply_tokens=12,
)
