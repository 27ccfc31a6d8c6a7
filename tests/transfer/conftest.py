"""Tasks of the four kinds that heads do, samples of them that a tiny model can learn, and a tiny random encoder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from metier.contracts import Sample, TaskContract, TaskKind, prompt

FRUIT, TOOL = ("apple", "pear", "plum", "fig"), ("saw", "drill", "file", "axe")
VERBS = ("ordered", "returned", "lost", "wants", "likes", "has")


class Text(BaseModel):
    text: str
    language: Literal["en", "zh"] | None = None


class Sorted(BaseModel):
    kind: Literal["a fruit", "a tool"]


class Span(BaseModel):
    label: Literal["fruit", "tool"]
    text: str


class Spans(BaseModel):
    spans: list[Span]


class Pair(BaseModel):
    text: str
    first: str
    second: str


class Relation(BaseModel):
    relation: Literal["before", "after"]


class Match(BaseModel):
    query: str
    title: str
    note: str | None = Field(default=None)


class Grade(BaseModel):
    grade: Literal["match", "no match"]


def contract(name: str, kind: TaskKind, given: type[BaseModel], made: type[BaseModel], reply: str) -> TaskContract:
    template = "{{ text }}" if "text" in given.model_fields else "{{ query }} {{ title }}"
    asked = {"en": prompt(template, system="Sort it."), "zh": prompt(template, system="分类。")}
    return TaskContract(name=f"tiny.{name}", kind=kind, input=given, output=made, prompts=asked, reply=reply)


SORT = contract("sort", TaskKind.CLASSIFY, Text, Sorted, "label")
FIND = contract("find", TaskKind.EXTRACT, Text, Spans, "spans")
RELATE = contract("relate", TaskKind.RELATE, Pair, Relation, "label")
MATCH = contract("match", TaskKind.RANK, Match, Grade, "label")


def samples(task: TaskContract) -> list[Sample]:
    """48 samples whose answer stands in words that a static embedding tells apart."""
    found = []
    for n, verb in enumerate(VERBS):
        for fruit, tool in zip(FRUIT, TOOL[n % 4 :] + TOOL[: n % 4], strict=True):
            for one, other in ((fruit, tool), (tool, fruit)):
                said = f"he {verb} the {one}"
                label = "fruit" if one in FRUIT else "tool"
                both = f"the {one} , then the {other}"
                given, made = {
                    SORT.name: ({"text": said}, {"kind": f"a {label}"}),
                    FIND.name: ({"text": said}, {"spans": [{"label": label, "text": one}]}),
                    RELATE.name: (
                        {"text": f"{verb} {both}", "first": fruit, "second": tool},
                        {"relation": "before" if one == fruit else "after"},
                    ),
                    MATCH.name: (
                        {"query": fruit, "title": f"{verb} {one}", "note": None},
                        {"grade": "match" if one == fruit else "no match"},
                    ),
                }[task.name]
                found.append(Sample(task=task.name, input=given, output=made))
    return found


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a random BERT (3 layers, width 64), a word tokenizer that cuts and pads as sentence
    encoders' files do, and dropout, which training must use and answering must not."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny_encoder")
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    corpus = [json.dumps(s.model_dump(mode="json")) for task in (SORT, RELATE, MATCH) for s in samples(task)]
    tokenizer.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=300, special_tokens=specials))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny products gain nothing from threads, and threads of tests that run side by side wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def kinds() -> dict[str, tuple[TaskContract, list[Sample]]]:
    """Task and samples by short name: sort, find, relate, match."""
    return {task.name.partition(".")[2]: (task, samples(task)) for task in (SORT, FIND, RELATE, MATCH)}
