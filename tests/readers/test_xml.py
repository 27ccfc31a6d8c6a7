"""XML as a stream: what is finished comes out early, and what could do harm is refused with its line."""

from pathlib import Path
from typing import Any

import pytest

from metier.contracts import DataError
from metier.readers.xml import Collecting, stream


class Names(Collecting[tuple[int, str]]):
    """The line and name of every opened tag."""

    def startElement(self, name: str, attrs: Any) -> None:
        self.done.append((self.line, name))


def names(path: Path) -> list[tuple[int, str]]:
    return list(stream(path, Names(), remedy="fix it"))


def test_tags_come_with_the_line_they_stand_on(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text('<?xml version="1.0" encoding="GB2312"?>\n<甲>\n <乙/>\n</甲>', "gb2312")
    with pytest.raises(DataError, match=r"cannot be parsed|not well-formed"):  # expat knows no multi-byte encodings
        names(file)
    file.write_text("<甲>\n <乙/>\n</甲>", "utf-8")
    assert names(file) == [(1, "甲"), (2, "乙")]


def test_what_is_finished_comes_out_before_a_later_fault(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text("<a>" + "<b/>" * 40_000 + "\n</c>", "utf-8")
    found = stream(file, Names(), remedy="fix it")
    assert next(found) == (1, "a")
    with pytest.raises(DataError, match=r"a\.xml:2.*not well-formed") as caught:
        list(found)
    assert "fix it" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<a>&x;</a>', "document type"),
        ("<a>\n", "not well-formed"),
        ('<?xml version="1.0" encoding="no-such"?><a/>', "parsed|well-formed"),
    ],
)
def test_dtds_and_broken_files_are_refused_with_their_line(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "a.xml"
    file.write_text(text, "utf-8")
    with pytest.raises(DataError, match=fault) as caught:
        names(file)
    assert "a.xml:" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.xml"):
        names(tmp_path / "gone.xml")
