"""Writes are atomic, whichever process is killed meanwhile."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metier.contracts import ResourceError, UsageError
from metier.disk import (
    PART,
    atomic_file,
    atomic_folder,
    atomic_path,
    exchange,
    folders,
    scratch_folder,
    temporary,
    write_atomic,
)

KIND = ("a box", "box.json")


@pytest.fixture(scope="module")
def gone() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def box(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "box.json").write_text(text)
    return folder


def test_a_file_is_written_with_its_folder_and_replaced_atomically(tmp_path):
    path = tmp_path / "new" / "notes.txt"
    write_atomic(path, "一\n")
    assert path.read_bytes() == "一\n".encode()
    with pytest.raises(ZeroDivisionError), atomic_file(path) as file:
        file.write("half")
        file.flush()
        raise ZeroDivisionError
    assert path.read_bytes() == "一\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["notes.txt"]


def test_a_library_writes_to_a_path_that_then_takes_its_name(tmp_path):
    with atomic_path(tmp_path / "model.bin") as part:
        part.write_bytes(b"\x00\x01")
        assert part.parent == tmp_path and not (tmp_path / "model.bin").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_other_users_may_read_what_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "a", "a")
        with atomic_folder(tmp_path / "b", *KIND) as part:
            box(part / "inner", "new")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "b")] == [0o644, 0o755]


def test_a_folder_replaces_an_older_one_of_its_kind(tmp_path):
    (box(tmp_path / "b", "old") / "more").write_text("old")
    with atomic_folder(tmp_path / "b", *KIND) as part:
        (part / "box.json").write_text("new")
        assert (tmp_path / "b/more").exists()
    assert [f.name for f in (tmp_path / "b").iterdir()] == ["box.json"]
    assert [f.name for f in tmp_path.iterdir()] == ["b"]


def test_a_folder_is_exchanged_where_the_system_cannot_do_it_in_one_step(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_swap", lambda *_: False)
    exchange(box(tmp_path / "new", "new"), box(tmp_path / "b", "old"))
    assert (tmp_path / "b/box.json").read_text() == "new"
    assert [f.name for f in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("known_by", ["box.json", None])
def test_a_folder_of_another_kind_is_never_replaced(tmp_path, known_by):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a box"), atomic_folder(tmp_path / "b", "a box", known_by):
        pass
    assert (tmp_path / "b/thesis.txt").read_text() == "years of work"


def test_a_failure_inside_leaves_the_old_folder_and_nothing_beside_it(tmp_path):
    box(tmp_path / "b", "old")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "b", *KIND) as part:
        (part / "box.json").write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "b/box.json").read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["b"]


def test_a_full_disk_and_a_folder_that_cannot_be_written_have_errors_of_their_own(tmp_path):
    with pytest.raises(ResourceError, match="the disk is full"), atomic_folder(tmp_path / "b", *KIND):
        raise OSError(errno.ENOSPC, "No space left on device")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="a box cannot be written"), atomic_folder(tmp_path / "file/b", *KIND):
        pass
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_left_is_removed_by_the_next_and_that_of_a_living_one_is_not(tmp_path, gone):
    here, living = temporary.machine(), os.getppid()
    box(tmp_path / f"{PART}b-{here}-{gone}-0a1b", "half")
    box(tmp_path / f"{PART}b-{here}-{os.getpid()}-0a1b", "of this process's number, in a container that was killed")
    (tmp_path / f"{PART}f-{here}-{gone}-0a1b").write_text("half")
    others = [f"{PART}b-{here}-{living}-0a1b", f"{PART}b-c-{here}-{gone}-0a1b", f"{PART}b-{here}-{gone}-1-0a1b"]
    for name in others:
        box(tmp_path / name, "another's")
    with atomic_folder(tmp_path / "b", *KIND), atomic_folder(tmp_path / "b", *KIND):  # nor its own, at work
        pass
    write_atomic(tmp_path / "f", "new")
    assert {p.name for p in tmp_path.iterdir()} == {"b", "f", *others}


def test_what_another_machine_left_is_removed_after_a_day_without_changes(tmp_path, gone):
    other = next(name for name in ("0000", "ffff") if name != temporary.machine())
    fresh, stale = (box(tmp_path / f"{PART}b-{other}-{gone}-{word}", "half") for word in ("new", "old"))
    os.utime(stale, (0, 0))
    with atomic_folder(tmp_path / "b", *KIND):
        pass
    assert {p.name for p in tmp_path.iterdir()} == {"b", fresh.name}


def test_a_folder_that_was_moved_away_by_a_killed_process_is_put_back(tmp_path, gone):
    box(tmp_path / f"{PART}b-{temporary.machine()}-{gone}-0a1b-old", "old")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "b", *KIND):
        raise ZeroDivisionError
    assert (tmp_path / "b/box.json").read_text() == "old"


def test_a_folder_is_put_back_at_once_where_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_swap", lambda *_: False)
    box(tmp_path / "b", "old")
    with pytest.raises(ResourceError), atomic_folder(tmp_path / "b", *KIND) as part:
        monkeypatch.setattr(type(part), "rename", refusing(part, type(part).rename))
    assert (tmp_path / "b/box.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def refusing(part: Path, rename):
    def renamed(path: Path, target: Path) -> Path:
        if path == part:
            raise PermissionError("another process reads it")
        return rename(path, target)

    return renamed


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX links and pipes")
def test_links_are_followed_and_what_is_no_file_is_written_to(tmp_path):
    (tmp_path / "file").write_text("old")
    box(tmp_path / "release", "old")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "current").symlink_to("release")
    write_atomic(tmp_path / "link", "new")
    with atomic_folder(tmp_path / "current", *KIND) as part:
        (part / "box.json").write_text("new")
    assert ((tmp_path / "file").read_text(), (tmp_path / "release/box.json").read_text()) == ("new", "new")
    os.mkfifo(tmp_path / "pipe")
    reading = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    write_atomic(tmp_path / "pipe", "sent")
    assert reading.communicate(timeout=30)[0] == b"sent" and (tmp_path / "pipe").is_fifo()
    assert {p.name for p in tmp_path.iterdir()} == {"file", "link", "release", "current", "pipe"}


def test_a_scratch_folder_is_gone_at_the_end_and_cleared_after_a_kill(tmp_path, gone):
    with scratch_folder(tmp_path / "b") as scratch:
        box(scratch / "merged", "intermediate")
    assert not list(tmp_path.iterdir())
    scratch.with_name(scratch.name.replace(str(os.getpid()), str(gone))).mkdir()
    with atomic_folder(tmp_path / "b", *KIND):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
