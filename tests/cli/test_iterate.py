"""`metier feedback` and `metier iterate`: the loop from the command line, on a tiny base."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metier.contracts import Answer, FeedbackEvent, Provenance, Sample, errors
from metier.feedback import FeedbackStore
from metier.iterate import Registry

Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def feedback(tmp_path: Path) -> Path:
    with FeedbackStore(tmp_path / "feedback.db") as store:
        for number, name in enumerate(("Mug", "Lamp", "Desk")):
            facts = {"facts": f"name[{name}], price[{number}]"}
            answer = Answer(task="adcopy.describe", input=facts, output={"text": "Buy."}, user=name, consent=True)
            edit = FeedbackEvent(
                answer=answer.id, kind="edited", edited_to={"text": f"The {name} costs {number}."}, user=name
            )
            store.add(answer, edit)
    return store.path


def test_feedback_is_counted_collected_exported_imported_and_erased(
    metier: Runner, feedback: Path, tmp_path: Path
) -> None:
    assert json.loads(metier("feedback", "show", feedback, "--json").stdout) == {"answers": 3, "edited": 3}
    (tmp_path / "apart.jsonl").write_text('{"input": {"facts": "name[mug], price[0]"}, "output": {"text": "x"}}\n')
    collected = metier(
        "feedback", "collect", feedback, "adcopy.describe", "--out", "H", "--held-out", "apart.jsonl", "--json"
    )
    assert collected.returncode == 0, collected.stderr
    assert json.loads(collected.stdout) == {
        "samples": 2, "preferences": 2, "judged": 2, "left out: held_out": 1, "until": 3, "scrubbed": 0
    }  # fmt: skip
    assert (tmp_path / "H/preferences.jsonl").read_text().count("\n") == 2
    for form in ("jsonl", "label-studio"):
        out = metier("feedback", "export", feedback, f"{form}.json", "--to", form)
        assert out.returncode == 0 and "3 answers" in out.stdout, out.stderr
        back = metier("feedback", "import", f"{form}.db", f"{form}.json", "--from", form)
        assert back.returncode == 0, back.stderr
        assert json.loads(metier("feedback", "show", f"{form}.db", "--json").stdout) == {"answers": 3, "edited": 3}
    assert "1 answers and 1 events" in metier("feedback", "erase", feedback, "--user", "Mug").stdout
    assert json.loads(metier("feedback", "sweep", feedback, "--json").stdout) == {"answers": 0, "events": 0}


def test_erased_feedback_leaves_a_registry_and_its_versions_are_named(
    metier: Runner, tiny_player, tmp_path: Path
) -> None:
    registry, task = Registry.create(tmp_path / "REG", tiny_player), tiny_player.card.tasks[0].name
    with FeedbackStore(tmp_path / "f.db") as store:
        for number, user in enumerate(("ann", "bob"), 1):
            until = datetime(2020, 1, 1, tzinfo=UTC) if user == "bob" else None
            answer = Answer(task=task, input={}, output={}, user=user, keep_until=until)
            store.add(answer, FeedbackEvent(answer=answer.id, kind="accepted"))
            place = Provenance(source="feedback", line=number)
            registry.add(tiny_player, [Sample(task=task, input={}, output={}, provenance=place)], parent="v0001")
    assert metier("feedback", "erase", "f.db", "--user", "ann", "--registry", "RGE").returncode == 2
    erased = metier("feedback", "erase", "f.db", "--user", "ann", "--registry", "REG")
    assert erased.returncode == 0, erased.stderr
    for text in ("1 answers and 1 events", "1 samples were deleted", "weights of v0002", "none of them is in use"):
        assert text in erased.stdout
    registry.promote("v0003")
    swept = metier("feedback", "sweep", "f.db", "--registry", "REG")
    assert "weights of v0002, v0003" in swept.stdout and "metier iterate promote REG v0001" in swept.stdout
    assert json.loads(metier("feedback", "sweep", "f.db", "--registry", "REG", "--json").stdout) == {
        "answers": 0, "events": 0, "samples": 0, "trained_versions": ["v0002", "v0003"]
    }  # fmt: skip
    assert (
        "v0003 or its ancestors were trained on feedback that was erased since"
        in metier("iterate", "status", "REG").stdout
    )
    status = json.loads(metier("iterate", "status", "REG", "--json").stdout)
    assert status["trained_on_erased"] == {"v0002": [1], "v0003": [2]}


def test_a_registry_is_created_changed_and_shown(metier: Runner, feedback: Path, tiny_player) -> None:
    created = metier("iterate", "start", "REG", "--from", tiny_player.path)
    assert created.returncode == 0 and "champion v0001" in created.stdout, created.stderr
    assert json.loads(metier("iterate", "status", "REG", "--json").stdout)["state"]["champions"] == ["v0001"]
    for line, code, message in (
        ("iterate rollback REG", 2, "no earlier champion"),
        ("iterate promote REG v0007", 2, "use one of: v0001"),
        ("iterate run REG --store f.db --bundle B --gate max_metric_dro=1", 2, "did you mean max_metric_drop?"),
        ("iterate run REG --store feedback.db --bundle B", errors.BundleError.exit_code, "bundle.json"),
        ("iterate run REG --store f.db --bundle B", 2, "no feedback store"),
        ("iterate plan REG --store f.db --sizes 2,3,4", 2, "no feedback store"),
        ("iterate run REG --store f.db --bundle B --gate max_slowdown=-1", 2, "--gate max_slowdown=-1: "),
        ("iterate run REG --store f.db --bundle B --gate max_metric_drop=nan", 2, "--gate max_metric_drop=nan: "),
        ("iterate run REG --store f.db --bundle B --epochs 0", 2, "--epochs"),
        ("iterate run REG --store f.db --bundle B --epochs nan", 2, "--epochs"),
        ("iterate run REG --store f.db --bundle B --layers bottom:3", 2, "--layers bottom:3: "),
        ("iterate run REG --store f.db --bundle B --replay inf", 2, "--replay inf: "),
        ("iterate plan REG --store f.db --sizes 30,x,120", 2, "--sizes: 'x' is not a number of samples"),
        ("iterate plan REG --store f.db --sizes 30,0,120", 2, "--sizes: '0' is not a number of samples"),
        ("iterate reject REG --store feedback.db --from 2001-01-01", 2, "no feedback from 2001-01-01 to 2001-01-01"),
        ("iterate reinstate REG", 2, "no feedback is rejected"),
        ("iterate status B", 2, "not a registry"),
        ("feedback show nowhere.db", 2, "no feedback store"),
    ):
        done = metier(*line.split())
        assert (done.returncode, done.stdout) == (code, "") and message in done.stderr, done.stderr


def test_documents_for_a_bundle_without_a_task_that_takes_passages_raise(
    metier: Runner, tiny_slotted: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_slotted, tmp_path / "B")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/delivery.md").write_text("# Delivery\n\nExpress costs 6.95 pounds.\n")
    done = metier("iterate", "documents", "B", "docs")
    assert done.returncode == errors.UsageError.exit_code and "no task takes passages" in done.stderr
    assert not (tmp_path / "B/search").exists()
