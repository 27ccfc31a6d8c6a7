"""A cache folder per test, and a base's folder small enough to write by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

README = "---\nlicense: apache-2.0\nlanguage:\n- en\n- zh\n---\n# A model\n"


def write_base(folder: Path, *, seed: int = 0, template_in_config: bool = False, **config: object) -> Path:
    """A folder in Hugging Face format: 2 small tensors, a word tokenizer, a chat template, a model card."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    weights = {"model.embed": rng.random((8, 4), np.float32), "model.norm": rng.random(4, np.float32)}
    save_file(weights, folder / "model.safetensors")
    values = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 512} | config
    (folder / "config.json").write_text(json.dumps(values))
    model = {"type": "WordLevel", "vocab": {"[unk]": 0, "a": 1}, "unk_token": "[unk]"}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model, "added_tokens": []}))
    tokenizer: dict[str, object] = {"eos_token": "[unk]"}
    if template_in_config:
        tokenizer["chat_template"] = "{{ messages }}"
    else:
        (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "README.md").write_text(README)
    return folder


@pytest.fixture
def base_writer() -> Callable[..., Path]:
    """`write_base`, for tests that want their own folder."""
    return write_base


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own, and no network."""
    folder = tmp_path / "home"
    monkeypatch.setenv("METIER_HOME", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("METIER_WHEELS", raising=False)
    return folder
