"""The fenced blocks of a page with the HTML comment above each that names its test; and how one runs."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent

_BLOCK = re.compile(
    r"(?:^<!-- (?P<kind>\w+): (?P<name>[^ ]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M
)


@dataclass(frozen=True)
class Block:
    """One fenced block. `kind` is `test` (name: which test runs it), `file` (name: where it is written) or `shows`
    (name: the file that it is a copy of)."""

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


def code(path: Path) -> list[tuple[str | None, str | None, str]]:
    """What must be the same in every language of a page."""
    return [(b.kind, b.name, b.text) for b in blocks(path) if b.language != "text"]


def run(block: Block, folder: Path, **environment: str) -> str:
    """What a block prints, run from `folder`; it must succeed."""
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [str(BIN / "python"), "-c"]}[block.language]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200", **environment}
    done = subprocess.run(
        [*command, block.text], cwd=folder, env=env, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, f"line {block.line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def small(base: Path) -> dict[str, str]:
    """The commands' own environment variables, set so that seconds are enough. int4 is for models that are sure of
    their words: rounding the random ones of a tiny base rightly fails the proof of parity."""
    settings = "epochs=0.2 max_length=1024 evaluations=1"
    return {"METIER_BASE": str(base), "METIER_SET": settings, "METIER_LIMIT": "4", "METIER_PRECISION": "fp32"}


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
