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


def tree_block(path: Path, first: str) -> Block:
    """The README's one file tree: the block whose first line begins with `first`."""
    (found,) = [block for block in blocks(path) if block.language == "text" and block.text.startswith(first)]
    return found


def tree(path: Path, first: str) -> list[str]:
    """Paths that the file tree names: its files, and with a slash at the end each folder it does not go into."""
    depths, paths, parents = [], [], []
    for line in tree_block(path, first).text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [line.strip().split("  ")[0]]
        depths.append(depth)
        paths.append("".join(parents))
    deeper = [*depths[1:], 0]
    return [path for path, depth, next_ in zip(paths, depths, deeper, strict=True) if next_ <= depth]
