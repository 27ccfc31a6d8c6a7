"""The house stays light and in order: what an import loads, and what lies at the top level."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "onnx", "onnxruntime_genai", "matplotlib", "pandas")
FOLDERS = {"sdk", "plugins", "tests", "examples"}
BY_TOOLS = {"build", "dist", "runs", "site", "quickstart"}
"""Folders that a build or a run leaves behind; none of them is tracked."""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = f"import sys; print([m for m in {HEAVY} if m in sys.modules])"


@pytest.mark.parametrize(
    "code",
    [
        "import metier",
        "import metier.contracts, metier.contracts.fit",
        "import metier.plugins; metier.plugins.load_plugins()",
        "import metier.runtime; metier.runtime.Engine",
        "import metier.cli",
        "import metier.testing",
    ],
)
def test_the_slim_rooms_load_nothing_of_the_training_stack(code: str) -> None:
    assert run(f"{code}\n{LOADED}").strip() == "[]"


def test_the_command_line_s_help_loads_nothing_of_the_training_stack() -> None:
    code = f"""
import sys
from metier.cli import main
sys.argv = ["metier", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
{LOADED}
"""
    out = run(code)
    assert "adapt" in out and out.strip().splitlines()[-1] == "[]"


CONTRACTS_LOAD = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
"""Pydantic and its dependencies: the only third-party packages that the contracts may load."""
SLOW = {"asyncio", "ctypes", "http", "logging", "multiprocessing", "sqlite3", "ssl", "subprocess", "unittest"}
"""Of the standard library, what takes milliseconds, and a contract has no use for."""


def loaded(code: str) -> dict[str, set[str]]:
    """The modules that `code` loads into a bare interpreter, by the package that they are of."""
    listed = run(f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))")
    found: dict[str, set[str]] = {}
    for module in listed.split():
        found.setdefault(module.partition(".")[0], set()).add(module)
    return found


def of_others(found: dict[str, set[str]]) -> set[str]:
    """Packages that are neither Metier's nor the standard library's; Python's own settings are a module, too."""
    own = {"metier", *sys.stdlib_module_names}
    return {package for package in found if package not in own and not package.startswith("_sysconfigdata")}


def test_importing_metier_loads_two_small_modules_and_no_third_party_one() -> None:
    found = loaded("import metier")
    assert found["metier"] == {"metier", "metier._lazy"} and not of_others(found) and not SLOW & found.keys()


def test_the_first_name_that_is_used_loads_the_contracts_and_pydantic_alone() -> None:
    found = loaded("import metier; metier.Vertical")
    assert of_others(found) <= CONTRACTS_LOAD
    rooms = {module.split(".")[1] for module in found["metier"] if "." in module}
    assert rooms == {"_install", "_lazy", "contracts"} and len(found["metier"]) <= 40, (
        "a room more, or half as much again, is a decision"
    )
    by_pydantic = loaded("from pydantic import BaseModel, TypeAdapter, dataclasses").keys()
    assert not SLOW & (found.keys() - by_pydantic)


def test_every_name_that_metier_promises_is_there() -> None:
    assert run("import metier\nfor name in metier.__all__: getattr(metier, name)\nprint(len(metier.__all__))").strip()


def test_the_top_level_folders_are_the_four_of_the_house() -> None:
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert found - BY_TOOLS == FOLDERS


def test_no_module_of_the_sdk_outgrows_500_lines_or_lacks_its_opening_sentence() -> None:
    for path in sorted((ROOT / "sdk" / "metier").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 500, path
        assert text.startswith(('"""', 'r"""', "#")), f"{path} does not say why it exists"
        assert path.stem not in {"utils", "helpers", "common"}, path


def test_a_room_is_one_folder_deep() -> None:
    sdk = ROOT / "sdk" / "metier"
    modules = (path.relative_to(sdk) for path in sdk.rglob("*.py") if sdk / "plugins/template" not in path.parents)
    assert {len(path.parts) for path in modules} <= {1, 2}


def test_the_slim_installation_stays_within_45_distributions() -> None:
    """Counted from metadata: Metier with its extra `cpu`, and what those require on this machine."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [("metier", "cpu")]
    while waiting:
        name, extra = waiting.pop()
        try:
            lines = requires(name) or []
        except PackageNotFoundError:  # the other runtime, which is not installed beside this one
            lines = []
        found.add(name)
        for requirement in map(Requirement, lines):
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ("", extra)):
                one = requirement.name.lower().replace("_", "-")
                if one not in found:
                    waiting += [(one, extra) for extra in (requirement.extras or {""})]
    assert "torch" not in found and "pyarrow" not in found
    assert len(found) <= 45, sorted(found)
