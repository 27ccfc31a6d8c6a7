"""The examples that embed a bundle with four adapters: in a slim process, and through onnxruntime-genai."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metier.export.bundle_edit import remove_adapter
from metier.runtime import Engine

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAVY = ("torch", "transformers", "peft", "onnx", "onnx_ir", "onnxruntime_genai", "datasets", "pandas")


@pytest.fixture(scope="module")
def four(tiny_slotted, tmp_path_factory):
    bundle = Path(shutil.copytree(tiny_slotted, tmp_path_factory.mktemp("four") / "bundle"))
    for name in ("rank1", "some", "last"):
        remove_adapter(bundle, name)
    return bundle


def expected_of(bundle):
    with Engine(bundle) as engine:
        names = ["base", *engine.adapters.names()]
        return {name: engine.run("tiny.copy", {"facts": "a lamp"}, adapter=name)["text"] for name in names}


def answers(text, names):
    """`name: reply` blocks; a reply may hold line breaks."""
    found, current = {}, None
    for line in text.split("\n"):
        name, colon, rest = line.partition(": ")
        if colon and name in names:
            current, found[name] = name, rest
        elif current:
            found[current] += "\n" + line
    return {name: reply.strip() for name, reply in found.items()}


def test_a_process_where_nothing_heavy_can_be_imported_serves_four_adapters(four):
    code = (
        "import sys, runpy\n"
        "class Slim:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {HEAVY!r}: raise ImportError(name + ' is not in a slim process')\n"
        "sys.meta_path.insert(0, Slim())\n"
        f"sys.argv = ['x', {str(four)!r}, 'a lamp']\n"
        f"runpy.run_path({str(EXAMPLES / 'embed_python.py')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = expected_of(four)
    del expected["base"]
    assert len(expected) == 4
    assert answers(done.stdout, expected) == {name: reply.strip() for name, reply in expected.items()}


def test_the_genai_example_generates_the_same_text_with_base_and_adapters(four):
    pytest.importorskip("onnxruntime_genai")
    command = [sys.executable, str(EXAMPLES / "embed_genai.py"), str(four), "tiny.copy", "a lamp"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = expected_of(four)
    assert answers(done.stdout, expected) == {name: reply.strip() for name, reply in expected.items()}
