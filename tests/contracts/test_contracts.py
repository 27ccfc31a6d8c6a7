"""Contracts refuse what contradicts itself, and say what is wrong in the user's own words."""

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from metier.contracts import (
    Check,
    ContractError,
    MetierError,
    Modality,
    PluginError,
    Provenance,
    Recipe,
    RecipeError,
    ReplyFormat,
    Sample,
    SampleSet,
    TaskContract,
    UsageError,
    Vertical,
    did_you_mean,
    modalities_of,
    prompt,
    recipes_in,
    samples_in,
    samples_sha256,
    schema_of,
)
from metier.contracts.recipe import layer_ranges, layers_named


class Facts(BaseModel):
    facts: str
    stars: int | None = None


class Text(BaseModel):
    text: str


class Two(BaseModel):
    text: str
    title: str


class Mood(BaseModel):
    mood: Literal["warm", "dry"]


class Node(BaseModel):
    text: str
    children: list["Node"] = []


def contract(**fields: Any) -> TaskContract:
    defaults = {
        "name": "a.b",
        "kind": "generate",
        "input": Facts,
        "output": Text,
        "prompts": {"en": prompt("{{ facts }}")},
    }
    return TaskContract(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epoch": 3}, "unknown key epoch, did you mean epochs?"),
        ({"rank": 8}, "unknown key rank, did you mean lora.rank?"),
        ({"lora": {"ranks": 8}}, "unknown key lora.ranks, did you mean lora.rank?"),
        ({"qwertz": 1}, "unknown key qwertz;"),
        ({"layers": "bottom:2"}, "layers: Value error, must be 'all' or 'top:N'"),
        ({"epochs": 0}, "epochs: Input should be greater than 0"),
        (None, "Input should be a valid dictionary"),
        (["epochs"], "Input should be a valid dictionary"),
    ],
)
def test_a_wrong_recipe_names_its_key_and_the_nearest_right_one(given: Any, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(given, where="recipe.yaml")
    assert words in str(caught.value).replace("\n", ";") and str(caught.value).startswith("recipe.yaml: ")
    known = words.partition(":")[0] in Recipe.model_fields
    assert ("keys are: " in str(caught.value.remedy)) is not known, "a right key with a wrong value needs its rule only"


def test_a_wrong_value_is_answered_with_its_own_key_s_rule() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({"epochs": "one"})
    assert caught.value.remedy == "epochs takes a number above 0"


def test_several_wrong_keys_are_all_named() -> None:
    with pytest.raises(RecipeError, match=r"epoch.*seeds"):
        Recipe.parse({"epoch": 1, "seeds": 2})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"reply": "label"}, "exactly one field, an enum"),
        ({"output": Two}, "exactly one string field"),
        ({"output": Two, "reply": "fountain"}, "exactly one string field"),
        ({"input": str}, "input must be a pydantic model"),
        ({"output": list[Text], "reply": "json"}, "output must be a pydantic model"),
        ({"name": "Ad Copy"}, "String should match pattern"),
        ({"prompts": {}}, "at least 1 item"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(fields: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        contract(**fields)


def test_a_type_without_a_schema_is_refused_by_name() -> None:
    class Camera: ...

    with pytest.raises(ContractError, match="the type Camera has no JSON Schema"):
        schema_of(Camera)


def test_a_value_that_misses_its_contract_is_reported_field_by_field_with_its_place() -> None:
    sample = Sample(
        task="a.b", input={"stars": "five"}, output={"text": "x"}, provenance=Provenance(source="c.csv", line=7)
    )
    with pytest.raises(ContractError) as caught:
        contract().check_sample(sample)
    message = str(caught.value)
    assert message.startswith("c.csv:7: input does not satisfy a.b") and "facts" in message and "stars" in message
    with pytest.raises(ContractError, match=r"a sample of task x\.y was given to a\.b"):
        contract().check_sample(sample.model_copy(update={"task": "x.y"}))


def test_modalities_and_labels_are_derived_and_a_recursive_type_ends() -> None:
    assert modalities_of(Node) == {Modality.TEXT}
    assert modalities_of(dict[str, list[int]]) == {Modality.TEXT}
    assert contract(output=Mood, reply="label").labels == ("warm", "dry")
    assert contract().text_field == "text" and contract(output=Two, reply="json").text_field is None


def test_the_prompt_s_language_is_the_requested_one_else_the_input_s_else_the_first() -> None:
    task = contract(prompts={"en": prompt("a"), "zh": prompt("b")})
    assert task.language_of({"language": "zh"}) == "zh"
    assert task.language_of({"language": "zh"}, "en") == "en"
    assert task.language_of({"language": "fr"}) == task.language_of({}) == "en"


def test_a_vertical_refers_only_to_its_own_tasks() -> None:
    with pytest.raises(ValidationError, match=r"must be named shop\.\*, not a\.b"):
        Vertical(name="shop", tasks=(contract(),))
    with pytest.raises(ValidationError, match=r"task named twice: a\.b"):
        Vertical(name="a", tasks=(contract(), contract()))
    with pytest.raises(ValidationError, match=r"no such task in a: recipe for a\.c"):
        Vertical(name="a", tasks=(contract(),), recipes={"a.c": Recipe()})
    with pytest.raises(UsageError, match=r"a has no task a\.c"):
        Vertical(name="a", tasks=(contract(),)).task("a.c")


def test_checks_are_found_by_contract_or_name_and_an_unknown_task_is_an_error() -> None:
    pair = ({"facts": "x"}, {"text": "y"})
    check = Check(name="short", tasks=("a.b",), run=lambda input, output: [], passing=pair, failing=pair)
    vertical = Vertical(name="a", tasks=(contract(), contract(name="a.other")), checks=(check,))
    assert vertical.checks_for(contract()) == vertical.checks_for("a.b") == (check,)
    assert vertical.checks_for("a.other") == ()
    for unknown in ("a.othr", contract(name="a.othr")):
        with pytest.raises(UsageError, match=r"a has no task a\.othr, did you mean a\.other\?"):
            vertical.checks_for(unknown)
        with pytest.raises(UsageError, match=r"did you mean a\.other\?"):
            vertical.adapters_for(unknown)


def test_a_verticals_name_selects_all_tasks_that_it_packages_samples_of() -> None:
    tasks = tuple(contract(name=f"a.{name}") for name in "bcd")
    packaged = {name: SampleSet(train=Path("t"), held_out=Path("h"), licence="CC0-1.0") for name in ("a.b", "a.d")}
    vertical = Vertical(name="a", tasks=tasks, recipes={"a": Recipe()}, samples=packaged)
    assert [task.name for task in vertical.tasks_of("a")] == ["a.b", "a.d"]
    assert [task.name for task in vertical.tasks_of("a.c")] == ["a.c"]
    with pytest.raises(UsageError, match="a packages no samples"):
        Vertical(name="a", tasks=tasks).tasks_of("a")


def test_the_samples_hash_counts_what_they_say_and_their_order_and_not_where_they_came_from() -> None:
    one, two = (Sample(task="a.b", input={"facts": x}, output={"text": x}) for x in "12")
    placed = one.model_copy(update={"provenance": Provenance(source="x", line=1)})
    assert samples_sha256([one, two]) == samples_sha256([placed, two]) != samples_sha256([two, one])


def test_the_nearest_name_is_found_by_its_last_part_too() -> None:
    assert did_you_mean("adcopy.descibe", ["adcopy.describe"]) == ", did you mean adcopy.describe?"
    assert did_you_mean("describe", ["adcopy.describe", "news.summary"]) == ", did you mean adcopy.describe?"
    assert did_you_mean("zzz", ["adcopy.describe"]) == ""


def test_every_error_has_an_exit_code_of_its_own_and_its_text_has_what_where_and_remedy() -> None:
    children = MetierError.__subclasses__()
    codes = [child.exit_code for child in children if child.__module__ == "metier.contracts.errors"]
    assert len(set(codes)) == len(codes) and min(codes) >= 2
    assert str(MetierError("it broke", where="a.csv:3", remedy="fix it")) == "a.csv:3: it broke\n  → fix it"


def test_a_mistyped_optional_field_gets_a_suggestion_and_a_foreign_one_is_accepted() -> None:
    class Draft(BaseModel):
        text: str
        max_chars: int | None = None

    task = contract(input=Draft)
    with pytest.raises(ContractError, match="there is no field max_char, did you mean max_chars"):
        task.check_input({"text": "a", "max_char": 9})
    assert task.check_input({"text": "a", "source_id": 7})
    closed = contract(input=type("Closed", (Draft,), {"model_config": {"extra": "forbid"}}))
    with pytest.raises(ContractError, match=r"'max_char' was unexpected.*did you mean max_chars"):
        closed.check_input({"text": "a", "max_char": 9})
    opened = contract(input=type("Opened", (Draft,), {"model_config": {"extra": "allow"}}))
    assert opened.check_input({"text": "a", "max_char": 9})
    words = contract(input={**schema_of(Draft), "additionalProperties": {"type": "integer"}})
    assert words.check_input({"text": "a", "max_char": 9})


def test_a_mistyped_reply_format_gets_a_suggestion_and_a_trade_s_own_is_accepted() -> None:
    with pytest.raises(ValidationError, match="there is no reply format 'jsn', did you mean json"):
        contract(reply="jsn")
    assert contract(reply=ReplyFormat(name="tex")).reply.name == "tex"
    assert contract(reply="fountain").reply.name == "fountain"


def test_recipes_and_samples_belong_to_the_tasks_that_their_files_are_named_after(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("epochs: 2\n", "utf-8")
    (tmp_path / "reply.yaml").write_text("epochs: 3\n", "utf-8")
    assert {name: recipe.epochs for name, recipe in recipes_in(tmp_path, "shop").items()} == {
        "shop": 2,
        "shop.reply": 3,
    }
    (tmp_path / "reply.train.jsonl").touch()
    with pytest.raises(PluginError, match=r"reply\.heldout\.jsonl"):
        samples_in(tmp_path, "shop", licence="CC0-1.0")
    (tmp_path / "reply.heldout.jsonl").touch()
    (found,) = samples_in(tmp_path, "shop", licence="CC0-1.0").items()
    assert (found[0], found[1].train.name) == ("shop.reply", "reply.train.jsonl")


def test_a_recipe_with_an_unknown_field_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "reply.yaml").write_text("epoch: 2\n", "utf-8")
    with pytest.raises(RecipeError, match=r"reply\.yaml"):
        recipes_in(tmp_path, "shop")


@given(st.sets(st.integers(1, 40), min_size=1))
def test_layers_that_are_written_are_read_again(numbers: set[int]) -> None:
    assert set(layers_named(layer_ranges(numbers), 40)) == numbers


@pytest.mark.parametrize(
    ("layers", "count", "named"),
    [("top:50%", 24, range(13, 25)), ("top:50%", 3, (3,)), ("top:1%", 2, (2,)), ("top:100%", 4, (1, 2, 3, 4))],
)
def test_a_share_of_the_layers_is_at_least_the_one_nearest_the_output(layers: str, count: int, named: Any) -> None:
    assert layers_named(Recipe(layers=layers).layers, count) == tuple(named)


@pytest.mark.parametrize("layers", ["top:0%", "top:101%", "top:%", "top:-5%", "top:05%"])
def test_a_share_of_the_layers_is_from_1_to_100(layers: str) -> None:
    with pytest.raises(RecipeError, match="top:N%"):
        Recipe.parse({"layers": layers}, where="recipe.yaml")
