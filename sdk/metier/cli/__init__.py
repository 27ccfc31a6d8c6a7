"""`metier`: one file per command; a command parses, calls the rooms below, prints. It decides nothing itself."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> None:
    """The console script. Exits with 0, or with the code that `metier --help` lists for what went wrong."""
    import warnings

    from metier.cli.app import app

    # What libraries say to the programmers who call them is not for who types a command.
    warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|onnx\w*)\b")
    app(args=list(sys.argv[1:] if args is None else args), prog_name="metier")
