"""Errors name the command that installs what is missing, for a checkout and for a package index."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metier._install import command_for, install_command, package_command


def test_a_checkout_is_installed_from_its_own_folder():
    checkout = Path(__file__).parents[1]
    assert install_command("train") == f"pip install -e '{checkout}[train]'"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'metier[train]'"),
        ({"url": "file:///src/metier", "dir_info": {"editable": True}}, "pip install -e '/src/metier[train]'"),
        ({"url": "file:///my%20src/metier", "dir_info": {}}, "pip install '/my src/metier[train]'"),
        (
            {"url": "https://example.org/metier-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'metier[train] @ https://example.org/metier-1-py3-none-any.whl'",
        ),
        (
            {"url": "https://example.org/metier.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'metier[train] @ git+https://example.org/metier.git@abc'",
        ),
    ],
)
def test_the_command_depends_on_how_metier_was_installed(origin, command):
    assert command_for(origin, ("train",)) == command


def test_no_extra_and_several_extras_are_written_as_pip_reads_them():
    assert command_for(None) == "pip install metier"
    assert command_for(None, ("cpu", "data")) == "pip install 'metier[cpu,data]'"


def test_a_plugin_of_the_checkout_is_installed_from_its_folder_and_any_other_by_name():
    ocr = Path(__file__).parents[1] / "plugins" / "ocr"
    assert package_command("metier-ocr", "metier-caption") == f"pip install -e {ocr} metier-caption"


@pytest.mark.parametrize(
    ("direct_url", "command"),
    [
        (None, "pip install 'metier[train]'"),
        ('{"url": "file:///src/metier", "dir_info": {"editable": false}}', "pip install '/src/metier[train]'"),
        ("not json", "pip install 'metier[train]'"),
    ],
)
def test_an_installed_copy_reads_how_it_was_installed(tmp_path: Path, direct_url, command):
    """site-packages has no pyproject.toml above it; its dist-info folder has direct_url.json (PEP 610)."""
    site = tmp_path / "lib" / "site-packages"
    info = site / "metier-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: metier\nVersion: 9\n")
    if direct_url:
        (info / "direct_url.json").write_text(direct_url)
    (site / "metier").mkdir()
    (site / "metier" / "__init__.py").write_text("")
    source = Path(sys.modules["metier._install"].__file__ or "")
    shutil.copyfile(source, site / "metier" / "_install.py")
    code = "from metier._install import install_command; print(install_command('train'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(site)}
    )
    assert done.stdout.strip() == command
