"""Tasks of the four kinds that heads do, samples of them that a tiny model can learn, and a tiny random encoder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from metier.contracts import (
    DataSummary,
    FineTune,
    FineTuneCard,
    Recipe,
    Sample,
    TaskContract,
    TaskKind,
    prompt,
    samples_sha256,
)
from metier.contracts.finetune import HEAD
from metier.contracts.heads import HEAD_FILE

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


def contract(name: str, kind: TaskKind, given: type[BaseModel], output: type[BaseModel], reply: str) -> TaskContract:
    template = "{{ text }}" if "text" in given.model_fields else "{{ query }} {{ title }}"
    prompts = {"en": prompt(template, system="Sort it."), "zh": prompt(template, system="分类。")}
    return TaskContract(name=f"tiny.{name}", kind=kind, input=given, output=output, prompts=prompts, reply=reply)


SORT = contract("sort", TaskKind.CLASSIFY, Text, Sorted, "label")
FIND = contract("find", TaskKind.EXTRACT, Text, Spans, "spans")
RELATE = contract("relate", TaskKind.RELATE, Pair, Relation, "label")
MATCH = contract("match", TaskKind.RANK, Match, Grade, "label")


def samples(task: TaskContract) -> list[Sample]:
    """48 samples whose answer depends on words that a static embedding distinguishes."""
    found = []
    for n, verb in enumerate(VERBS):
        for fruit, tool in zip(FRUIT, TOOL[n % 4 :] + TOOL[: n % 4], strict=True):
            for one, other in ((fruit, tool), (tool, fruit)):
                text = f"he {verb} the {one}"
                label = "fruit" if one in FRUIT else "tool"
                both = f"the {one} , then the {other}"
                given, output = {
                    SORT.name: ({"text": text}, {"kind": f"a {label}"}),
                    FIND.name: ({"text": text}, {"spans": [{"label": label, "text": one}]}),
                    RELATE.name: (
                        {"text": f"{verb} {both}", "first": fruit, "second": tool},
                        {"relation": "before" if one == fruit else "after"},
                    ),
                    MATCH.name: (
                        {"query": fruit, "title": f"{verb} {one}", "note": None},
                        {"grade": "match" if one == fruit else "no match"},
                    ),
                }[task.name]
                found.append(Sample(task=task.name, input=given, output=output))
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
        torch.manual_seed(1000 * int(os.environ.get("METIER_TEST_SEED", "0")))  # as `tests/conftest.py` does
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


@pytest.fixture(scope="session")
def make_head(kinds: dict[str, tuple[TaskContract, list[Sample]]]) -> Callable[..., FineTune]:
    """Makes a fine-tune as `adapt` would leave it, its weights random and not trained, so that they differ in every
    place: (kind, base, folder, method, layers) → the fine-tune."""
    import torch

    from metier.bases.finetune import load_finetune, write_card
    from metier.bases.resolve import resolve
    from metier.data.samples_file import write_samples
    from metier.heads.head_graphs import write_head
    from metier.heads.head_model import HeadModel

    def make(kind: str, base: Path, folder: Path, method: str = "features", layers: str = "all") -> FineTune:
        task, given = kinds[kind]
        local = resolve(base)
        recipe = Recipe(base=str(base), produces="head", method=method, layers=layers, lora={"rank": 2, "alpha": 2})
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(len(method) + 7 * len(layers))
            head_model = HeadModel(task, local, recipe)
            for weight in head_model.trunk.weights().values():
                weight.add_(0.05 * torch.randn_like(weight))
            for weight in head_model.head.parameters():
                weight.add_(torch.randn_like(weight))
            with head_model.evaluating():
                seen = head_model.features(
                    [head_model.item(sample) for sample in given]
                )  # [things, read, groups, width]
            head_model.head.take_scale(seen.mean((0, 2)), seen.std((0, 2)))
        folder.mkdir(parents=True)
        head_model.save(folder / HEAD)
        write_head(head_model.head, folder / HEAD_FILE)
        write_samples(folder / "held_out.jsonl", given)
        digest = samples_sha256(given)
        card = FineTuneCard(
            name=folder.name,
            tasks=(task,),
            base=local.card,
            recipe=recipe,
            data=DataSummary(sha256=digest, samples=len(given), held_out=len(given), held_out_sha256=digest),
            weights_sha256=hashlib.sha256((folder / HEAD).read_bytes()).hexdigest(),
            graph_sha256=hashlib.sha256((folder / HEAD_FILE).read_bytes()).hexdigest(),
        )
        write_card(folder, card)
        return load_finetune(folder, produces="head")

    return make


@pytest.fixture(scope="session")
def heads(
    tiny_encoder: Path, make_head: Callable[..., FineTune], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, FineTune]:
    """A head of each kind over the tiny encoder's frozen features."""
    folder = tmp_path_factory.mktemp("heads")
    return {kind: make_head(kind, tiny_encoder, folder / kind) for kind in ("sort", "find", "relate", "match")}


@pytest.fixture(scope="session")
def shipped(heads: dict[str, FineTune], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One fp32 bundle of them. Copy it before changing anything."""
    from metier.heads import export_heads

    return export_heads(list(heads.values()), tmp_path_factory.mktemp("shipped") / "bundle", precision="fp32").path


@pytest.fixture
def copied(shipped: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(shipped, tmp_path / "bundle"))
