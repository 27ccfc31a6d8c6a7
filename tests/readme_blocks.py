"""The fenced blocks of a README with the HTML comment above each, which says how a test runs it."""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^<!-- (?P<kind>\w+): (?P<name>[^ ]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M
)


@dataclass(frozen=True)
class Block:
    """One fenced block. `kind` is `test` (name: which test runs it) or `file` (name: where it is written)."""

    line: int
    kind: str | None
    name: str | None
    language: str
    text: str


def blocks(path: Path) -> list[Block]:
    """Every fenced block in order."""
    whole = path.read_text("utf-8")
    return [
        Block(whole.count("\n", 0, m.start()) + 1, m["kind"], m["name"], m["language"], m["text"])
        for m in _BLOCK.finditer(whole)
    ]


def tree(path: Path) -> list[str]:
    """Paths that the file tree names, folders left out: the block that begins with `sdk/`."""
    (found,) = [block for block in blocks(path) if block.language == "text" and block.text.startswith("sdk/")]
    paths, parents = [], []
    for line in found.text.splitlines():
        name = line.strip().split("  ")[0]
        parents[(len(line) - len(line.lstrip())) // 2 :] = [name]
        if not name.endswith("/"):
            paths.append("".join(parents))
    return paths
