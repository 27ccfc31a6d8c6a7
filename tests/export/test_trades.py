"""The fine-tunes that the trades ship, as adapters of one bundle on one base, and proved on their own samples."""

import sys
from pathlib import Path

import pytest

from metier.bases import LocalBase, resolve
from metier.contracts import BaseError
from metier.data.samples_file import read_samples
from metier.export import export_slots
from metier.export.documents import add_documents
from metier.export.proof_samples import samples_of
from metier.plugins import load_plugins
from metier.runtime import Engine
from metier.runtime.documents import cited

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from readme_blocks import blocks, run  # noqa: E402

TOKENS = 64
"""Of each answer: enough for one row to disturb another, few enough for seconds."""


def test_a_fine_tune_that_a_plugin_ships_is_proved_on_its_trades_own_samples() -> None:
    tuned = next(f for f in load_plugins().vertical("adcopy").fine_tunes if f.card.name == "describe")
    assert not (tuned.path / "held_out.jsonl").exists()
    assert {sample.task for sample in samples_of(tuned, "held_out")} == {"adcopy.describe"}
    assert len(samples_of(tuned, "train")) == tuned.card.data.samples


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the README's bundle of trades that share a base."""
    base_of("npc")
    folder = tmp_path_factory.mktemp("trades")
    (folder / "plugins").symlink_to(ROOT / "plugins")
    (block,) = [block for block in blocks(ROOT / "README.md") if block.name == "trades"]
    # fp32: int8 activations are rounded by what else is in the batch, and a long greedy answer may turn on that.
    run(block, folder, METIER_PRECISION="fp32")
    return folder / "runs/trades"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle of customer service."""
    base_of("support")
    folder = tmp_path_factory.mktemp("desk") / "bundle"
    return export_slots(load_plugins().vertical("support").fine_tunes, folder, precision="int8").path


def base_of(trade: str) -> LocalBase:
    """The base of a trade's fine-tunes; the test is skipped where it cannot be had."""
    (id,) = {fine_tune.card.base.id for fine_tune in load_plugins().vertical(trade).fine_tunes}
    try:
        return resolve(id)
    except BaseError as error:
        pytest.skip(f"the packaged fine-tunes' base is not available: {error.what}")


@pytest.mark.slow
@pytest.mark.timeout(1500)  # the export of the default base in fp32 is part of it
@pytest.mark.xdist_group("default_base")
def test_rows_of_several_trades_in_one_batch_answer_as_each_alone(bundle: Path) -> None:
    with Engine(bundle, rows=16, max_len=768) as engine:
        adapters = engine.bundle.manifest.adapters
        inputs = {}
        for entry in adapters:
            for task in entry.card.tasks:
                packaged = load_plugins().task(task.name)[0].samples[task.name].held_out
                inputs[task.name] = next(iter(read_samples(packaged, task=task.name))).input
        assert {task.partition(".")[0] for task in inputs} == {"adcopy", "npc"}

        def submit(task: str, adapter: str | None = None):
            return engine.submit(engine.request(task, inputs[task], adapter=adapter, max_tokens=TOKENS))

        def tokens(generation) -> list[int]:
            generation.result(120)
            return generation.ids

        alone = {task: tokens(submit(task)) for task in inputs}
        together = {task: submit(task) for task in inputs}
        assert {task: tokens(generation) for task, generation in together.items()} == alone
        assert all(tokens(submit(task, "base")) != alone[task] for task in ("adcopy.describe", "npc.line"))


@pytest.mark.slow
@pytest.mark.xdist_group("default_base")
def test_a_fact_newer_than_the_base_is_answered_from_the_documents_that_ship_with_it(
    desk: Path, tmp_path: Path
) -> None:
    """The shop raises a price: the documents are replaced, nothing is trained, and the answer names its passage."""
    question = {"dialogue": [{"who": "customer", "text": "How much is express delivery?"}], "language": "en"}
    (tmp_path / "returns.html").write_text("<h1>Returns</h1><p>Boots may be returned unworn within 75 days.</p>")
    for price in ("£8.40", "£11.15"):
        (tmp_path / "delivery.md").write_text(
            f"# Delivery\n\n## Express\n\nExpress delivery costs {price} and takes one working day.\n\n"
            "## Standard\n\nStandard delivery is free from £40 and takes 3 to 5 working days.\n",
            "utf-8",
        )
        assert add_documents(desk, tmp_path) == 3
        with Engine(desk, device="cpu", rows=1, max_len=768) as engine:
            reply = engine.run("support.reply", question)
            assert price in reply["reply"]
            assert [str(p.provenance) for p in cited(engine.documents, reply)] == ["delivery.md:5"]
