"""A task with one field of each kind, and a small one, for rows to be judged by."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from metier.contracts import TaskContract, prompt


class Product(BaseModel):
    facts: str = Field(max_length=2000)
    price: float | None = None
    stock: int | None = None
    new: bool | None = None
    tone: Literal["warm", "plain"] | None = None
    tags: list[str] = []


class Copy(BaseModel):
    text: str


@pytest.fixture(scope="session")
def task() -> TaskContract:
    """Product facts and five optional fields in, one text out."""
    return TaskContract(
        name="demo.describe", kind="generate", input=Product, output=Copy, prompts={"en": prompt("{{ facts }}")}
    )
