"""A folder of documents ships in a bundle, bears on inputs, and is named by answers with file and line."""

import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from metier.contracts import BundleError, DataError, TaskContract, TaskKind, UsageError, prompt
from metier.iterate.grounding import add_documents, cited, grounded, open_documents, takes_passages
from metier.runtime.bundle import open_bundle


class Passage(BaseModel):
    id: str
    heading: str | None = None
    text: str


class Question(BaseModel):
    question: str
    passages: list[Passage] = []


class Reply(BaseModel):
    used: list[str] = Field(default=[], json_schema_extra={"items": {"x-metier-one-of": "passages[].id"}})
    text: str


ASK = TaskContract(
    name="shop.ask",
    kind=TaskKind.DIALOGUE,
    input=Question,
    output=Reply,
    prompts={"en": prompt("{{ passages }} {{ question }}")},
    reply="json",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs/terms").mkdir(parents=True)
    (tmp_path / "docs/a.md").write_text("# Delivery\n\nExpress costs 6.95 pounds.\n\n## Islands\n\nNo express there.\n")
    (tmp_path / "docs/terms/b.html").write_text("<h1>Returns</h1><p>Within 30 days, unworn.</p>")
    return tmp_path / "docs"


@pytest.fixture
def shipped(tiny_slotted: Path, folder: Path, tmp_path: Path) -> Path:
    bundle = Path(shutil.copytree(tiny_slotted, tmp_path / "bundle"))
    assert open_documents(bundle) is None
    assert add_documents(bundle, folder) == 3
    return bundle


def test_documents_ship_in_the_bundle_and_are_found_with_file_and_line(shipped: Path) -> None:
    open_bundle(shipped)
    index = open_documents(shipped)
    assert [p.id for p in index.passages] == ["P1", "P2", "P3"]
    case = grounded(ASK, {"question": "How long for returns, in days?"}, index, k=1)
    assert case["passages"] == [{"id": "P3", "heading": "Returns", "text": "Within 30 days, unworn."}]
    (stands_on,) = cited(index, {"used": ["P3", "P9"], "text": "Within 30 days."})
    assert str(stands_on.provenance) == "terms/b.html:1"
    ASK.check_input(case)


def test_new_documents_take_the_old_ones_place_and_what_is_changed_by_hand_is_noticed(
    shipped: Path, folder: Path
) -> None:
    (folder / "a.md").write_text("# Delivery\n\nExpress costs 7.50 pounds.\n")
    assert add_documents(shipped, folder) == 2
    assert "7.50" in open_documents(shipped).search("express delivery")[0].text
    (shipped / "search/passages.jsonl").write_text("")
    with pytest.raises(BundleError, match="bytes"):
        open_bundle(shipped)


def test_passages_that_an_input_brings_stay_in_front_and_none_stands_twice(shipped: Path) -> None:
    own = {"id": "P1", "text": "Ours."}
    case = grounded(ASK, {"question": "express delivery", "passages": [own]}, open_documents(shipped), k=2)
    assert [p["id"] for p in case["passages"]] == ["P1", "P2"] and case["passages"][0] == own
    assert grounded(ASK, {"question": "zzz"}, open_documents(shipped)) == {"question": "zzz"}


def test_a_task_without_a_place_for_passages_and_a_folder_without_documents_are_refused(
    shipped: Path, task, tmp_path: Path
) -> None:
    assert takes_passages(ASK) and not takes_passages(task)
    with pytest.raises(UsageError, match="takes no passages"):
        grounded(task, {"facts": "x"}, open_documents(shipped))
    before = (shipped / "bundle.json").read_bytes()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no document"):
        add_documents(shipped, tmp_path / "empty")
    assert (shipped / "bundle.json").read_bytes() == before
