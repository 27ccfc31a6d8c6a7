"""An engine's answers on their way to its recorder: what was asked and answered, as one thing to keep.

It knows no store, and does nothing where there is no recorder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metier.contracts import ContractError, Finding, RequestError, Value
from metier.decoding.generation import Generation
from metier.prompting.reply import decode_reply
from metier.runtime.bundle import Bundle
from metier.runtime.recorder import Asker, Given, Recorder
from metier.runtime.retries import Answer, Tries


class Notes:
    """What one engine has its recorder write down, on the thread that asked."""

    def __init__(self, recorder: Recorder | None, bundle: Bundle) -> None:
        self.recorder, self._bundle = recorder, bundle

    def keep(
        self,
        task: str,
        input: Value,
        output: Value,
        generation: Generation,
        language: str | None,
        asker: Asker,
        findings: Mapping[str, tuple[Finding, ...]] | None = None,
    ) -> str | None:
        """Write a decoded answer down; its id, None where there is no recorder."""
        if self.recorder is None:
            return None
        request = generation.request
        prompt = self._bundle.tokenizer.decode(request.ids, skip_special=False)
        return self.write(task, input, output, language, prompt, request.adapter, findings or {}, asker)

    def keep_streamed(
        self, task: str, input: Value, generation: Generation, asker: Asker, options: Mapping[str, Any]
    ) -> None:
        """Write a streamed answer down, where its reader saw a whole and valid one."""
        if self.recorder is None:
            return
        try:
            output = decode_reply(self._bundle.task(task).for_input(input), generation.result())
        except (ContractError, RequestError):
            return  # no valid reply, or cancelled: the reader has seen as much
        self.keep(task, input, output, generation, options.get("language"), asker)

    def kept(self, task: str, tries: Tries, asker: Asker, options: Mapping[str, Any]) -> Answer:
        """The best of several tries, written down."""
        made, generation = tries.answer(), tries.best
        id = self.keep(task, tries.input, made.output, generation, options.get("language"), asker, made.findings)
        return made.model_copy(update={"id": id})

    def write(
        self,
        task: str,
        input: Value,
        output: Value,
        language: str | None,
        prompt: str,
        adapter: str | None,
        findings: Mapping[str, tuple[Finding, ...]],
        asker: Asker,
    ) -> str | None:
        """Write an answer down, whoever gave it; its id, None where there is no recorder."""
        if self.recorder is None:
            return None
        given = Given(
            task=task,
            input=input,
            output=output,
            language=language,
            prompt=prompt,
            bundle=self._bundle.manifest.name,
            adapter=adapter,
            findings=findings,
            asker=asker,
        )
        return self.recorder.record(given)
