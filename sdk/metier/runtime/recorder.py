"""The protocol of whatever keeps an engine's answers. It knows no store: `metier.feedback` has one."""

from __future__ import annotations

from typing import Protocol

from metier.contracts import Answer, MetierError, PluginError, ResourceError


class Recorder(Protocol):
    """Keeps answers."""

    def record(self, answer: Answer) -> str:
        """Write an answer; returns the id under which it can be found.

        The thread that requested the answer calls this, never the one that decodes, and many threads may call it at
        once. The engine returns an answer only after this has returned: an answer that a user has seen is kept.
        """
        ...


def record(recorder: Recorder | None, answer: Answer) -> Answer:
    """The answer with the recorder's id; the answer itself where there is no recorder.

    Raises:
        ResourceError: the answer cannot be written. PluginError: the recorder failed otherwise.
    """
    if recorder is None:
        return answer
    try:
        id = recorder.record(answer)
    except MetierError:
        raise
    except (OSError, MemoryError) as error:
        raise ResourceError(
            f"the recorder cannot write the answer {answer.id}: {type(error).__name__}: {error}",
            remedy="free disk space or memory, then request the answer again",
        ) from error
    except Exception as error:
        raise PluginError(
            f"the recorder failed on the answer {answer.id}: {type(error).__name__}: {error}",
            remedy="fix the recorder; without one, the engine does not record answers",
        ) from error
    return answer if id == answer.id else answer.model_copy(update={"id": id})
