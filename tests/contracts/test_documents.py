"""Documents of another schema version, missing ones and damaged ones each give one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metier.contracts import Base, DataError, PluginError, Recipe, RecipeError
from metier.contracts.documents import read_document


def test_a_document_of_the_current_schema_version_is_read(tmp_path: Path) -> None:
    base = Base(id="tiny", model_class="LlamaForCausalLM", context_length=512)
    (tmp_path / "base.json").write_text(base.model_dump_json())
    assert read_document(Base, tmp_path / "base.json", remedy="pull it again") == base


def test_an_older_document_is_refused_with_its_file_its_version_and_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    older = {"schema_version": "1", "id": "tiny", "architecture": "LlamaForCausalLM", "generative": True}
    file.write_text(json.dumps(older))
    with pytest.raises(PluginError) as caught:
        read_document(Base, file, remedy="adapt again", error=PluginError, name="the card")
    assert str(caught.value) == (
        f"{file}: the card was written by schema version 1; this Metier reads 2\n  → adapt again"
    )


def test_a_missing_and_a_damaged_document_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"base\.json: the file cannot be read: No such file"):
        read_document(Base, tmp_path / "base.json", remedy="adapt again")
    (tmp_path / "base.json").write_text('{"id": 3}')
    with pytest.raises(DataError, match=r"the file is not valid: id: Input should be a valid string"):
        read_document(Base, tmp_path / "base.json", remedy="adapt again")


def test_the_error_for_an_older_recipe_names_the_key_to_rename() -> None:
    with pytest.raises(RecipeError, match=r"written by schema version 1(.|\n)*rename its key `way` to `produces`"):
        Recipe.parse({"schema_version": "1", "way": "head"}, where="recipe.yaml")
