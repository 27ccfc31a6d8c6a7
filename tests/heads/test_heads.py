"""Every kind of head learns its task on an encoder and a decoder, by every method, and answers the same once saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import MPNetConfig, MPNetModel

from metier.adapt import adapt
from metier.bases.finetune import load_finetune
from metier.bases.resolve import resolve
from metier.bases.torch_model import load_torch
from metier.contracts import BaseError, ContractError, DataError, Recipe, RecipeError, Sample, TaskContract, UsageError
from metier.contracts.finetune import HEAD
from metier.heads import load_head
from metier.heads.head_model import HeadModel
from metier.heads.token_batch import padded
from metier.heads.trunk import Trunk
from metier.runtime.head_inputs import HeadInput
from metier.runtime.head_tokens import Row, RowTokenizer

Kinds = dict[str, tuple[TaskContract, list[Sample]]]


def recipe(base: Path, **fields: Any) -> Recipe:
    settings = {
        "produces": "head",
        "method": "features",
        "batch_size": 16,
        "epochs": 1,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "head": {"epochs": 25, "learning_rate": 1e-2},
    }
    return Recipe(**{"base": str(base), **settings, **fields})


def right(head_model: HeadModel, given: list[Sample]) -> float:
    outputs = head_model.predict([sample.input for sample in given])
    return sum(o == s.output for o, s in zip(outputs, given, strict=True)) / len(given)


@pytest.mark.parametrize("kind", ["sort", "find", "relate", "match"])
@pytest.mark.parametrize("base", ["tiny_encoder", "tiny_base"])
def test_a_head_learns_its_task_over_frozen_features(
    kind: str, base: str, kinds: Kinds, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    task, samples = kinds[kind]
    # A random decoder's states depend on earlier tokens only; their mean is as informative as a static embedding.
    layers = "all" if base == "tiny_encoder" else "mix"
    tuned = adapt(task, samples, [], recipe(request.getfixturevalue(base), layers=layers), tmp_path / "tuned")
    head_model = load_head(tuned.path)
    assert right(head_model, samples) >= 0.9
    assert not [path for path in tuned.path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("method", "layers", "changed"),
    [
        ("full", "all", {"embeddings", "layer.0", "layer.1", "layer.2"}),
        ("full", "top:1", {"layer.2"}),
        ("full", "1,3", {"layer.0", "layer.2"}),
        ("full", "embedding", {"word_embeddings"}),
        ("full", "mix", {"embeddings", "layer.0", "layer.1", "layer.2"}),
        ("lora", "all", {"layer.0", "layer.1", "layer.2"}),
        ("lora", "top:2", {"layer.1", "layer.2"}),
        ("lora", "mix", {"layer.0", "layer.1", "layer.2"}),
    ],
)
def test_only_the_chosen_layers_are_trained_and_saved(
    method: str, layers: str, changed: set[str], kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    head_recipe = recipe(tiny_encoder, method=method, layers=layers, lora={"rank": 2, "alpha": 2}, epochs=12)
    tuned = adapt(task, samples, samples[:8], head_recipe, tmp_path / "tuned")
    head_model = load_head(tuned.path)
    assert right(head_model, samples) >= 0.9, "a guess gives a half or less"
    saved = {name for name in _tensors(tuned.path / HEAD) if name.startswith("trunk.")}
    parts = {part for name in saved for part in changed if part in name}
    assert parts == changed and all(any(part in name for part in changed) for name in saved)
    assert all(("lora_" in name) == (method == "lora") for name in saved) and not any(
        "pooler" in name for name in saved
    )
    before = resolve(tiny_encoder)
    fresh = dict(HeadModel(task, before, head_recipe).trunk.model.named_parameters())
    after = dict(head_model.trunk.model.named_parameters())
    differs = {f"trunk.{name}" for name in fresh if not torch.equal(fresh[name], after[name])}
    assert differs <= saved and len(differs) >= len(saved) / 2


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("base", ["tiny_encoder", "tiny_base"])
def test_hidden_states_over_kept_ones_are_those_of_the_whole_base(
    base: str, kinds: Kinds, request: pytest.FixtureRequest
) -> None:
    task, samples = kinds["match"]
    local = resolve(request.getfixturevalue(base))
    head_model = HeadModel(task, local, recipe(local.path, method="full", layers="top:1"))
    assert head_model.trunk.frozen == 2
    rows = [row for sample in samples[:5] for row in head_model.item(sample).rows]
    with head_model.evaluating():
        together = padded(rows)
        # Alone and unpadded first: what is kept of a text must not depend on what it was batched with.
        below = torch.zeros(*together.ids.shape, head_model.trunk.width)
        for i, row in enumerate(rows):
            below[i, : len(row.ids)] = head_model.trunk.below(padded([row]))[0]
        replayed, whole = head_model.trunk.above(together, below), head_model.trunk.states(together)
    real = together.mask[:, None, :, None].bool()
    assert torch.allclose(replayed * real, whole * real, atol=1e-4)


def test_frozen_layers_are_computed_once_and_past_the_bound_again(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    head_recipe = recipe(tiny_encoder, method="full", layers="top:1", epochs=3)
    free = adapt(task, samples, [], head_recipe, tmp_path / "free")
    assert free.card.training["cached_bytes"] > 48 * 4 * 64 * 4
    tight = adapt(task, samples, [], head_recipe, tmp_path / "tight", limit=20_000)
    assert 20_000 < tight.card.training["cached_bytes"] <= 40_000
    one, other = _tensors(free.path / HEAD), _tensors(tight.path / HEAD)
    assert all(torch.allclose(one[name].float(), other[name].float(), atol=2e-3) for name in one)


def test_the_same_run_twice_gives_the_same_weights_and_is_not_trained_again(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, samples = kinds["sort"]
    head_recipe = recipe(tiny_encoder, method="full")
    first = adapt(task, samples, [], head_recipe, tmp_path / "one")
    assert adapt(task, samples, [], head_recipe, tmp_path / "two").card.weights_sha256 == first.card.weights_sha256
    with monkeypatch.context() as patch:
        patch.setattr("metier.heads.train.HeadModel", None)  # training again would fail
        assert adapt(task, samples, [], head_recipe, tmp_path / "one") == first
    with pytest.raises(UsageError, match="already holds the fine-tune one"):
        adapt(task, samples, [], head_recipe.model_copy(update={"seed": 1}), tmp_path / "one")
    again = adapt(task, samples, [], head_recipe.model_copy(update={"seed": 1}), tmp_path / "one", resume=False)
    assert again.card.weights_sha256 != first.card.weights_sha256


def test_answers_do_not_depend_on_the_rest_of_the_batch(kinds: Kinds, tiny_encoder: Path, tmp_path: Path) -> None:
    task, samples = kinds["find"]
    head_model = load_head(adapt(task, samples, [], recipe(tiny_encoder), tmp_path / "tuned").path)
    texts = ["he lost the fig", "he wants the drill and he likes the pear", "", "the axe"]
    together = head_model.predict([{"text": text} for text in texts])
    assert together == [head_model.predict([{"text": text}])[0] for text in texts]
    assert together[2] == {"spans": []}


def test_a_span_pair_is_identified_by_its_positions_and_not_only_by_its_text(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["relate"]
    head_model = load_head(adapt(task, samples, [], recipe(tiny_encoder), tmp_path / "tuned").path)
    text = "lost the apple , then the saw"
    inputs = [{"text": text, "first": a, "second": b} for a, b in (("apple", "saw"), ("saw", "apple"))]
    assert head_model.predict(inputs)[0] == {"relation": "before"}
    features = [head_model.features([headed_item]) for headed_item in _items(head_model, inputs)]
    assert torch.allclose(features[0][:, :, 0], features[1][:, :, 1], atol=1e-5)
    with pytest.raises(ContractError, match=r"'pear'.* does not occur in text"):
        head_model.predict([{"text": text, "first": "pear", "second": "saw"}])


def _items(head_model: HeadModel, inputs: list[dict[str, Any]]) -> list[Any]:
    return [head_model.item(Sample(task="tiny.relate", input=given, output={"relation": "before"})) for given in inputs]


def test_a_span_that_is_not_in_the_text_is_named_by_its_place(kinds: Kinds, tiny_encoder: Path, tmp_path: Path) -> None:
    from metier.contracts import Provenance

    task, samples = kinds["find"]
    odd = Sample(
        task=task.name,
        input={"text": "he lost the fig"},
        output={"spans": [{"label": "fruit", "text": "a pear"}]},
        provenance=Provenance(source="notes.csv", line=7),
    )
    with pytest.raises(DataError, match=r"notes\.csv:7.*'a pear' does not occur"):
        adapt(task, [*samples, odd], [], recipe(tiny_encoder), tmp_path / "tuned")


def test_a_text_longer_than_the_base_is_refused_and_never_cut(kinds: Kinds, tiny_encoder: Path, tmp_path: Path) -> None:
    task, samples = kinds["sort"]
    head_model = load_head(adapt(task, samples, [], recipe(tiny_encoder), tmp_path / "tuned").path)
    with pytest.raises(DataError, match="more than 64"):
        head_model.predict([{"text": "the fig " * 40}])


def test_an_encoder_does_not_generate_and_a_task_that_generates_has_no_head(tiny_encoder: Path, tmp_path: Path) -> None:
    local = resolve(tiny_encoder)
    assert not local.card.writes
    with pytest.raises(BaseError, match="an encoder: it cannot generate"):
        load_torch(local)
    from pydantic import BaseModel

    from metier.contracts import prompt

    class Text(BaseModel):
        text: str

    writing_task = TaskContract(
        name="tiny.write", kind="generate", input=Text, output=Text, prompts={"en": prompt("{{ text }}")}
    )
    sample = Sample(task="tiny.write", input={"text": "x"}, output={"text": "y"})
    with pytest.raises(UsageError, match="a head cannot"):
        adapt(writing_task, [sample], [], recipe(tiny_encoder), tmp_path / "tuned")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "features"}, "needs a head"),
        ({"produces": "head", "method": "lora", "layers": "embedding"}, "no projection for LoRA"),
        ({"layers": "mix"}, "needs a head that reads all layers"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.parse(fields)


@pytest.mark.parametrize(("layers", "message"), [("top:4", "use top:3 or less"), ("2-9", "numbers from 1 to 3")])
def test_layers_that_the_base_has_not_are_refused(
    layers: str, message: str, kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    with pytest.raises(RecipeError, match=message):
        adapt(task, samples, [], recipe(tiny_encoder, layers=layers), tmp_path / "tuned")


def test_a_head_s_folder_is_no_lora_fine_tune_and_damage_is_seen(
    kinds: Kinds, tiny_encoder: Path, tmp_path: Path
) -> None:
    task, samples = kinds["sort"]
    tuned = adapt(task, samples, [], recipe(tiny_encoder), tmp_path / "tuned")
    with pytest.raises(UsageError, match="tuned produces head, and a fine-tune that produces text is needed"):
        load_finetune(tuned.path)
    assert load_finetune(tuned.path, produces="head") == tuned
    (tuned.path / HEAD).write_bytes((tuned.path / HEAD).read_bytes()[:-8] + bytes(8))
    with pytest.raises(DataError, match="its sha256 is not the one in the card"):
        load_head(tuned.path)


@pytest.mark.parametrize("layers", ["top:1", "2-3"])
def test_an_architecture_whose_layers_return_other_outputs_is_computed_completely(layers: str) -> None:
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2
    )
    trunk = Trunk(MPNetModel(config).eval(), recipe(Path("b"), method="full", layers=layers), "b")
    assert trunk.frozen == 0
    batch = padded([Row((5, 6, 7), ((0, 1, 2),)), Row((8, 9), ((0, 1),))])
    assert trunk.states(batch).shape == (2, 1, 3, 16)


def test_an_empty_text_is_read_once_where_the_tokenizer_adds_a_first_token(tiny_base: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_base / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(single="[B] $A", special_tokens=[("[B]", 1)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (row,) = RowTokenizer(tmp_path, 32, "echo").rows(HeadInput(("",), (((0, 0),),)))
    assert row.ids == (1,) and row.groups == ((0,),)
