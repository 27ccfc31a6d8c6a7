"""A fine-tune's folder opens only when it is complete, and loads only on the base it was trained on."""

import json

import pytest
from pydantic import BaseModel

from metier.bases import load_finetune, resolve
from metier.bases.checksum import sha256_of
from metier.bases.finetune import write_card
from metier.contracts import DataError, DataSummary, FineTuneCard, Recipe, TaskContract, UsageError, prompt


class Facts(BaseModel):
    facts: str


class Copy(BaseModel):
    text: str


TASK = TaskContract(
    name="demo.describe", kind="generate", input=Facts, output=Copy, prompts={"en": prompt("{{facts}}")}
)


@pytest.fixture(scope="module")
def trained(tiny_base, tmp_path_factory):
    """A LoRA with random weights on the tiny base, saved by peft itself, and its card."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("lora")
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base), config).save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METIER_HOME", str(tmp_path_factory.mktemp("home")))
        base = resolve(tiny_base)
    data = DataSummary(sha256="0" * 64, samples=1, held_out=1, held_out_sha256="0" * 64)
    weights = sha256_of(folder / "adapter_model.safetensors")
    card = FineTuneCard(name="demo", tasks=(TASK,), base=base.card, recipe=Recipe(), data=data, weights_sha256=weights)
    write_card(folder, card)
    return base, folder, card


def copy_of(folder, tmp_path):
    import shutil

    return shutil.copytree(folder, tmp_path / "ft")


def test_a_complete_folder_opens_with_its_card(trained):
    _, folder, card = trained
    assert load_finetune(folder).card == card
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_one_changed_byte_of_the_weights_is_refused(trained, tmp_path):
    folder = copy_of(trained[1], tmp_path)
    blob = bytearray((folder / "adapter_model.safetensors").read_bytes())
    blob[-1] ^= 1
    (folder / "adapter_model.safetensors").write_bytes(blob)
    with pytest.raises(DataError, match="sha256 is not the one in the card"):
        load_finetune(folder)


def test_a_card_with_an_unknown_key_names_the_key(trained, tmp_path):
    folder = copy_of(trained[1], tmp_path)
    card = json.loads((folder / "card.json").read_text()) | {"sauce": 1}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="sauce"):
        load_finetune(folder)


def test_missing_files_and_unfinished_runs_have_errors_of_their_own(trained, tmp_path):
    with pytest.raises(UsageError, match="not a fine-tune"):
        load_finetune(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(UsageError, match="not finished") as caught:
        load_finetune(tmp_path)
    assert "resume" in str(caught.value)
    folder = copy_of(trained[1], tmp_path)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(DataError, match="missing"):
        load_finetune(folder)


def test_the_lora_changes_the_logits_and_merging_it_changes_them_alike(trained):
    import torch

    from metier.bases.torch_model import load_adapted, load_torch

    base, folder, _ = trained
    finetune = load_finetune(folder)
    ids = torch.tensor([[5, 9, 30, 7]])
    with torch.inference_mode():
        plain = load_torch(base)(ids).logits
        adapted = load_adapted(base, finetune)(ids).logits
        merged = load_adapted(base, finetune, merge=True)(ids).logits
    assert (plain - adapted).abs().max() > 0.01
    torch.testing.assert_close(adapted, merged, atol=1e-3, rtol=1e-3)


def test_the_requested_dtype_holds_for_base_and_lora(trained):
    import torch

    from metier.bases.torch_model import load_adapted

    base, folder, _ = trained
    model = load_adapted(base, load_finetune(folder), "bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert not model.training


def test_another_bases_weights_are_refused_by_name(trained, tmp_path, base_writer):
    from metier.bases.torch_model import load_adapted

    other = resolve(base_writer(tmp_path / "other"))
    with pytest.raises(UsageError, match="was trained on") as caught:
        load_adapted(other, load_finetune(trained[1]))
    assert str(trained[0].card.id) in str(caught.value)
