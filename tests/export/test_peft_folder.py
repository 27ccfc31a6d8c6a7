"""Folders that PEFT saved without Metier: read with a base and a task, merged, exported, run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from metier.bases import resolve
from metier.bases.torch_model import load_adapted
from metier.contracts import DataError, FineTune, Sample, UsageError
from metier.export import export
from metier.export.peft_folder import is_peft_folder, read_peft
from metier.runtime.engine import Engine

Maker = Callable[..., Path]
IDS = torch.arange(5, 25)[None]

KINDS = {
    "dora": {"use_dora": True, "target_modules": "all-linear"},
    "output head": {"target_modules": ["q_proj", "lm_head"]},
    "whole output head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "whole embedding": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
}


@pytest.fixture
def make_peft(tiny_base: Path, tmp_path: Path) -> Maker:
    """Saves a PEFT adapter of random weights over the tiny base, as a user's own script would."""

    def make(**config: object) -> Path:
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_pretrained(tiny_base)
        adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, **config))
        for name, weight in adapted.named_parameters():
            if "modules_to_save" in name:
                weight.data += 0.2 * torch.randn_like(weight)
        adapted.save_pretrained(tmp_path / "adapter")
        return tmp_path / "adapter"

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_adapter_gives_the_logits_of_the_unmerged_one(
    kind: str, make_peft: Maker, tiny_base: Path, tiny_finetune: FineTune
) -> None:
    folder = make_peft(**KINDS[kind])
    finetune = read_peft(folder, resolve(tiny_base), tiny_finetune.card.tasks[:1])
    unmerged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), folder).eval()
    merged = load_adapted(resolve(tiny_base), finetune, merge=True)
    with torch.no_grad():
        expected = unmerged(IDS).logits
        assert torch.allclose(merged(IDS).logits, expected, atol=1e-4)
        with unmerged.disable_adapter():
            assert not torch.allclose(expected, unmerged(IDS).logits, atol=1e-2)


@pytest.mark.parametrize("kind", ["dora", "output head", "whole embedding"])
def test_a_peft_folder_becomes_a_bundle_that_replies_as_torch_does(
    kind: str, make_peft: Maker, tiny_base: Path, tiny_finetune: FineTune, tmp_path: Path
) -> None:
    folder = make_peft(**KINDS[kind])
    task = tiny_finetune.card.tasks[0]
    finetune = read_peft(folder, resolve(tiny_base), [task])
    samples = [Sample(task=task.name, input={"facts": "a blue mug"}, output={"text": "The mug is blue."})]
    bundle = export(finetune, tmp_path / "bundle", precision="fp32", base=resolve(tiny_base), samples=samples)
    assert bundle.manifest.parity is not None and bundle.manifest.parity.top1_agreement >= 0.995
    with Engine(bundle.path, threads=1, max_len=256) as engine:
        assert set(engine.run(task.name, {"facts": "a blue mug"})) == {"text"}


def test_a_folder_with_a_card_or_without_a_configuration_is_no_peft_folder(
    make_peft: Maker, tiny_finetune: FineTune, tmp_path: Path
) -> None:
    assert is_peft_folder(make_peft(target_modules="all-linear"))
    assert not is_peft_folder(tiny_finetune.path) and not is_peft_folder(tmp_path)


def test_a_folder_without_safetensors_or_of_another_method_is_refused(
    make_peft: Maker, tiny_base: Path, tiny_finetune: FineTune
) -> None:
    folder = make_peft(target_modules="all-linear")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"there is no adapter_model\.safetensors"):
        read_peft(folder, resolve(tiny_base), tiny_finetune.card.tasks[:1])
    (folder / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')
    with pytest.raises(DataError, match="no configuration of a LoRA adapter"):
        read_peft(folder, resolve(tiny_base), tiny_finetune.card.tasks[:1])
