"""Full disks and full memory as errors that say what to do, instead of a library's traceback."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metier.contracts import ResourceError

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
_FULL_DISK_WORDS = ("no space left on device", f"os error {errno.ENOSPC})", "disk quota exceeded")


@contextmanager
def clear_errors(out: Path) -> Iterator[None]:
    """Raise exhaustion inside the block as a `ResourceError` with a remedy; other errors pass unchanged."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if is_full_disk(error):
            raise _full_disk(out) from error
        if is_full_memory(error):
            raise ResourceError(
                f"memory ran out while training: {_first_line(error)}",
                where=str(out),
                remedy="lower batch_size, max_length or lora.rank in the recipe, or end other programs; the same"
                " command then continues from the last checkpoint if the recipe is unchanged",
            ) from error
        raise
    except Exception as error:
        if is_full_disk(error):  # safetensors wraps the system's error in its own type
            raise _full_disk(out) from error
        raise


def is_full_disk(error: BaseException) -> bool:
    """Whether the disk or the user's share of it is full."""
    words = str(error).lower()
    return getattr(error, "errno", None) in _FULL_DISK or any(phrase in words for phrase in _FULL_DISK_WORDS)


def is_full_memory(error: BaseException) -> bool:
    """Whether memory, the device's or the machine's, ran out. torch.OutOfMemoryError is a RuntimeError."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in words for phrase in _MEMORY_WORDS)


def _full_disk(out: Path) -> ResourceError:
    return ResourceError(
        "the disk is full",
        where=str(out),
        remedy="free some space and run the same command again: it continues from the last checkpoint",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
