"""A task whose output has speech: the model writes the text, a bridge renders it after validation."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from metier.contracts import (
    Answer,
    Bridge,
    PluginError,
    Sample,
    Speech,
    TaskContract,
    UsageError,
    prompt,
    read_from,
    renderings,
)
from metier.contracts.fit import fit
from metier.prompting.reply import decode_reply, encode_reply, grammar_of
from metier.runtime import Engine
from metier.runtime.output_bridges import run_output_bridges


class Order(BaseModel):
    facts: str


class Spoken(BaseModel):
    text: str
    voice: Speech | None = Field(default=None, json_schema_extra=read_from("text", package="metier-voice"))


def contract(output: type[BaseModel] = Spoken, reply: str = "text", **fields: Any) -> TaskContract:
    return TaskContract(
        name="tiny.say", kind="generate", input=Order, output=output, prompts={"en": prompt("Say {{ facts }}")},
        reply=reply, max_reply_tokens=12, **fields,
    )  # fmt: skip


def tone(text: str) -> Speech:
    """A WAV of one sample per character."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * (len(text) + 1))
    return Speech.of(file.getvalue())


SPEAK = Bridge(name="speak", source="text", target="speech", run=tone)


def test_the_model_s_reply_leaves_rendered_fields_out() -> None:
    for task in (contract(), contract(reply="json")):
        assert task.text_field == "text"
        written = encode_reply(task, {"text": "a mug", "voice": tone("a mug").model_dump(mode="json")})
        assert "voice" not in written and decode_reply(task, written) == {"text": "a mug"}
    assert "voice" not in str(grammar_of(contract(reply="json")))
    again = TaskContract.model_validate_json(contract().model_dump_json())
    assert renderings(again.output) == renderings(contract().output)


def test_the_output_that_the_engine_returns_has_the_payload(tiny_bundle_of: Any) -> None:
    kept: list[Answer] = []

    class Kept:
        def record(self, answer: Answer) -> str:
            kept.append(answer)
            return answer.id

    task = contract()
    bundle: Path = tiny_bundle_of([task], [Sample(task=task.name, input={"facts": "mug"}, output={"text": "A mug."})])
    with Engine(bundle, rows=2, max_len=200, bridges=[SPEAK], recorder=Kept()) as engine:
        answer = engine.answer(task.name, {"facts": "mug"})
        voice = Speech.model_validate(answer.output["voice"])
        with wave.open(io.BytesIO(voice.read())) as sound:
            assert sound.getnframes() == len(str(answer.output["text"])) + 1
        assert kept == [answer]
        assert "".join(engine.stream(task.name, {"facts": "mug"})).strip() == answer.output["text"]
        assert kept[1].output == {"text": answer.output["text"]}
    with (
        Engine(bundle, rows=2, max_len=200) as engine,
        pytest.raises(UsageError, match="no bridge text→speech") as caught,
    ):
        engine.run(task.name, {"facts": "mug"})
    assert "pip install metier-voice" in str(caught.value.remedy)


def test_a_chain_of_bridges_renders_and_the_content_chooses_the_last() -> None:
    class Drawn(BaseModel):
        text: str
        clip: Speech | None = Field(default=None, json_schema_extra=read_from("text", content="song"))

    upper = SPEAK.model_copy(update={"name": "sing", "content": "song"})
    rendered = run_output_bridges(contract(Drawn), {"text": "la"}, [SPEAK, upper])
    assert rendered["clip"]["media_type"] == "audio/wav"
    with pytest.raises(UsageError, match=r"text→speech \(song\)"):
        run_output_bridges(contract(Drawn), {"text": "la"}, [SPEAK])


def test_a_bridge_that_fails_or_gives_no_speech_is_named() -> None:
    broken = SPEAK.model_copy(update={"run": lambda text: 1 / 0})
    with pytest.raises(PluginError, match="the bridge speak failed: ZeroDivisionError"):
        run_output_bridges(contract(), {"text": "x"}, [broken])
    odd = SPEAK.model_copy(update={"run": lambda text: b"no sound"})
    with pytest.raises(PluginError, match="speak gave no valid speech"):
        run_output_bridges(contract(), {"text": "x"}, [odd])


@pytest.mark.parametrize("source", ["txt", "voice"])
def test_a_field_that_names_no_text_is_refused(source: str) -> None:
    class Odd(BaseModel):
        text: str
        voice: Speech | None = Field(default=None, json_schema_extra=read_from(source))

    with pytest.raises(ValueError, match="cannot be read from"):
        contract(Odd)


def test_fit_and_the_runtime_agree_on_the_chain(tiny_base: Path) -> None:
    from metier.bases.resolve import resolve

    base = resolve(tiny_base).card
    report = fit(contract(), base, [SPEAK])
    assert report.bridges_out == {"speech": ("speak",)}
    assert fit(contract(), base).bridges_out == {}
