"""The hub's own cache, laid out as huggingface_hub lays it out, is read without a network."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PRINT = "from metier.bases import resolve; b = resolve(sys.argv[1], revision=sys.argv[2] or None, sources=()); "
SHOW = "print(b.card.id, b.card.revision, b.card.licence, b.path, sep='|')"


def lay_out(hub: Path, repo: str, commit: str, writer: Callable[..., Path]) -> None:
    """blobs/, refs/main and snapshots/<commit>/ of links: huggingface_hub's cache."""
    root = hub / f"models--{repo.replace('/', '--')}"
    plain = writer(root / "plain")
    (root / "blobs").mkdir()
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for path in plain.iterdir():
        blob = root / "blobs" / f"{abs(hash(path.name)):040x}"
        path.rename(blob)
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    plain.rmdir()


def run(home: Path, hub: Path, name: str, revision: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "METIER_HOME": str(home), "HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"}
    code = f"import sys; {PRINT}{SHOW}"
    return subprocess.run(
        [sys.executable, "-c", code, name, revision], capture_output=True, text=True, env=env, check=False
    )


def test_a_hub_id_comes_out_of_the_hubs_cache_with_its_commit(tmp_path, home, base_writer):
    hub = tmp_path / "hub"
    lay_out(hub, "acme/tiny", COMMIT, base_writer)
    done = run(home, hub, "acme/tiny")
    assert done.returncode == 0, done.stderr
    name, revision, licence, path = done.stdout.strip().split("|")
    assert (name, revision, licence) == ("acme/tiny", COMMIT, "Apache-2.0")
    folder = Path(path)
    assert folder == home / "bases" / "acme--tiny" / COMMIT
    assert not any(file.is_symlink() for file in folder.iterdir())
    blob = (hub / "models--acme--tiny" / "snapshots" / COMMIT / "model.safetensors").resolve()
    assert (folder / "model.safetensors").stat().st_ino == blob.stat().st_ino, "weights must not be on disk twice"


def test_the_short_name_takes_the_pinned_commit_and_not_main(tmp_path, home, base_writer):
    from metier.bases.catalogue import CATALOGUE

    entry = CATALOGUE["smollm2-135m"]
    hub = tmp_path / "hub"
    lay_out(hub, entry.hub, entry.hub_revision, base_writer)
    (hub / f"models--{entry.hub.replace('/', '--')}" / "refs" / "main").write_text(COMMIT)
    done = run(home, hub, "smollm2-135m")
    assert done.stdout.split("|")[:2] == ["smollm2-135m", entry.hub_revision], done.stderr


@pytest.mark.parametrize("revision", ["", COMMIT])
def test_an_id_that_is_not_in_the_hubs_cache_is_refused_offline(tmp_path, home, revision):
    done = run(home, tmp_path / "hub", "acme/unknown", revision)
    assert done.returncode == 1
    assert "offline mode is on" in done.stderr and "acme/unknown" in done.stderr
    assert not (home / "bases" / "acme--unknown").exists()
