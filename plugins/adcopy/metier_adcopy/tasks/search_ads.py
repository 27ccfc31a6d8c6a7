"""`adcopy.search_ads`: product and landing-page facts in, the texts of a search ad out.

Google Ads takes 3 to 15 headlines of at most 30 characters and 2 to 4 descriptions of at most 90, a double-width
character counted as two (https://support.google.com/google-ads/answer/7684791 and /1704389). Baidu (百度搜索推广，创意)
takes titles of 9 to 50 and description lines of 9 to 80, counted alike
(https://experienceleague.adobe.com/en/docs/advertising/search-social-commerce names the first 28 and 40 of them, which
are all that some positions show). A schema counts code points, so that the grammar keeps a number of texts and
Google's limits in Latin letters; width is left to the check `ad_limits`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from metier.contracts import TaskContract, TaskKind, prompt

SEARCH_ADS = "adcopy.search_ads"


class Offer(BaseModel):
    """What is advertised, and what the visitor finds after the click."""

    model_config = ConfigDict(extra="forbid")

    facts: str = Field(min_length=1, description="key[value], key[value]: all of it must be said")
    page: str | None = Field(default=None, description="facts of the landing page in the same notation: may be said")
    keyword: str | None = Field(default=None, description="what the searcher types")
    platform: Literal["google", "baidu"] | None = Field(default=None, description="whose limits hold; google if absent")
    language: Literal["en", "zh"] | None = Field(default=None, description="language of the ad; en if not given")


class SearchAd(BaseModel):
    """The ad's texts, to be shown in any combination. On Baidu each headline is the title of one 创意."""

    model_config = ConfigDict(extra="forbid")

    headlines: list[Annotated[str, Field(min_length=1, max_length=30)]] = Field(min_length=3, max_length=15)
    descriptions: list[Annotated[str, Field(min_length=1, max_length=90)]] = Field(min_length=2, max_length=4)


_USER_EN = "{{ facts }}{% if page %}\nPage: {{ page }}{% endif %}{% if keyword %}\nKeyword: {{ keyword }}{% endif %}"
_USER_ZH = (
    "{% if platform == 'baidu' %}百度：标题50字符，描述80\n{% endif %}"
    "{{ facts }}{% if page %}\n落地页：{{ page }}{% endif %}{% if keyword %}\n关键词：{{ keyword }}{% endif %}"
)

search_ads = TaskContract(
    name=SEARCH_ADS,
    kind=TaskKind.GENERATE,
    title="Write a search ad",
    description="Headlines and descriptions of a responsive search ad that state every product fact and add none.",
    input=Offer,
    output=SearchAd,
    prompts={
        "en": prompt(
            _USER_EN, system="Write a search ad: headlines of 30 characters, descriptions of 90. Add no fact."
        ),
        "zh": prompt(_USER_ZH, system="写搜索广告：标题30字符，描述90，汉字算两个。不添加事实。"),
    },
    reply="json",
    metrics=("chrf", "rouge_l"),
    max_reply_tokens=320,
)
