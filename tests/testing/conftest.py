"""A small trade that conforms, made in a folder, for the tests to break one thing at a time."""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy
import pytest
from pydantic import BaseModel
from safetensors.numpy import save_file

from metier.contracts import (
    BadRow,
    Base,
    Check,
    DataError,
    DataSummary,
    Finding,
    FineTune,
    FineTuneCard,
    Lora,
    Provenance,
    Recipe,
    Sample,
    SampleSet,
    TaskContract,
    TaskKind,
    Vertical,
    prompt,
)

TASK = "florist.card"


class Order(BaseModel):
    flower: str
    occasion: str
    count: int = 1
    language: Literal["en", "zh"] | None = None


class Card(BaseModel):
    text: str


@dataclass
class FlowerCsv:
    """Reads `flower,occasion,text` rows, one a line."""

    example: Path
    name: str = "flower_csv"
    task: str = TASK
    changed: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def accepts(self, path: Path) -> bool:
        return self.changed["accepts"](path) if "accepts" in self.changed else path.suffix == ".csv" and path.is_file()

    def read(self, path: Path) -> Any:
        return self.changed["read"](path) if "read" in self.changed else self.rows(path)

    def rows(self, path: Path, shift: int = 0) -> Any:
        if not path.is_file():
            raise DataError("there is no such file", where=str(path))
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.reader(line.replace("\0", " ") for line in file)
            try:
                header = next(reader, None)
                if header != ["flower", "occasion", "text"]:
                    raise DataError("the header is not flower,occasion,text", where=f"{path.name}:1")
                for row in reader:
                    place = Provenance(source=path.name, line=reader.line_num + shift)
                    if len(row) != 3:
                        yield BadRow(provenance=place, reason="three cells are needed")
                    else:
                        yield Sample(
                            task=TASK,
                            input={"flower": row[0], "occasion": row[1]},
                            output={"text": row[2]},
                            provenance=place,
                        )
            except csv.Error as error:
                raise DataError(str(error), where=path.name) from error


def named(order: Any, card: Any) -> list[Finding]:
    return [] if order["flower"] in card["text"].lower() else [Finding(message="the flower is not named")]


FLOWERS = ["rose", "tulip", "lily", "peony", "aster", "iris"]
OCCASIONS = [
    "a wedding in June",
    "grandmother's birthday",
    "an apology",
    "first day at work",
    "a retirement",
    "no reason",
]


@dataclass
class Trade:
    """What the vertical is made of; tests change a part and call `vertical()`."""

    folder: Path
    task: dict[str, Any]
    train: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    recipe: Recipe
    check: dict[str, Any]
    adapter: FlowerCsv
    card: dict[str, Any]
    config: dict[str, Any]
    tensors: dict[str, Any]
    vertical_fields: dict[str, Any] = field(default_factory=dict)

    def vertical(self) -> Vertical:
        """The trade as a plugin would hand it over."""
        task = TaskContract(**self.task)
        for name in ("train", "held_out"):
            rows = "".join(json.dumps(row) + "\n" for row in getattr(self, name))
            (self.folder / f"{name}.jsonl").write_text(rows, encoding="utf-8")
        (self.folder / "SAMPLES.md").write_text("Written for this test.\n")
        return Vertical(
            **{
                "name": "florist",
                "tasks": (task,),
                "data_adapters": (self.adapter,),
                "recipes": {TASK: self.recipe},
                "fine_tunes": (self._fine_tune(task),),
                "checks": (Check(**self.check),),
                "samples": {
                    TASK: SampleSet(
                        train=self.folder / "train.jsonl",
                        held_out=self.folder / "held_out.jsonl",
                        statement=self.folder / "SAMPLES.md",
                        licence="CC-BY-4.0",
                    )
                },
                **self.vertical_fields,
            }
        )

    def _fine_tune(self, task: TaskContract) -> FineTune:
        path = self.folder / "fine_tune"
        path.mkdir(exist_ok=True)
        save_file(self.tensors, path / "adapter_model.safetensors")
        (path / "adapter_config.json").write_text(json.dumps(self.config))
        sha256 = hashlib.sha256((path / "adapter_model.safetensors").read_bytes()).hexdigest()
        card = FineTuneCard(
            **{"name": "florist", "tasks": (task,), "recipe": self.recipe, "weights_sha256": sha256, **self.card}
        )
        (path / "card.json").write_text(card.model_dump_json())
        return FineTune.packaged(path)


def _rows(flowers: list[str], occasions: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "input": {"flower": flower, "occasion": occasion, "language": "en"},
            "output": {"text": f"A {flower} says for {occasion} what words would take an afternoon over."},
        }
        for flower, occasion in zip(flowers, occasions, strict=True)
    ]


@pytest.fixture
def trade(tmp_path: Path) -> Trade:
    """A florist's trade that passes every check."""
    example = tmp_path / "orders.csv"
    lines = ["flower,occasion,text", "rose,a wedding,A rose for the day.", "tulip,spring,Tulips: the thaw in colour."]
    example.write_text("\n".join([*lines, "lily,an apology,A lily says sorry."]) + "\n")
    recipe = Recipe(lora=Lora(rank=4, alpha=8))
    modules = [f"base_model.model.model.layers.{layer}.self_attn.q_proj" for layer in range(2)]
    tensors = {}
    for module in modules:
        tensors[f"{module}.lora_A.weight"] = numpy.ones((4, 16), numpy.float32)
        tensors[f"{module}.lora_B.weight"] = numpy.zeros((32, 4), numpy.float32)
    order = ({"flower": "rose", "occasion": "spring"}, {"text": "A rose for spring."})
    return Trade(
        folder=tmp_path,
        task={
            "name": TASK,
            "kind": TaskKind.GENERATE,
            "input": Order,
            "output": Card,
            "prompts": {
                "en": prompt("{{ count }} {{ flower }} for {{ occasion }}"),
                "zh": prompt("{{ flower }}，{{ occasion }}", system="写一张贺卡。"),
            },
            "max_reply_tokens": 64,
        },
        train=_rows(FLOWERS[:4], OCCASIONS[:4]),
        held_out=_rows(FLOWERS[4:], OCCASIONS[4:]),
        recipe=recipe,
        check={
            "name": "flower_named",
            "tasks": (TASK,),
            "run": named,
            "passing": order,
            "failing": (order[0], {"text": "Flowers."}),
        },
        adapter=FlowerCsv(example),
        card={
            "base": Base(id="qwen2.5-coder-0.5b", model_class="LlamaForCausalLM", context_length=2048),
            "data": DataSummary(sha256="0" * 64, samples=4, held_out=2, held_out_sha256="0" * 64),
        },
        config={
            "peft_type": "LORA",
            "r": 4,
            "lora_alpha": 8,
            "use_rslora": False,
            "base_model_name_or_path": "qwen2.5-coder-0.5b",
        },
        tensors=tensors,
    )
