"""One broken plugin is a row with a reason: it leaves nothing behind and breaks no other."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent, indent

import pytest

from metier.contracts import PluginError, UsageError
from metier.plugins import PluginRow, Registry, load_plugins
from metier.plugins.registry import ALLOW, DENY

GOOD = """
from pydantic import BaseModel
from metier import Bridge, Modality, TaskContract, Vertical, hookimpl, prompt
from metier.plugins import Command, Metric

class Text(BaseModel):
    text: str

def vertical(name, **fields):
    prompts = {"en": prompt("{{ text }}")}
    task = TaskContract(name=f"{name}.write", kind="generate", input=Text, output=Text, prompts=prompts)
    return Vertical(name=name, tasks=(task,), **fields)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a plugin as a distribution of its own: a module beside a .dist-info with an entry point."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv(ALLOW, raising=False)
    monkeypatch.delenv(DENY, raising=False)
    modules: list[str] = []

    def install(name: str, source: str, *, version: str = "1.0", entry: str | None = None) -> None:
        module = f"metier_test_{name}"
        modules.append(module)
        (site / f"{module}.py").write_text(GOOD + dedent(source), encoding="utf-8")
        info = site / f"metier_{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: metier-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[metier]\n{entry or name} = {module}\n")

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def found(tmp_path: Path) -> list[EntryPoint]:
    """Entry points of the test's own distributions, so that what else is installed plays no part."""
    site = str(tmp_path / "site")
    return [p for dist in distributions(path=[site]) for p in dist.entry_points if p.group == "metier"]


def loaded(tmp_path: Path, **options: bool) -> tuple[Registry, dict[str, PluginRow]]:
    registry = load_plugins(found=found(tmp_path), **options)
    return registry, {row.name: row for row in registry.plugins}


def hook(body: str, name: str = "metier_verticals") -> str:
    return f"@hookimpl\ndef {name}():\n{indent(dedent(body).strip(), '    ')}\n"


FLORIST = hook('return [vertical("florist")]')

BROKEN = {
    "raises_on_import": ("raise RuntimeError('no licence server')", "no licence server"),
    "exits_on_import": ("raise SystemExit(3)", "SystemExit: 3"),
    "needs_a_missing_module": ("import no_such_library", "the module no_such_library is not installed"),
    "does_not_parse": ("def (", "SyntaxError"),
    "has_no_hook": ("", "implements no hook"),
    "misspells_a_hook": (hook("return []", "metier_vertical"), "did you mean metier_verticals?"),
    "takes_arguments": (
        "@hookimpl\ndef metier_verticals(sdk):\n    return []",
        "sdk",
    ),
    "raises_in_its_hook": (hook("raise KeyError('brief')"), "metier_verticals failed: KeyError: 'brief'"),
    "exits_in_its_hook": (hook("import sys\nsys.exit('bye')"), "SystemExit: bye"),
    "returns_no_list": (hook('return vertical("x")'), "return a list of Vertical"),
    "returns_an_endless_generator": (hook('while True:\n    yield vertical("x")'), "type generator"),
    "returns_strings": (hook('return ["florist"]'), "a list with a value of type str"),
    "returns_a_class": (hook("return [Vertical]"), "the class Vertical"),
    "returns_metrics_as_verticals": (hook('return [Metric("m", len)]'), "value of type Metric"),
    "names_a_vertical_badly": (hook('return [vertical("Florist!")]'), "TaskContract is not valid"),
    "names_a_metric_badly": (hook('return [Metric("My Metric", len)]', "metier_metrics"), "'My Metric'"),
    "hands_over_twins": (hook('return [vertical("twin"), vertical("twin")]'), "two of Vertical named twin"),
    "takes_a_core_command": (hook('return [Command("export", lambda: None)]', "metier_commands"), "Metier's own"),
    "wants_another_sdk": (hook('return [vertical("future", sdk=">=99")]'), "needs Metier >=99"),
    "misspells_its_sdk": (hook('return [vertical("odd", sdk="new")]'), "PEP 440"),
    "offers_good_and_bad": (
        hook('return [vertical("half")]') + hook("return [1]", "metier_metrics"),
        "metier_metrics returned a list with a value of type int",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_a_named_row_with_its_reason_and_breaks_no_other(
    install: Install, tmp_path: Path, fault: str
) -> None:
    source, reason = BROKEN[fault]
    install("aaa", FLORIST)
    install(fault, source, version="2.3")
    install("zzz", hook('return [vertical("butcher")]'))
    registry, rows = loaded(tmp_path)
    row = rows[fault]
    assert row.status == "broken" and reason in row.reason, row.reason
    assert (row.distribution, row.version) == (f"metier-{fault}", "2.3")
    assert not row.verticals and not row.metrics
    assert rows["aaa"].status == rows["zzz"].status == "ok"
    assert list(registry.verticals) == ["florist", "butcher"]
    assert not registry.metrics and not registry.commands and not registry.bridges and not registry.base_sources


@pytest.mark.parametrize("fault", BROKEN)
def test_in_strict_mode_a_broken_plugin_raises_with_its_name_and_what_to_do(
    install: Install, tmp_path: Path, fault: str
) -> None:
    source, reason = BROKEN[fault]
    install(fault, source)
    with pytest.raises(PluginError) as caught:
        loaded(tmp_path, strict=True)
    assert f"plugin {fault} (metier-{fault} 1.0)" in str(caught.value)
    assert caught.value.remedy and reason in str(caught.value).replace("\n  → ", "; ")


def test_a_name_clash_makes_the_later_plugin_broken(install: Install, tmp_path: Path) -> None:
    install("aaa", FLORIST)
    install(
        "bbb",
        hook('return [vertical("baker"), vertical("florist")]') + hook('return [Metric("m", len)]', "metier_metrics"),
    )
    registry, rows = loaded(tmp_path)
    assert rows["aaa"].status == "ok"
    assert rows["bbb"].status == "broken"
    assert "vertical florist clashes" in rows["bbb"].reason and "plugin aaa" in rows["bbb"].reason
    assert list(registry.verticals) == ["florist"] and not registry.metrics


@pytest.mark.parametrize(
    ("of", "item"),
    [
        ("metier_metrics", 'Metric("m", len)'),
        ("metier_bridges", 'Bridge(name="m", source="image", target="text")'),
        ("metier_commands", 'Command("m", lambda: None)'),
    ],
)
def test_metrics_bridges_and_commands_clash_by_name_too(install: Install, tmp_path: Path, of: str, item: str) -> None:
    install("aaa", hook(f"return [{item}]", of))
    install("bbb", hook(f"return [{item}]", of))
    _, rows = loaded(tmp_path)
    assert rows["aaa"].status == "ok" and "clashes" in rows["bbb"].reason


def test_two_distributions_with_one_plugin_name_are_both_listed(install: Install, tmp_path: Path) -> None:
    install("one", FLORIST, entry="shop")
    install("two", hook('return [vertical("butcher")]'), entry="shop")
    registry, _ = loaded(tmp_path)
    assert [(r.name, r.distribution, r.status) for r in registry.plugins] == [
        ("shop", "metier-one", "ok"),
        ("shop", "metier-two", "broken"),
    ]
    assert list(registry.verticals) == ["florist"]


def test_a_denied_plugin_is_never_imported(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("aaa", FLORIST)
    install("bbb", "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n" + FLORIST)
    monkeypatch.setenv(DENY, "x, bbb")
    _, rows = loaded(tmp_path)
    assert rows["bbb"].status == "denied" and DENY in rows["bbb"].reason
    assert rows["aaa"].status == "ok" and not list(tmp_path.rglob("*.ran"))


def test_an_allow_list_denies_all_others(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("aaa", FLORIST)
    install("bbb", "raise RuntimeError")
    monkeypatch.setenv(ALLOW, "aaa")
    _, rows = loaded(tmp_path, strict=True)
    assert rows["aaa"].status == "ok" and rows["bbb"].status == "denied"


def test_deny_wins_over_allow(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("aaa", FLORIST)
    monkeypatch.setenv(ALLOW, "aaa")
    monkeypatch.setenv(DENY, "aaa")
    assert loaded(tmp_path)[1]["aaa"].status == "denied"


def test_all_five_hooks_are_gathered(install: Install, tmp_path: Path) -> None:
    source = """
    class Store:
        name = "store"
        def cards(self):
            return []
        def fetch(self, base, folder, *, revision=None):
            return None
    """
    install(
        "all",
        dedent(source)
        + FLORIST
        + hook("return [Store()]", "metier_base_sources")
        + hook('return [Bridge(name="captions", source="image", target="text")]', "metier_bridges")
        + hook('return [Metric("words", len)]', "metier_metrics")
        + hook('return [Command("bouquet", lambda: None, help="Bind one.")]', "metier_commands"),
    )
    registry, rows = loaded(tmp_path, strict=True)
    row = json.loads(rows["all"].model_dump_json())
    assert row["verticals"] == ["florist"] and row["base_sources"] == ["store"] and row["bridges"] == ["captions"]
    assert row["tasks"] == ["florist.write"]
    assert row["metrics"] == ["words"] and row["commands"] == ["bouquet"]
    assert registry.task("florist.write")[1].name == "florist.write"
    assert registry.metric("words").name == "words" and registry.bridge("captions").name == "captions"


def test_an_unknown_name_is_met_with_the_nearest_and_the_list(install: Install, tmp_path: Path) -> None:
    install("aaa", FLORIST)
    install("bad", "raise RuntimeError")
    registry, _ = loaded(tmp_path)
    with pytest.raises(UsageError) as caught:
        registry.task("florist.rite")
    assert "did you mean florist.write?" in str(caught.value) and "there are: florist.write" in str(caught.value)
    assert "not loaded: bad (broken)" in str(caught.value)
    with pytest.raises(UsageError, match="did you mean florist"):
        registry.vertical("florists")
    with pytest.raises(UsageError, match="no installed plugin brings a bridge"):
        registry.bridge("captions")


def test_a_vertical_can_be_added_by_hand_and_a_broken_object_leaves_nothing(install: Install, tmp_path: Path) -> None:
    install("aaa", FLORIST)
    source, _ = loaded(tmp_path)
    registry = Registry()
    assert registry.add(source.verticals["florist"]).status == "ok"
    with pytest.raises(PluginError, match="clashes"):
        registry.add(source.verticals["florist"], "again")
    with pytest.raises(PluginError, match="implements no hook"):
        registry.add(object())
    with pytest.raises(PluginError, match="is the class"):
        registry.add(Registry)
    assert registry.add(object(), "odd", strict=False).status == "broken"
    assert list(registry.verticals) == ["florist"]


def test_an_installed_plugin_is_found_through_the_interpreter_s_own_metadata(install: Install) -> None:
    install("found", FLORIST)
    assert {"found"} <= {row.name for row in load_plugins().plugins if row.status == "ok"}


def test_an_empty_list_of_allowed_plugins_allows_none(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("aaa", "raise AssertionError('imported')")
    monkeypatch.setenv(ALLOW, "")
    (row,) = [row for row in load_plugins().plugins if row.name == "aaa"]
    assert row.status == "denied" and ALLOW in row.reason


def test_a_plugin_that_raises_no_ordinary_error_at_import_is_a_row(install: Install) -> None:
    install("aaa", "class Odd(BaseException): pass\nraise Odd('no')")
    (row,) = [row for row in load_plugins().plugins if row.name == "aaa"]
    assert row.status == "broken" and "no" in row.reason
