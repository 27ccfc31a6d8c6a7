"""What goes into the tasks of customer service and what comes out, as pydantic classes. They know no prompts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from metier.contracts import Image, read_from

Intent = Literal[
    "order_status",
    "delivery_problem",
    "cancel_order",
    "change_order",
    "return_item",
    "exchange_item",
    "refund_status",
    "damaged_item",
    "wrong_item",
    "payment_problem",
    "discount",
    "product_question",
    "stock",
    "warranty",
    "account",
    "invoice",
    "complaint",
    "speak_to_human",
    "thanks",
    "other",
]
Language = Literal["en", "zh"]
Text = Annotated[str, Field(min_length=1)]
LONGEST_REPLY = 1500
"""Characters of a reply: longer ones are letters."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Message(_Closed):
    """One turn of a conversation."""

    who: Literal["customer", "agent"]
    text: Text


class Passage(_Closed):
    """A piece of the shop's policy, named so that an answer can say what it stands on."""

    id: Text
    heading: str | None = Field(default=None, description="headings above it, joined by ` > `")
    text: Text


class Case(_Closed):
    """What an agent has in front of them."""

    dialogue: list[Message] = Field(min_length=1, description="oldest first; the reply comes next")
    passages: list[Passage] = Field(default=[], description="policy passages that may bear on it")
    order: dict[str, str | int | float | bool | None] = Field(
        default={}, description="order facts; personal ones, such as email or address, never enter the prompt"
    )
    language: Language | None = Field(default=None, description="language of the reply; en if not given")


# The reply's grammar takes only the ids of passages that came with the input.
PassageId = Annotated[str, Field(min_length=1, max_length=24, json_schema_extra={"x-metier-one-of": "passages[].id"})]


class Reply(_Closed):
    """What the agent sends, and what the desk files. Fields that are decided come before the words."""

    intent: Intent | None = Field(default=None, description="left out where a log does not tell")
    escalate: bool = Field(description="whether a person must take over")
    used: list[PassageId] = Field(default=[], max_length=4, description="ids of the passages that the reply stands on")
    reply: str = Field(min_length=1, max_length=LONGEST_REPLY)


class Utterance(_Closed):
    """One message of a customer's."""

    text: Text
    language: Language | None = None


class Sorted(_Closed):
    """What a message wants."""

    intent: Intent


class Span(_Closed):
    """Words of the message, as they stand there."""

    label: Literal["order_number", "product", "amount", "date", "reason"]
    text: Text


class Entities(_Closed):
    """What a message names, in its order."""

    spans: list[Span] = []


class Goods(_Closed):
    """A product to be listed: its photo, and what is known of it."""

    photo: Image
    seen: str | None = Field(
        default=None,
        description="words on the photo; read off it where left out",
        json_schema_extra=read_from("photo", content="words", package="metier-ocr"),
    )
    attributes: dict[str, str | int | float | bool] = Field(min_length=1, description="what the seller knows")
    draft: str | None = Field(default=None, description="the seller's own words, to be edited")
    max_title: int = Field(default=80, ge=10, description="characters of the title; 80 is eBay's limit")
    language: Language | None = None


class Listing(_Closed):
    """What stands in the shop."""

    title: str = Field(min_length=1, max_length=200)
    bullets: list[Annotated[str, Field(min_length=1, max_length=160)]] = Field(min_length=2, max_length=5)
    description: str = Field(min_length=1, max_length=600)


class Review(_Closed):
    """What one buyer wrote."""

    text: Text
    rating: float | None = Field(default=None, ge=0, le=5, description="stars of five")


class Reviewed(_Closed):
    """A product and what its buyers wrote."""

    product: str | None = None
    reviews: list[Review] = Field(min_length=1)
    language: Language | None = None


class Aspect(_Closed):
    """One side of the product, and how buyers find it."""

    aspect: str = Field(min_length=1, max_length=40)
    sentiment: Literal["positive", "negative", "mixed"]


Point = Annotated[str, Field(min_length=1, max_length=80)]


class Digest(_Closed):
    """What the reviews say, both sides, in the buyers' words."""

    aspects: list[Aspect] = Field(max_length=6)
    pros: list[Point] = Field(max_length=4)
    cons: list[Point] = Field(max_length=4)
    summary: str = Field(min_length=1, max_length=400, description="one or two sentences that quote a review")
