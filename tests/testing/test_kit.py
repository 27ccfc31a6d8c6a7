"""The conformance kit finds each fault by the check that is named for it, and its message states what to change."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from metier.contracts import BadRow, DataError, Finding, Lora, Recipe, Sample, Vertical, prompt
from metier.testing import ConformanceError, check_vertical, vertical_checks


def failing(vertical: Vertical) -> dict[str, list[str]]:
    """Names of the checks that fail, with what they say; those that a failing one blocks left out."""
    return {c.name: c.complaints() for c in vertical_checks(vertical) if not c.blocked_by() and c.complaints()}


def test_a_trade_that_conforms_passes_every_check(trade: Any) -> None:
    check_vertical(trade.vertical())
    assert failing(trade.vertical()) == {}


# -- contracts ---------------------------------------------------------------------------------------------------


def a_schema_of_python_objects(trade: Any) -> None:
    trade.task["input"] = {"type": "object", "properties": {"flower": {"type": "string", "examples": {"rose"}}}}
    plain(trade)


def a_schema_with_a_tuple(trade: Any) -> None:
    trade.task["input"] = {"type": "object", "properties": {"flower": {"enum": ("rose", "lily")}}}
    plain(trade)


def a_schema_that_is_none(trade: Any) -> None:
    trade.task["input"] = {"type": "object", "properties": {"flower": {"type": "text"}}}
    plain(trade)


def a_dangling_reference(trade: Any) -> None:
    trade.task["input"] = {"type": "object", "properties": {"flower": {"$ref": "#/$defs/Flower"}}}
    plain(trade)


def plain(trade: Any) -> None:
    """Fine-tunes carry the same contract on their card, which cannot be written any more."""
    trade.vertical_fields["fine_tunes"] = ()
    trade._fine_tune = lambda task: None


def another_sdk(trade: Any) -> None:
    trade.vertical_fields["sdk"] = ">=99"


def a_misspelt_sdk(trade: Any) -> None:
    trade.vertical_fields["sdk"] = "newest"


def a_misspelt_field_in_one_language(trade: Any) -> None:
    trade.task["prompts"]["zh"] = prompt("{{ flower }} {{ ocasion }}")


def a_template_that_does_not_parse(trade: Any) -> None:
    trade.task["prompts"]["en"] = prompt("{{ flower }} {% if occasion %}{{ occasion }}")


def a_prompt_that_needs_an_optional_field(trade: Any) -> None:
    trade.task["prompts"]["en"] = prompt("{{ language.upper() }} {{ flower }} {{ occasion }}")


def a_prompt_that_ends_with_the_model(trade: Any) -> None:
    turns = [*prompt("{{ flower }} {{ occasion }}").turns, {"role": "assistant", "content": "Dear"}]
    trade.task["prompts"]["en"] = {"turns": turns}


def a_prompt_that_ignores_a_required_field(trade: Any) -> None:
    trade.task["prompts"]["zh"] = prompt("{{ flower }}")


def a_recipe_that_was_never_validated(trade: Any) -> None:
    trade.vertical_fields["recipes"] = {"florist.card": Recipe.model_construct(layers="bottom:3")}


def a_recipe_without_room(trade: Any) -> None:
    trade.recipe = trade.recipe.model_copy(update={"max_length": 64})


def a_recipe_that_adapts_nothing(trade: Any) -> None:
    trade.recipe = trade.recipe.model_copy(update={"lora": Lora(rank=4, alpha=8, targets=())})


# -- samples -----------------------------------------------------------------------------------------------------


def a_sample_without_a_field(trade: Any) -> None:
    del trade.train[2]["input"]["occasion"]


def a_sample_of_another_output(trade: Any) -> None:
    trade.held_out[0]["output"] = {"title": "x"}


def an_unknown_key_in_a_row(trade: Any) -> None:
    trade.train[0]["answer"] = "x"


def no_held_out_samples(trade: Any) -> None:
    trade.held_out = []


def a_held_out_sample_that_is_trained_on(trade: Any) -> None:
    trade.held_out[1]["input"] = trade.train[0]["input"]


def a_held_out_sample_that_is_nearly_trained_on(trade: Any) -> None:
    trade.train[0]["output"]["text"] = long = "A rose says for a wedding in June what words take an afternoon over." * 3
    trade.held_out[1] = {
        "input": {**trade.train[0]["input"], "occasion": "a wedding in july"},
        "output": {"text": long},
    }


def an_output_with_blanks_around(trade: Any) -> None:
    trade.train[1]["output"]["text"] += "\n"


def a_grammar_that_does_not_compile(trade: Any) -> None:
    trade.task["reply"] = {"name": "card", "grammar": "start: nothing"}


def a_grammar_that_refuses_the_samples(trade: Any) -> None:
    trade.task["reply"] = {"name": "card", "grammar": 'start: "Dear " /.*/'}


# -- data adapters -----------------------------------------------------------------------------------------------


def an_example_that_is_missing(trade: Any) -> None:
    trade.adapter.example = trade.folder / "gone.csv"


def an_adapter_that_does_not_accept_its_example(trade: Any) -> None:
    trade.adapter.changed["accepts"] = lambda path: False


def an_adapter_that_raises_on_a_missing_file(trade: Any) -> None:
    trade.adapter.changed["accepts"] = lambda path: bool(path.read_text())


def an_adapter_that_gives_wrong_samples(trade: Any) -> None:
    def read(path: Path) -> Any:
        for row in trade.adapter.rows(path):
            yield row.model_copy(update={"output": {}}) if isinstance(row, Sample) else row

    trade.adapter.changed["read"] = read


def an_adapter_that_returns_a_list(trade: Any) -> None:
    trade.adapter.changed["read"] = lambda path: list(trade.adapter.rows(path))


def an_adapter_that_opens_at_once(trade: Any) -> None:
    def read(path: Path) -> Any:
        path.open().close()
        return trade.adapter.rows(path)

    trade.adapter.changed["read"] = read


def an_adapter_that_reads_ahead(trade: Any) -> None:
    def read(path: Path) -> Any:
        yield from list(trade.adapter.rows(path))

    trade.adapter.changed["read"] = read


def an_adapter_that_counts_from_zero(trade: Any) -> None:
    trade.adapter.changed["read"] = lambda path: trade.adapter.rows(path, shift=-1)


def an_adapter_that_forgets_the_row(trade: Any) -> None:
    def read(path: Path) -> Any:
        for row in trade.adapter.rows(path):
            yield row.model_copy(update={"provenance": None}) if isinstance(row, Sample) else row

    trade.adapter.changed["read"] = read


def an_adapter_that_names_another_file(trade: Any) -> None:
    def read(path: Path) -> Any:
        for row in trade.adapter.rows(path):
            yield row.model_copy(update={"provenance": row.provenance.model_copy(update={"source": "input"})})

    trade.adapter.changed["read"] = read


def an_adapter_that_trips_over_garbage(trade: Any) -> None:
    def read(path: Path) -> Any:
        if path.is_file():
            path.read_text(encoding="utf-8")
        yield from trade.adapter.rows(path)

    trade.adapter.changed["read"] = read


def an_adapter_whose_error_names_no_file(trade: Any) -> None:
    def read(path: Path) -> Any:
        try:
            yield from trade.adapter.rows(path)
        except DataError as error:
            raise DataError(error.what) from error

    trade.adapter.changed["read"] = read


def an_adapter_that_needs_its_suffix(trade: Any) -> None:
    def read(path: Path) -> Any:
        yield from {".csv": trade.adapter.rows}[path.suffix](path)

    trade.adapter.changed["read"] = read


def an_adapter_that_reads_a_missing_file_as_empty(trade: Any) -> None:
    def read(path: Path) -> Any:
        if path.is_file():
            yield from trade.adapter.rows(path)

    trade.adapter.changed["read"] = read


def an_adapter_that_takes_the_example_of_another(trade: Any) -> None:
    other = trade.folder / "other.csv"
    other.write_bytes(trade.adapter.example.read_bytes())
    trade.vertical_fields["data_adapters"] = (replace(trade.adapter, example=other, name="greedy"), trade.adapter)


# -- fine-tunes --------------------------------------------------------------------------------------------------


def weights_of_another_hash(trade: Any) -> None:
    trade.card["weights_sha256"] = "0" * 64


def a_config_of_another_base(trade: Any) -> None:
    trade.config["base_model_name_or_path"] = "gpt2"


def a_card_of_another_base(trade: Any) -> None:
    trade.card["base"] = trade.card["base"].model_copy(update={"id": "smollm2-360m"})


def a_config_of_another_rank(trade: Any) -> None:
    trade.config["r"] = 8


def tensors_of_another_rank(trade: Any) -> None:
    name = next(name for name in trade.tensors if "lora_B" in name)
    trade.tensors[name] = numpy.zeros((32, 8), numpy.float32)


def a_layer_of_another_width(trade: Any) -> None:
    name = next(name for name in trade.tensors if "lora_A" in name)
    trade.tensors[name] = numpy.zeros((4, 17), numpy.float32)


def half_a_pair(trade: Any) -> None:
    del trade.tensors[next(name for name in trade.tensors if "lora_A" in name)]


def a_prompt_changed_since_training(trade: Any) -> None:
    from metier.contracts import TaskContract

    old = TaskContract(**{**trade.task, "prompts": {"en": prompt("{{ flower }}")}})
    trade.card["tasks"] = (old,)


# -- checks ------------------------------------------------------------------------------------------------------


def a_check_that_never_fails(trade: Any) -> None:
    trade.check["run"] = lambda order, card: []


def a_check_that_rejects_its_own_passing_example(trade: Any) -> None:
    trade.check["run"] = lambda order, card: [Finding(message="no")]


def a_check_that_raises(trade: Any) -> None:
    trade.check["run"] = lambda order, card: [Finding(message=card["title"])]


def a_check_that_returns_a_bool(trade: Any) -> None:
    trade.check["run"] = lambda order, card: order["flower"] in card["text"]


def a_check_whose_example_is_no_pair(trade: Any) -> None:
    trade.check["passing"] = ({"flower": "rose"}, {"text": "A rose."})


def a_check_that_changes_its_input(trade: Any) -> None:
    def run(order: Any, card: Any) -> list[Finding]:
        wrong = card["text"] == "Flowers."
        order.pop("occasion")
        return [Finding(message="the flower is not named")] if wrong else []

    trade.check["run"] = run


def a_check_that_trips_over_a_text(trade: Any) -> None:
    def run(order: Any, card: Any) -> list[Finding]:
        card["text"].index("e")
        return [] if order["flower"] in card["text"].lower() else [Finding(message="the flower is not named")]

    trade.check["run"] = run


def a_check_with_an_empty_message(trade: Any) -> None:
    trade.check["run"] = lambda order, card: [] if order["flower"] in card["text"].lower() else [Finding(message=" ")]


pytest_plugins = ["pytester"]

FAULTS = [
    (another_sdk, "sdk_version_fits", "leaves out this Metier"),
    (a_misspelt_sdk, "sdk_version_fits", "PEP 440"),
    (a_schema_of_python_objects, "contracts_serialise", "pass a pydantic model"),
    (a_schema_with_a_tuple, "contracts_serialise", "lists instead of tuples"),
    (a_schema_that_is_none, "contracts_serialise", "is not valid JSON Schema"),
    (a_dangling_reference, "contracts_serialise", "$defs"),
    (a_misspelt_field_in_one_language, "prompts_render", "'ocasion' is undefined"),
    (a_template_that_does_not_parse, "prompts_render", "correct the template"),
    (a_prompt_that_needs_an_optional_field, "prompts_render", "without its optional fields"),
    (a_prompt_that_ends_with_the_model, "prompts_render", "let the last turn be the user's"),
    (a_prompt_that_ignores_a_required_field, "prompts_use_required_fields", "use {{ occasion }}"),
    (a_recipe_that_was_never_validated, "recipes_hold", "'top:N'"),
    (a_recipe_without_room, "recipes_hold", "raise max_length"),
    (a_recipe_that_adapts_nothing, "recipes_hold", "lora.targets"),
    (a_sample_without_a_field, "samples_satisfy_contracts", "train.jsonl:3"),
    (a_sample_of_another_output, "samples_satisfy_contracts", "held_out.jsonl:1"),
    (an_unknown_key_in_a_row, "samples_satisfy_contracts", "answer"),
    (no_held_out_samples, "samples_satisfy_contracts", "has no samples"),
    (a_held_out_sample_that_is_trained_on, "held_out_is_apart", "held_out.jsonl:2 is nearly the same as train.jsonl:1"),
    (a_held_out_sample_that_is_nearly_trained_on, "held_out_is_apart", "replace it"),
    (an_output_with_blanks_around, "replies_round_trip", "train.jsonl:2"),
    (a_grammar_that_does_not_compile, "replies_round_trip", "does not compile"),
    (a_grammar_that_refuses_the_samples, "replies_round_trip", "widen the grammar"),
    (an_example_that_is_missing, "adapters_read_their_example", "package a small file"),
    (an_adapter_that_does_not_accept_its_example, "adapters_read_their_example", "return True there"),
    (an_adapter_that_raises_on_a_missing_file, "adapters_read_their_example", "return False instead"),
    (an_adapter_that_gives_wrong_samples, "adapters_read_their_example", "BadRow"),
    (an_adapter_that_returns_a_list, "adapters_are_lazy", "with yield"),
    (an_adapter_that_opens_at_once, "adapters_are_lazy", "open it inside the generator"),
    (an_adapter_that_reads_ahead, "adapters_are_lazy", "row by row"),
    (an_adapter_that_counts_from_zero, "adapters_keep_the_row", "count from 1"),
    (an_adapter_that_forgets_the_row, "adapters_keep_the_row", "provenance"),
    (an_adapter_that_names_another_file, "adapters_keep_the_row", "as source"),
    (an_adapter_that_trips_over_garbage, "adapters_survive_garbage", "UnicodeDecodeError"),
    (an_adapter_whose_error_names_no_file, "adapters_survive_damaged_files", "does not name the file"),
    (an_adapter_that_needs_its_suffix, "adapters_survive_another_suffix", "KeyError"),
    (an_adapter_that_reads_a_missing_file_as_empty, "adapters_refuse_missing_files", "raise DataError"),
    (an_adapter_that_takes_the_example_of_another, "adapters_claim_their_example", "accepted by greedy"),
    (weights_of_another_hash, "fine_tunes_match", "of one run"),
    (a_config_of_another_base, "fine_tunes_match", "gpt2"),
    (a_card_of_another_base, "fine_tunes_match", "smollm2-360m"),
    (a_config_of_another_rank, "fine_tunes_match", "has r 8"),
    (tensors_of_another_rank, "fine_tunes_match", "rank 4"),
    (a_layer_of_another_width, "fine_tunes_match", "other layers"),
    (half_a_pair, "fine_tunes_match", "only lora_B"),
    (a_prompt_changed_since_training, "fine_tunes_match", "adapt again"),
    (a_check_that_never_fails, "checks_match_their_examples", "never fails"),
    (a_check_that_rejects_its_own_passing_example, "checks_match_their_examples", "rejects its own"),
    (a_check_that_raises, "checks_match_their_examples", "KeyError"),
    (a_check_that_returns_a_bool, "checks_match_their_examples", "return a list of Finding"),
    (a_check_whose_example_is_no_pair, "checks_match_their_examples", "occasion"),
    (a_check_that_trips_over_a_text, "checks_answer_any_text", "ValueError"),
    (a_check_with_an_empty_message, "checks_answer_any_text", "no message"),
    (a_check_that_changes_its_input, "checks_match_their_examples", "work on a copy"),
]


@pytest.mark.parametrize(("fault", "name", "words"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_a_fault_is_found_by_the_check_that_is_named_for_it_and_no_other(
    trade: Any, fault: Any, name: str, words: str
) -> None:
    fault(trade)
    found = failing(trade.vertical())
    assert list(found) == [name], found
    assert any(words in line for line in found[name]), found[name]


def test_every_named_check_is_tried_with_a_fault(trade: Any) -> None:
    assert {check.name for check in vertical_checks(trade.vertical())} == {name for _, name, _ in FAULTS}


def test_one_error_lists_every_fault_with_its_check(trade: Any) -> None:
    a_check_that_never_fails(trade)
    a_sample_without_a_field(trade)
    another_sdk(trade)
    with pytest.raises(ConformanceError) as caught:
        check_vertical(trade.vertical())
    message = str(caught.value)
    assert "vertical florist" in message and "3 things to change" in message
    assert "sdk_version_fits" in message and "samples_satisfy_contracts" in message and "never fails" in message


def test_a_check_that_needs_a_failing_one_is_blocked_and_not_repeated(trade: Any) -> None:
    a_schema_of_python_objects(trade)
    blocked = {c.name: c.blocked_by() for c in vertical_checks(trade.vertical())}
    assert blocked["prompts_render"] == "contracts_serialise" and blocked["contracts_serialise"] is None


def test_a_trade_without_samples_has_its_prompts_tried_on_an_input_built_from_the_schema(trade: Any) -> None:
    a_misspelt_field_in_one_language(trade)
    trade.vertical_fields["samples"] = {}
    assert "an input made from the schema" in failing(trade.vertical())["prompts_render"][0]


def test_an_adapter_whose_rows_span_lines_is_not_accused_of_reading_ahead(trade: Any) -> None:
    """A JSON array cannot grow at its end, so that only what can be known of it is checked."""
    trade.adapter.example = trade.folder / "orders.json"
    rows = [{"flower": f, "occasion": "spring", "text": f"A {f}."} for f in ("rose", "lily")]
    trade.adapter.example.write_text(json.dumps(rows, indent=1))

    def read(path: Path) -> Any:
        from metier.contracts import Provenance

        try:
            items = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(str(error), where=path.name) from error
        for line, row in enumerate(items if isinstance(items, list) else [items], 1):
            place = Provenance(source=path.name, line=line)
            if not isinstance(row, dict) or set(row) != set(rows[0]) or {type(v) for v in row.values()} != {str}:
                yield BadRow(provenance=place, reason="an order has flower, occasion and text")
            else:
                text = {"text": row.pop("text")}
                yield Sample(task="florist.card", input=row, output=text, provenance=place)

    trade.adapter.changed.update(read=read, accepts=lambda path: path.suffix == ".json" and path.is_file())
    assert failing(trade.vertical()) == {}


def test_a_plugin_is_checked_from_pytest_in_one_line(trade: Any, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from pydantic import BaseModel
        from metier import TaskContract, Vertical, prompt
        from metier.testing import conformance_test

        class Word(BaseModel):
            text: str

        task = TaskContract(name="echo.say", kind="generate", input=Word, output=Word, prompts={"en": prompt("Hi")})
        test_conformance = conformance_test(Vertical(name="echo", tasks=(task,)))
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=len(FAULT_NAMES) - 1, failed=1)
    result.stdout.fnmatch_lines(["*use {{ text }} in it*"])


FAULT_NAMES = {name for _, name, _ in FAULTS}
