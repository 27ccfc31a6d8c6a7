"""Errors of a command: one message on stderr, and an exit code for each kind of error."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from metier._install import install_command
from metier.contracts import errors
from metier.terminal.screen import complain

INTERRUPTED = 130
"""128 + SIGINT, as shells count it."""

_TRAINING = (
    "torch transformers peft trl datasets accelerate gguf sacrebleu rouge_score matplotlib psutil onnx onnx_ir"
    " onnxruntime_genai"
)
_EXTRAS = {
    **dict.fromkeys(_TRAINING.split(), "train"),
    **dict.fromkeys(("charset_normalizer", "datasketch", "openpyxl", "pyarrow"), "data"),
    **dict.fromkeys(("bm25s", "markdown_it"), "search"),
}
"""Module that the slim installation leaves out → the extra that brings it."""

_NAMES = {
    errors.MetierError: "any other error",
    errors.UsageError: "usage",
    errors.DataError: "data file",
    errors.ContractError: "value against its contract",
    errors.PluginError: "plugin",
    errors.BaseError: "base model",
    errors.RecipeError: "recipe",
    errors.ResourceError: "memory, disk or time",
    errors.ExportError: "export",
    errors.BundleError: "bundle",
    errors.DeviceError: "device",
    errors.RequestError: "request",
}

EXIT_CODES = "Exit codes: " + ", ".join(
    ["0 done", *(f"{kind.exit_code} {name}" for kind, name in _NAMES.items()), f"{INTERRUPTED} interrupted"]
)


@contextmanager
def failures(*, debug: bool) -> Iterator[None]:
    """Run a command; turn what it raises into a message on stderr and the exit code.

    Args:
        debug: print the traceback before the message.

    Raises:
        typer.Exit: with `MetierError.exit_code`, 8 where memory or disk ran out, 130 on Ctrl-C, else 1.
    """
    try:
        yield
    except errors.MetierError as error:
        raise _fail(str(error), error.exit_code, debug) from error
    except KeyboardInterrupt as stop:
        raise _fail("interrupted; no output was left half-written", INTERRUPTED, debug) from stop
    except BrokenPipeError as error:
        # The reader (head, less) closed the pipe: no message, and no second failure when Python flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from error
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise _fail(f"unexpected {type(error).__name__}: {error}", 1, debug) from error
        message = f"{error.name} is not installed\n  → this command needs the extra {extra}: {install_command(extra)}"
        raise _fail(message, errors.UsageError.exit_code, debug) from error
    except MemoryError as error:
        remedy = "close other programs, or lower batch_size or max_length"
        raise _fail(f"memory ran out\n  → {remedy}", errors.ResourceError.exit_code, debug) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 1, debug) from error
        raise _fail("the disk is full\n  → free some space", errors.ResourceError.exit_code, debug) from error
    except Exception as error:
        if hasattr(error, "exit_code"):  # typer's own: Exit and usage errors, printed by typer
            raise
        summary = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        remedy = "this is a defect of Metier or a plugin: run again with --debug and report what it prints"
        raise _fail(f"unexpected {summary}\n  → {remedy}", 1, debug) from error


def _fail(message: str, code: int, debug: bool) -> typer.Exit:
    if debug:
        traceback.print_exc()
    complain(message)
    return typer.Exit(code)
