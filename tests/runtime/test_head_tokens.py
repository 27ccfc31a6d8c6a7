"""A head's texts as tokens, and the tokens that are pooled."""

from pathlib import Path

import pytest

from metier.contracts import Base, DataError, Modality, Recipe
from metier.contracts.heads import pooling_of
from metier.decoding.tokenizer import ChatTokenizer
from metier.runtime.head_inputs import HeadInput
from metier.runtime.head_tokens import RowTokenizer

TEXT = "a blue mug"
WHOLE, MUG = (0, len(TEXT)), (7, 10)


def text_of(folder: Path, ids: tuple[int, ...], group: tuple[int, ...]) -> str:
    return ChatTokenizer.load(folder).decode([ids[i] for i in group])


def test_a_repeated_text_is_pooled_over_its_repetition(tiny_base: Path) -> None:
    (once,) = RowTokenizer(tiny_base, 64, "mean").rows(HeadInput((TEXT,), ((WHOLE, MUG),)))
    (twice,) = RowTokenizer(tiny_base, 64, "echo").rows(HeadInput((TEXT,), ((WHOLE, MUG),)))
    assert ChatTokenizer.load(tiny_base).decode(twice.ids) == f"{TEXT}\n{TEXT}"
    whole, mug = twice.groups
    assert whole == tuple(range(len(twice.ids) - len(once.ids), len(twice.ids)))
    assert text_of(tiny_base, twice.ids, whole) == TEXT
    assert text_of(tiny_base, twice.ids, mug) == text_of(tiny_base, once.ids, once.groups[1])
    assert min(mug) > max(once.groups[1])


def test_a_text_without_a_token_is_one_row(tiny_base: Path) -> None:
    (row,) = RowTokenizer(tiny_base, 64, "echo").rows(HeadInput(("",), (((0, 0),),)))
    assert row.ids == (0,) and row.groups == ((0,),)


def test_a_text_too_long_to_be_repeated_is_an_error_with_a_remedy(tiny_base: Path) -> None:
    (row,) = RowTokenizer(tiny_base, 64, "mean").rows(HeadInput((TEXT,), ((WHOLE,),)))
    with pytest.raises(DataError, match=r"the text, repeated, has \d+ tokens, more than \d+") as caught:
        RowTokenizer(tiny_base, len(row.ids), "echo").rows(HeadInput((TEXT,), ((WHOLE,),)))
    assert "pooling: mean does not repeat it" in str(caught.value)


def test_decoders_repeat_a_text_and_encoders_do_not_unless_the_recipe_sets_it() -> None:
    decoder = Base(
        id="tiny", model_class="LlamaForCausalLM", modalities_in=frozenset({Modality.TEXT}),
        modalities_out=frozenset({Modality.TEXT}), languages=("en",), context_length=64,
    )  # fmt: skip
    encoder = decoder.model_copy(update={"architecture": "encoder"})
    assert pooling_of(Recipe(), decoder) == "echo" and pooling_of(Recipe(), encoder) == "mean"
    assert pooling_of(Recipe(head={"pooling": "last"}), decoder) == "last"
