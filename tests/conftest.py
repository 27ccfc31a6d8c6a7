"""Fixtures that several rooms' tests share: a tiny random base model, made once a session."""

import os
from pathlib import Path
from typing import Literal

import pytest

SLOW_ROOMS = {"adapt", "align", "cli", "evaluate", "explain", "export", "heads", "iterate", "serve", "training"}
SLOW_FILES = {"test_docs.py", "test_every_json_task.py", "test_examples.py", "test_readme.py"}

RANDOM_BASES = 1000 * int(os.environ.get("METIER_TEST_SEED", "0"))
"""Added to the seeds of the random bases: `tests/benchmarks/perturbed.py` asks that no test needs a lucky one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that train, export or run commands: `make check` leaves them out, `make test` runs all."""
    for item in items:
        if item.path.parent.name in SLOW_ROOMS or item.path.name in SLOW_FILES:
            item.add_marker(pytest.mark.slow)


TINY_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TINY_WORDS = (
    "The mug is blue and holds 300 ml. A warm lamp for the desk, made of oak. Describe the facts in one sentence."
    " name[Alimentum], area[city centre], familyFriendly[no], price[cheap], food[Italian] system user assistant"
)


def make_tiny_base(folder: Path, *, seed: int = 0) -> Path:
    """A Hugging Face folder with a random Llama (3 layers, width 64, grouped queries) and a byte-level tokenizer."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=[AddedToken(t, special=True) for t in specials],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TINY_WORDS], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = TINY_TEMPLATE
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
        initializer_range=0.25,  # with the usual 0.02 and a frozen tied head, no hidden state gives a sure answer
    )
    with torch.random.fork_rng():
        torch.manual_seed(RANDOM_BASES + seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random base that loads in transformers, peft and our runtime."""
    return make_tiny_base(tmp_path_factory.mktemp("tiny_base"))


def make_tiny_finetune(base: Path, folder: Path, tasks, samples, *, seed: int = 0):
    """A fine-tune of the tiny base with random LoRA weights that change its answers, as `adapt` would leave it."""
    import torch
    from peft import LoraConfig, get_peft_model

    from metier.bases.checksum import sha256_of
    from metier.bases.finetune import load_finetune, write_card
    from metier.bases.resolve import resolve
    from metier.bases.torch_model import load_torch
    from metier.contracts import DataSummary, FineTuneCard, Recipe, samples_sha256

    local = resolve(base)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(load_torch(local), config).save_pretrained(folder)
    digest = samples_sha256(samples)
    card = FineTuneCard(
        name="tiny",
        tasks=tuple(tasks),
        base=local.card,
        recipe=Recipe(base=str(base)),
        data=DataSummary(sha256=digest, samples=len(samples), held_out=len(samples), held_out_sha256=digest),
        weights_sha256=sha256_of(folder / "adapter_model.safetensors"),
    )
    write_card(folder, card)
    (folder / "held_out.jsonl").write_text("".join(s.model_dump_json() + "\n" for s in samples), "utf-8")
    return load_finetune(folder)


def tiny_tasks():
    """One task per reply format, over the same input: text, json and label."""
    from pydantic import BaseModel

    from metier.contracts import TaskContract, TaskKind, prompt

    class Facts(BaseModel):
        facts: str

    class Copy(BaseModel):
        text: str

    class Item(BaseModel):
        name: str
        price: float | None = None
        tags: list[str]

    class Mood(BaseModel):
        mood: Literal["good", "bad mood", "sad"]

    prompts = {"en": prompt("Describe the facts: {{ facts }}")}
    return [
        TaskContract(
            name="tiny.copy", kind=TaskKind.GENERATE, input=Facts, output=Copy, prompts=prompts, max_reply_tokens=24
        ),
        TaskContract(name="tiny.item", kind=TaskKind.EXTRACT, input=Facts, output=Item, prompts=prompts, reply="json"),
        TaskContract(
            name="tiny.mood", kind=TaskKind.CLASSIFY, input=Facts, output=Mood, prompts=prompts, reply="label"
        ),
    ]


@pytest.fixture(scope="session")
def tiny_finetune(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory):
    """A fine-tune of the tiny base with a text, a json and a label task."""
    from metier.contracts import Sample

    samples = [
        Sample(task="tiny.copy", input={"facts": "a blue mug"}, output={"text": "The mug is blue."}),
        Sample(task="tiny.item", input={"facts": "a lamp"}, output={"name": "lamp", "tags": ["oak"]}),
        Sample(task="tiny.mood", input={"facts": "rain"}, output={"mood": "bad mood"}),
    ]
    return make_tiny_finetune(tiny_base, tmp_path_factory.mktemp("tiny_finetune"), tiny_tasks(), samples)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_finetune, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an fp32 bundle of the tiny fine-tune. Copy it before changing anything."""
    from metier.export import export

    return export(tiny_finetune, tmp_path_factory.mktemp("tiny_bundle") / "bundle", precision="fp32").path


@pytest.fixture(scope="session")
def tiny_bundle_of(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory):
    """Makes an fp32 bundle of given tasks and samples on the tiny base, whose context may be widened: (tasks, samples,
    context) → its folder."""
    import json
    import shutil

    from metier.export import export

    def make(tasks, samples, context: int = 512) -> Path:
        folder = tmp_path_factory.mktemp("tiny_bundle_of")
        base = Path(shutil.copytree(tiny_base, folder / "base"))
        config = json.loads((base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps({**config, "max_position_embeddings": context}))
        finetune = make_tiny_finetune(base, folder / "finetune", tasks, samples)
        return export(finetune, folder / "bundle", precision="fp32").path

    return make


@pytest.fixture(scope="session")
def tiny_player(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory):
    """A fine-tune of the tiny base whose one task, `tiny.act`, answers with one of the input's own actions."""
    from pydantic import BaseModel, Field

    from metier.contracts import Sample, TaskContract, TaskKind, prompt

    class Scene(BaseModel):
        facts: str
        actions: list[str]

    class Act(BaseModel):
        action: str = Field(json_schema_extra={"x-metier-one-of": "actions"})

    prompts = {"en": prompt("{{ facts }}: {{ actions }}")}
    act = TaskContract(name="tiny.act", kind=TaskKind.DIALOGUE, input=Scene, output=Act, prompts=prompts, reply="json")
    samples = [Sample(task="tiny.act", input={"facts": "rain", "actions": ["go", "stay"]}, output={"action": "go"})]
    return make_tiny_finetune(tiny_base, tmp_path_factory.mktemp("tiny_player"), [act], samples)


@pytest.fixture(scope="session")
def tiny_shop(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an fp32 bundle whose one task, `tiny.shop`, has two fields that bridges read off a photo."""
    from pydantic import BaseModel, Field

    from metier.contracts import Image, Sample, TaskContract, TaskKind, prompt, read_from
    from metier.export import export

    class Goods(BaseModel):
        photo: Image
        seen: str | None = Field(
            default=None, json_schema_extra=read_from("photo", content="words", package="metier-ocr")
        )
        shown: str = Field(default="nothing", json_schema_extra=read_from("photo", content="description"))

    class Copy(BaseModel):
        text: str

    prompts = {"en": prompt("On it: {{ seen }}. It shows {{ shown }}.")}
    task = TaskContract(
        name="tiny.shop", kind=TaskKind.GENERATE, input=Goods, output=Copy, prompts=prompts, max_reply_tokens=16
    )
    given = {"photo": "mug.png", "seen": "HARROW", "shown": "a mug"}
    sample = Sample(task="tiny.shop", input=given, output={"text": "A mug."})
    folder = tmp_path_factory.mktemp("tiny_shop")
    return export(
        make_tiny_finetune(tiny_base, folder / "tuned", [task], [sample]), folder / "bundle", precision="fp32"
    ).path


def make_tiny_lora(base: Path, folder: Path, *, seed: int = 0, **config) -> Path:
    """A PEFT folder with random LoRA weights over the tiny base, saved by PEFT itself; `config` is LoraConfig's."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False, **config}
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings))
        model.save_pretrained(folder)
    return folder


LORAS = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rank1": {"r": 1, "lora_alpha": 2},
    "rslora": {"r": 6, "lora_alpha": 4, "use_rslora": True},
    "patterns": {"r": 4, "rank_pattern": {"q_proj": 7, "layers.1.mlp.down_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "some": {"r": 3, "target_modules": ["q_proj", "v_proj", "up_proj"]},
    "last": {"r": 5, "layers_to_transform": [2], "target_modules": ["o_proj", "gate_proj", "k_proj"]},
}
"""Adapters of the tiny slotted bundle: what LoraConfig makes them from."""


@pytest.fixture(scope="session")
def tiny_loras(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """PEFT folders over the tiny base, of every kind that a slot takes."""
    folder = tmp_path_factory.mktemp("tiny_loras")
    return {
        name: make_tiny_lora(tiny_base, folder / name, seed=seed, **config)
        for seed, (name, config) in enumerate(LORAS.items(), 1)
    }


@pytest.fixture(scope="session")
def tiny_slotted(tiny_finetune, tiny_loras, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an fp32 bundle with LoRA slots and the adapters `tuned` (the tiny fine-tune) and LORAS. Copy it before
    changing anything."""
    from metier.export import export_slots
    from metier.export.bundle_edit import add_adapter

    out = tmp_path_factory.mktemp("tiny_slotted") / "bundle"
    export_slots([tiny_finetune], out, names=["tuned"], precision="fp32", inputs_variant=True)
    for name, folder in tiny_loras.items():
        add_adapter(out, folder, name, any_base=True)
    return out


@pytest.fixture(scope="session")
def peft_greedy(tiny_base: Path, tiny_slotted: Path):
    """Greedy tokens of peft in torch, fp32: (adapter folder name or None, prompt ids, tokens) → ids, end token cut."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    names = sorted(path.name for path in (tiny_slotted / "adapters").iterdir())
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    for name in names:
        folder = str(tiny_slotted / "adapters" / name)
        if isinstance(model, PeftModel):
            model.load_adapter(folder, name)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name)
    model.eval()

    def greedy(name: str | None, ids: list[int], tokens: int) -> list[int]:
        import contextlib

        model.set_adapter(name or names[0])
        with torch.inference_mode(), model.disable_adapter() if name is None else contextlib.nullcontext():
            out = model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=tokens,
                do_sample=False,
            )
        reply = out[0, len(ids) :].tolist()
        return reply[: reply.index(2)] if 2 in reply else reply

    return greedy
