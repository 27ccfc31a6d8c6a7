"""`metier run`: a file of inputs in, answers out in order; one input streamed; torch nowhere."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.contracts import errors

Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps({"facts": f"name[Mug {n}]"}) + "\n" for n in range(11)))
    return path


def test_answers_come_in_order_one_object_a_line_and_equal_the_engines_own(
    tiny_bundle: Path, facts: Path, metier: Runner, tmp_path: Path
) -> None:
    done = metier("run", tiny_bundle, "--task", "tiny.item", "--input", facts, "--output", "out.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "task": "tiny.item", "answers": 11, "output": "out.jsonl", "device": "cpu"
    }  # fmt: skip
    from metier import Engine

    inputs = [json.loads(line) for line in facts.read_text().splitlines()]
    with Engine(tiny_bundle, device="cpu") as engine:
        expected = [engine.run("tiny.item", value) for value in inputs]
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == expected


def test_one_input_alone_is_printed_as_its_text(tiny_bundle: Path, metier: Runner) -> None:
    options = ("run", tiny_bundle, "--task", "tiny.mood", "--seed", "1")
    typed = metier(*options, "--input-text", "rain")
    assert typed.returncode == 0, typed.stderr
    assert typed.stdout.strip() in {"good", "bad mood", "sad"}
    assert metier(*options, input="rain\n").stdout == typed.stdout
    assert json.loads(metier(*options, "--input-text", '{"facts": "rain"}', "--json").stdout) == {
        "mood": typed.stdout.strip()
    }


def test_stdin_and_stdout_can_stand_for_files(tiny_bundle: Path, facts: Path, metier: Runner) -> None:
    done = metier("run", tiny_bundle, "--task", "tiny.mood", "--input", "-", input=facts.read_text())
    assert done.returncode == 0, done.stderr
    assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [{"mood"}] * 11


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"facts": 3}', "facts.jsonl:12: input does not satisfy tiny.mood"),
        ("{", "facts.jsonl:12: the line is not JSON"),
    ],
)
def test_a_bad_line_is_named_before_the_model_loads(
    line: str, message: str, tiny_bundle: Path, facts: Path, tmp_path: Path
) -> None:
    with facts.open("a") as file:
        file.write(line)
    script = (
        "import sys, contextlib\nfrom metier.cli import main\n"
        f"try: main(['run', {str(tiny_bundle)!r}, '--task', 'tiny.mood', '--input', {str(facts)!r}, '--output', 'o'])\n"
        "except SystemExit as end: print(end.code, 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{errors.DataError.exit_code} False\n"
    assert message in done.stderr
    assert not (tmp_path / "o").exists()


def test_a_bundle_with_several_tasks_needs_a_name_and_suggests_the_nearest(tiny_bundle: Path, metier: Runner) -> None:
    silent = metier("run", tiny_bundle, "--input-text", "rain")
    assert silent.returncode == 2
    assert "tiny.copy, tiny.item, tiny.mood" in silent.stderr
    assert "did you mean tiny.mood?" in metier("run", tiny_bundle, "--task", "tiny.mod", "--input-text", "x").stderr


def test_cuda_where_there_is_none_is_an_error_and_no_output_is_written(
    tiny_bundle: Path, facts: Path, metier: Runner, tmp_path: Path
) -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has CUDA")
    options = ("--task", "tiny.mood", "--input", facts, "--output", "out.jsonl", "--device", "cuda")
    done = metier("run", tiny_bundle, *options)
    assert done.returncode == errors.DeviceError.exit_code
    assert "→" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["facts.jsonl"]


def test_running_a_bundle_loads_neither_torch_nor_transformers(tiny_bundle: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'peft')))\n"
        f"from metier.cli import main; main(['run', {str(tiny_bundle)!r}, '--task', 'tiny.mood', '--input-text', 'x'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"good", "bad mood", "sad"}


def test_a_json_file_holds_one_input_or_an_array_of_them(tiny_bundle: Path, metier: Runner, tmp_path: Path) -> None:
    inputs = [{"facts": "rain"}, {"facts": "雨 🌧"}]
    (tmp_path / "one.json").write_text(json.dumps(inputs[0], indent=2))
    (tmp_path / "many.json").write_text(json.dumps(inputs, indent=2, ensure_ascii=False), "utf-8")
    one, many = (metier("run", tiny_bundle, "--task", "tiny.item", "--input", f"{n}.json") for n in ("one", "many"))
    assert one.returncode == many.returncode == 0, one.stderr + many.stderr
    assert len(one.stdout.splitlines()) == 1
    assert many.stdout.splitlines()[0] == one.stdout.strip() and len(many.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "facts": rain\n}', "in.json:2: the file is not JSON"),
        ('[{"facts": "x"}, 3]', "in.json[2]: the item holds a int, not an object"),
        ('[{"facts": "x"}, {"fact": "y"}]', "in.json[2]: input does not satisfy tiny.item"),
    ],
)
def test_what_is_wrong_in_a_json_file_is_placed(
    text: str, message: str, tiny_bundle: Path, metier: Runner, tmp_path: Path
) -> None:
    (tmp_path / "in.json").write_text(text)
    done = metier("run", tiny_bundle, "--task", "tiny.item", "--input", "in.json")
    assert done.returncode == errors.DataError.exit_code
    assert message in done.stderr


@pytest.fixture(scope="module")
def copywriter(tiny_bundle_of: Callable[..., Path]) -> Path:
    """A tiny random model in a bundle that knows `adcopy.describe`, whose plugin is installed."""
    from metier.contracts import Sample
    from metier.plugins import load_plugins

    contract = load_plugins().task("adcopy.describe")[1].model_copy(update={"max_reply_tokens": 24})
    sample = Sample(task=contract.name, input={"facts": "name[Mug]"}, output={"text": "A mug."})
    return tiny_bundle_of([contract], [sample])


def test_checked_answers_say_what_the_installed_plugin_finds(copywriter: Path, metier: Runner, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"facts": "name[Mug]"}\n{"facts": "name[Lamp], price[9]"}\n')
    done = metier("run", copywriter, "--input", "in.jsonl", "--check", "--retries", "1")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        assert list(row) == ["output", "passed", "findings", "attempts", "adapter", "finish_reason"]
        assert row["attempts"] == 2 and row["passed"] is False  # random letters state no fact
        assert row["findings"]["facts_stated"][0]["message"]
    one = metier("run", copywriter, "--input-text", "name[Mug]", "--check", "--retries", "1")
    assert one.stdout.strip() == rows[0]["output"]["text"].strip()
    assert "the best of 2 attempts: the checks found" in one.stderr and "facts_stated: " in one.stderr


def test_checks_that_no_plugin_brings_are_missed_before_the_model_loads(tiny_bundle: Path, metier: Runner) -> None:
    done = metier("run", tiny_bundle, "--task", "tiny.mood", "--input-text", "x", "--check")
    assert done.returncode == errors.UsageError.exit_code
    assert "no installed plugin has the trade tiny" in done.stderr
    alone = metier("run", tiny_bundle, "--task", "tiny.mood", "--input-text", "x", "--retries", "1")
    assert "--retries needs --check" in alone.stderr
