"""What a user sees when a command fails: one message on stderr, a code a script can tell apart, no traceback."""

import errno
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer

from metier._install import install_command
from metier.contracts import MetierError, errors
from metier.terminal.error_output import EXIT_CODES, failures

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MetierError)]


def _code(error: BaseException, *, debug: bool = False) -> int:
    with pytest.raises(typer.Exit) as caught, failures(debug=debug):
        raise error
    return caught.value.exit_code


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_metier_exits_with_its_own_code_and_prints_message_and_remedy(
    kind: type[MetierError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _code(kind("the row is short", where="a.csv:3", remedy="add a field")) == kind.exit_code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: a.csv:3: the row is short\n  → add a field\n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_exit_code_is_documented_in_the_help(kind: type[MetierError]) -> None:
    assert f" {kind.exit_code} " in EXIT_CODES
    assert [other for other in KINDS if other.exit_code == kind.exit_code] == [kind]


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 8, "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), 8, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/run"), 1, "Permission denied: /x/run"),
        (ZeroDivisionError("division by zero"), 1, "unexpected ZeroDivisionError: division by zero"),
        (ModuleNotFoundError("No module named 'peft'", name="peft"), 2, install_command("train")),
    ],
)
def test_an_exception_of_python_gets_an_exit_code_and_a_message(
    raised: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _code(raised) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_debug_prints_the_traceback_and_keeps_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code(errors.DataError("bad"), debug=True) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_ends_the_command_without_a_message() -> None:
    script = "from metier.cli import main; main(['--help'] )"
    done = subprocess.run(
        f'{sys.executable} -c "{script}" | head -c 1', shell=True, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


Runner = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("line", [("--debug", "bases", "show", "nobody"), ("bases", "show", "nobody", "--debug")])
def test_debug_may_stand_before_or_after_the_command(line: tuple[str, ...], metier: Runner) -> None:
    done = metier(*line)
    assert done.returncode == errors.BaseError.exit_code
    assert "Traceback" in done.stderr


def test_without_debug_there_is_no_traceback_and_stdout_stays_empty(metier: Runner) -> None:
    done = metier("bases", "show", "nobody", "--json")
    assert done.returncode == errors.BaseError.exit_code
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


READS = """
import signal, sys
# A shell that puts a job into the background makes it deaf to Ctrl-C; a terminal does not.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Stdin:
    def read(self):
        print("reads", flush=True)
        return given.read()

given, sys.stdin = sys.stdin.buffer, Stdin()
sys.stdin.buffer = sys.stdin
from metier.cli import main
main()
"""
"""The command, which says so when it has come to its input, and waits there."""


def test_ctrl_c_ends_with_130_and_one_line() -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-c", READS, "run", "b", "--input", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "reads\n"
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert err == "error: interrupted; no output was left half-written\n"


@pytest.mark.parametrize(("module", "extra"), [("torch", "train"), ("openpyxl", "data"), ("bm25s", "search")])
def test_a_module_that_is_missing_is_named_with_its_extra(module: str, extra: str, capsys) -> None:
    assert _code(ModuleNotFoundError(f"No module named {module!r}", name=module)) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert f"{module} is not installed" in printed and f"needs the extra {extra}" in printed
