"""A folder of documents ships in a bundle, bears on inputs, and is named by answers with file and line."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from metier._install import install_command
from metier.cli.app import app
from metier.contracts import BundleError, DataError, Sample, TaskContract, TaskKind, UsageError, prompt
from metier.export.documents import add_documents
from metier.prompting.reply import decode_reply
from metier.runtime import Engine
from metier.runtime.bundle import open_bundle
from metier.runtime.documents import add_passages, cited, open_documents


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


ANSWER_TASK = TaskContract(
    name="shop.ask",
    kind=TaskKind.DIALOGUE,
    input=Question,
    output=Reply,
    prompts={"en": prompt("{{ passages }} {{ question }}")},
    reply="json",
)


CASES = [("Is express dear?", "P1", "Express costs 6.95 pounds."), ("And returns?", "P3", "Within 30 days.")]


def sample_of(question: str, id: str, text: str) -> Sample:
    passages = [{"id": "P9", "text": "We open at nine."}, {"id": id, "text": text}]
    return Sample(
        task=ANSWER_TASK.name, input={"question": question, "passages": passages}, output={"used": [id], "text": text}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs/terms").mkdir(parents=True)
    (tmp_path / "docs/a.md").write_text("# Delivery\n\nExpress costs 6.95 pounds.\n\n## Islands\n\nNo express there.\n")
    (tmp_path / "docs/terms/b.html").write_text("<h1>Returns</h1><p>Within 30 days, unworn.</p>")
    return tmp_path / "docs"


@pytest.fixture(scope="module")
def bare(recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle of ANSWER_TASK without documents, and beside it `run`, its fine-tune."""
    from metier.adapt import adapt
    from metier.export import export_slots

    out = tmp_path_factory.mktemp("ask")
    samples = [sample_of(*case) for case in CASES]
    run = adapt(ANSWER_TASK, samples, samples[:1], recipe.model_copy(update={"epochs": 1}), out / "run")
    return export_slots([run], out / "bundle", names=["ask"], precision="fp32").path


@pytest.fixture
def shipped(bare: Path, folder: Path, tmp_path: Path) -> Path:
    bundle = Path(shutil.copytree(bare, tmp_path / "bundle"))
    assert open_documents(bundle) is None
    assert add_documents(bundle, folder) == 3
    return bundle


def test_documents_in_the_bundle_are_found_with_file_and_line(shipped: Path) -> None:
    open_bundle(shipped)
    index = open_documents(shipped)
    assert [p.id for p in index.passages] == ["P1", "P2", "P3"]
    case = add_passages(ANSWER_TASK, {"question": "How long for returns, in days?"}, index, k=1)
    assert case["passages"] == [{"id": "P3", "heading": "Returns", "text": "Within 30 days, unworn."}]
    (citation,) = cited(index, {"used": ["P3", "P9"], "text": "Within 30 days."})
    assert str(citation.provenance) == "terms/b.html:1"
    ANSWER_TASK.check_input(case)


def test_an_engine_adds_passages_to_the_prompt_and_an_answer_cites_only_those(shipped: Path) -> None:
    question = {"question": "What does express delivery cost?"}
    with Engine(shipped, device="cpu", threads=1, rows=2) as engine:
        prepared = engine.prepare_input(ANSWER_TASK.name, question)
        assert [p["id"] for p in prepared["passages"]] == ["P1", "P2"] and engine.prepare_input(
            ANSWER_TASK.name, prepared
        ) == prepared
        assert engine.request(ANSWER_TASK.name, question).ids == engine.request(ANSWER_TASK.name, prepared).ids
        output = engine.run(ANSWER_TASK.name, question)
        assert set(output["used"]) <= {"P1", "P2"}, "only passages of the prompt"
        assert (
            list(engine.run_many(ANSWER_TASK.name, [question]))
            == [output]
            == [asyncio.run(engine.arun(ANSWER_TASK.name, question))]
        )
        assert engine.answer(ANSWER_TASK.name, question).output == output
        assert decode_reply(ANSWER_TASK, "".join(engine.stream(ANSWER_TASK.name, question))) == output
        assert all(str(p.provenance).startswith("a.md:") for p in cited(engine.documents, output))


def test_a_slim_process_answers_from_documents_and_names_what_is_missing(shipped: Path) -> None:
    def run_without(*missing: str) -> subprocess.CompletedProcess[str]:
        code = (
            "import sys\n"
            "class Slim:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name.split('.')[0] in {missing!r}: raise ImportError(name)\n"
            "sys.meta_path.insert(0, Slim())\n"
            "from metier import Engine\n"
            f"with Engine({str(shipped)!r}, device='cpu', threads=1, rows=1) as engine:\n"
            f"    print(len(engine.prepare_input({ANSWER_TASK.name!r}, {{'question': 'express'}})['passages']),"
            f" engine.run({ANSWER_TASK.name!r}, {{'question': 'express'}}))\n"
        )
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    heavy = ("torch", "transformers", "peft", "onnx", "markdown_it", "datasets")
    assert (found := run_without(*heavy)).returncode == 0 and found.stdout.startswith("2 {"), found.stderr
    assert install_command("search") in run_without(*heavy, "bm25s").stderr


def test_metier_export_ships_documents_and_reports_their_faults_before_the_export(
    bare: Path, first, folder: Path, tmp_path: Path
) -> None:
    def export(run: Path, documents: Path):
        where = ["--out", str(tmp_path / "made"), "--documents", str(documents)]
        return CliRunner().invoke(app, ["export", str(run), "--slots", "--precision", "fp32", *where])

    (tmp_path / "empty").mkdir()
    for run, documents, words in (
        (bare.parent / "run", tmp_path / "empty", "no document"),
        (first.path, folder, "no task takes passages"),
    ):
        refused = export(run, documents)
        assert refused.exit_code and words in refused.output
    assert not (tmp_path / "made").exists()
    assert "3 passages" in export(bare.parent / "run", folder).output
    assert len(open_documents(tmp_path / "made").passages) == 3
    (folder / "a.md").unlink()
    later = CliRunner().invoke(app, ["iterate", "documents", str(tmp_path / "made"), str(folder), "--json"])
    assert json.loads(later.output) == {"passages": 1}


def test_new_documents_take_the_old_ones_place_and_what_is_changed_by_hand_is_noticed(
    shipped: Path, folder: Path
) -> None:
    (folder / "a.md").write_text("# Delivery\n\nExpress costs 7.50 pounds.\n")
    assert add_documents(shipped, folder) == 2
    assert "7.50" in open_documents(shipped).search("express delivery")[0].text
    (shipped / "search/passages.jsonl").write_text("")
    with pytest.raises(BundleError, match="bytes"):
        open_bundle(shipped)


def test_passages_that_an_input_brings_stay_in_front_and_none_is_repeated(shipped: Path) -> None:
    own = {"id": "P1", "text": "Ours."}
    case = add_passages(ANSWER_TASK, {"question": "express delivery", "passages": [own]}, open_documents(shipped), k=2)
    assert [p["id"] for p in case["passages"]] == ["P1", "P2"] and case["passages"][0] == own
    assert add_passages(ANSWER_TASK, {"question": "zzz"}, open_documents(shipped)) == {"question": "zzz"}


def test_a_task_without_a_field_for_passages_and_a_folder_without_documents_are_refused(
    shipped: Path, task, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="takes no passages"):
        add_passages(task, {"facts": "x"}, open_documents(shipped))
    before = (shipped / "bundle.json").read_bytes()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no document"):
        add_documents(shipped, tmp_path / "empty")
    assert (shipped / "bundle.json").read_bytes() == before
