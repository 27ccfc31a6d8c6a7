"""The tokenizer and chat template of a base or bundle folder, without transformers.

Renders messages as transformers' `apply_chat_template` does, and knows nothing about tasks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from metier.contracts import BaseError
from metier.decoding.sandbox import BoundedEnvironment, TemplateLimitError, render

FROZEN_DATE = datetime(2024, 7, 26)
"""The date of `strftime_now` in a chat template: a prompt that changes with the calendar could not be frozen in a
bundle. Llama 3's own template falls back to the same date."""


def _byte_characters() -> dict[str, int]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's `bytes_to_unicode`)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_characters()


class ChatTokenizer:
    """A folder's tokenizer with its chat template.

    Special tokens in a rendered prompt are parsed as such; `encode` itself never adds BOS or EOS.
    """

    def __init__(self, tokenizer: Tokenizer, template: str | None, special: Mapping[str, str], eos: Sequence[int]):
        self._tokenizer = tokenizer
        self._special = dict(special)
        self._template = _compile(template) if template else None
        added = tokenizer.get_added_tokens_decoder().values()
        self._control = tuple(t.content for t in added if t.special and len(t.content) > 1)
        self._byte_level = "ByteLevel" in repr(tokenizer.decoder)
        self.eos_ids: tuple[int, ...] = tuple(eos)
        """Ids that end a reply; the first is the one that training puts behind a reply."""
        pad = special.get("pad_token")
        pad_id = tokenizer.token_to_id(pad) if pad else None
        self.pad_id: int = pad_id if pad_id is not None else self.eos_ids[0]

    @classmethod
    def load(cls, folder: str | Path) -> ChatTokenizer:
        """Read tokenizer.json, tokenizer_config.json and chat_template.jinja of a Hugging Face folder or bundle.

        Raises:
            BaseError: a file is missing or unreadable, or the folder names no end-of-sequence token.
        """
        path = Path(folder)
        file = path / "tokenizer.json"
        if not file.is_file():
            raise BaseError("there is no tokenizer.json", where=str(path), remedy="give a base or bundle folder")
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:
            raise BaseError(f"tokenizer.json cannot be read: {error}", where=str(file)) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        config = _json(path / "tokenizer_config.json")
        special = {key: _content(value) for key, value in config.items() if key.endswith("_token") and value}
        return cls(tokenizer, _template_of(path, config), special, _eos_ids(path, tokenizer, special))

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included; a model's logits may be padded beyond it."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def has_template(self) -> bool:
        """Whether the folder brings a chat template."""
        return self._template is not None

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, special tokens in it parsed as such, nothing added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of `ids`."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special))

    def token_bytes(self, token: int) -> bytes:
        """The bytes that one id stands for; an id can be a part of a character."""
        text = self._tokenizer.id_to_token(token)
        if text is None:
            return b""
        if self._byte_level:
            return bytes(_BYTES[char] for char in text) if all(char in _BYTES for char in text) else text.encode()
        if re.fullmatch(r"<0x[0-9A-F]{2}>", text):  # byte fallback of SentencePiece
            return bytes([int(text[3:5], 16)])
        return text.replace("▁", " ").encode()

    def stream(self) -> Callable[[int], str]:
        """A function from the next id to the text that it completes: empty within a character of several ids."""
        decoder = DecodeStream(skip_special_tokens=True)
        return lambda token: decoder.step(self._tokenizer, token) or ""

    def escape_control_tokens(self, text: str) -> str:
        """`text` with every control token in it split by a space, such as `< |im_end|>`."""
        for token in self._control:
            if token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def to_json(self) -> str:
        """The tokenizer as tokenizer.json text, for libraries that build their own from it."""
        return str(self._tokenizer.to_str())

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """`messages` (role, content) through the base's chat template.

        Raises:
            BaseError: the folder has no chat template, or the template refuses these messages.
        """
        if self._template is None:
            raise BaseError(
                "the base has no chat template",
                remedy="take an instruction-tuned base, or put a chat_template.jinja into its folder",
            )
        try:
            return render(
                self._template,
                {
                    "messages": list(messages),
                    "tools": None,
                    "documents": None,
                    "add_generation_prompt": add_generation_prompt,
                    **self._special,
                },
            )
        except TemplateError as error:
            roles = ", ".join(str(m.get("role")) for m in messages)
            raise BaseError(
                f"the base's chat template refuses this conversation ({roles}): {error}",
                remedy="use the roles that the base was trained with; some know no system role",
            ) from error


def _compile(template: str) -> Template:
    environment = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _strftime
    # transformers' `generation` block only marks spans for training masks: here its body is simply rendered.
    source = template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    source = source.replace("{%- generation -%}", "{%- if true -%}").replace("{%- endgeneration -%}", "{%- endif -%}")
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise BaseError(f"the chat template cannot be compiled: {error}", where="chat_template.jinja") from error


def _tojson(value: Any, indent: int | None = None, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _strftime(form: str) -> str:
    if re.search(r"%[^a-zA-Z%]*\d", form):  # such as %1000000000d, which pads
        raise TemplateLimitError("a date's format has a width")
    return FROZEN_DATE.strftime(form)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}
    except ValueError as error:
        raise BaseError(f"not valid JSON: {error}", where=str(path)) from error


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, Mapping) else str(token)


def _template_of(path: Path, config: Mapping[str, Any]) -> str | None:
    file = path / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    inline = config.get("chat_template")
    if isinstance(inline, list):  # several named templates: take the default one
        inline = next((t["template"] for t in inline if t.get("name") == "default"), None)
    return str(inline) if inline else None


def _eos_ids(path: Path, tokenizer: Tokenizer, special: Mapping[str, str]) -> tuple[int, ...]:
    found: list[int] = []
    token = tokenizer.token_to_id(special["eos_token"]) if "eos_token" in special else None
    if token is not None:
        found.append(int(token))
    for config in (_json(path / "generation_config.json"), _json(path / "genai_config.json").get("model", {})):
        more = config.get("eos_token_id")
        found += [int(i) for i in (more if isinstance(more, list) else [more]) if i is not None]
    if not found:
        raise BaseError(
            "the folder names no end-of-sequence token",
            where=str(path),
            remedy="set eos_token in tokenizer_config.json or eos_token_id in generation_config.json",
        )
    return tuple(dict.fromkeys(found))
