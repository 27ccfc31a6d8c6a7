"""PEFT's LoRA as slot arrays: scaled as peft scales it, laid where slots want it, refused where none can hold it."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from metier.contracts import BundleError, UsageError
from metier.contracts.bundle import Slot, SlotPart
from metier.decoding.adapter_rows import AdapterRows
from metier.decoding.decoder import check_slots
from metier.decoding.lora import MAX_RANK, LoraArrays, fold_error, lay_out, read_folder, read_tensors

SLOTS = (
    Slot(
        a="qkv.A",
        b="qkv.B",
        in_features=6,
        out_features=10,
        parts=(
            SlotPart(module="m.q_proj", offset=0, width=5),
            SlotPart(module="m.k_proj", offset=5, width=2),
            SlotPart(module="m.v_proj", offset=7, width=3),
        ),
    ),
    Slot(a="o.A", b="o.B", in_features=5, out_features=6, parts=(SlotPart(module="m.o_proj", width=6),)),
    Slot(a="g.A", b="g.B", in_features=6, out_features=4, parts=(SlotPart(module="m.gate_up", width=4),)),
    Slot(a="u.A", b="u.B", in_features=6, out_features=4, parts=(SlotPart(module="m.gate_up", width=4, start=4),)),
)
SHAPES = {"m.q_proj": (6, 5), "m.k_proj": (6, 2), "m.v_proj": (6, 3), "m.o_proj": (5, 6), "m.gate_up": (6, 8)}


def tensors_of(ranks, seed=0):
    rng = np.random.default_rng(seed)
    found = {}
    for module, rank in ranks.items():
        ins, outs = SHAPES[module]
        found[f"base_model.model.{module}.lora_A.weight"] = rng.normal(size=(rank, ins)).astype(np.float32)
        found[f"base_model.model.{module}.lora_B.weight"] = rng.normal(size=(outs, rank)).astype(np.float32)
    return found


ranks = st.dictionaries(st.sampled_from(sorted(SHAPES)), st.integers(1, 5), min_size=1)


@given(ranks, st.integers(1, 32), st.booleans(), st.integers(0, 99))
def test_a_slot_gives_what_peft_gives_for_any_ranks_and_modules(ranks, alpha, rslora, seed):
    tensors = tensors_of(ranks, seed)
    config = {"r": 99, "rank_pattern": ranks, "lora_alpha": alpha, "use_rslora": rslora}
    modules = read_tensors(config, tensors)
    arrays = lay_out(modules, SLOTS)
    x = {5: np.ones((1, 5), np.float32), 6: np.arange(6, dtype=np.float32)[None]}
    for slot in SLOTS:
        if slot.a not in arrays.ranks:
            assert not any(part.module in ranks for part in slot.parts)
            continue
        y = x[slot.in_features] @ arrays.a[slot.a] @ arrays.b[slot.a]
        for part in slot.parts:
            ours = y[:, part.offset : part.offset + part.width]
            expected = np.zeros_like(ours)
            if part.module in ranks:
                a, b = (tensors[f"base_model.model.{part.module}.lora_{side}.weight"] for side in "AB")
                scale = alpha / (np.sqrt(len(a)) if rslora else len(a))
                expected = (scale * x[slot.in_features] @ a.T @ b.T)[:, part.start : part.start + part.width]
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-3)
    assert fold_error(arrays, modules, SLOTS) < 1e-3
    assert arrays.rank == max(ranks.values())


class Recorder:
    """Takes what an IO binding would be given, and reads the arrays back from their addresses."""

    def __init__(self):
        self.bound = {}

    def bind_input(self, name, device, index, dtype, shape, address):
        import ctypes

        count = int(np.prod(shape))
        kind = ctypes.c_float * count
        self.bound[name] = np.frombuffer(kind.from_address(address), np.float32).reshape(shape) if count else shape


IDLE = object()

moves = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.integers(0, 3), st.integers(-1, 4)),
        st.tuples(st.just("unload"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("move"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("run"), st.integers(1, 4), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(moves, st.booleans())
def test_the_bound_arrays_are_those_of_each_rows_active_adapter(moves, resident):
    kinds = [{"m.q_proj": 1}, {"m.q_proj": 3, "m.o_proj": 2}, {"m.v_proj": 5}, {"m.o_proj": 1}, {"m.gate_up": 2}]
    loras = [
        lay_out(read_tensors({"r": 9, "rank_pattern": kind, "lora_alpha": 4}, tensors_of(kind, seed)), SLOTS)
        for seed, kind in enumerate(kinds)
    ]
    rows = AdapterRows(SLOTS, 4, resident=resident)
    active = [IDLE] * 4
    bound = {}
    for action, first, second in [*moves, ("run", 4, 0)]:
        if action == "load":
            active[first] = None if second < 0 else loras[second]
            rows.load(first, active[first])
        elif action == "unload":
            active[first] = IDLE
            rows.unload(first)
        elif action == "move" and first != second:
            active[second], active[first] = active[first], IDLE
            rows.move(first, second)
        elif action == "run":
            count, start = min(first, 4 - second), second
            plan = rows.plan(start, count)
            if bound.get((start, count), (None, None))[0] != plan or plan[0] == "one":
                recorder = Recorder()
                rows.bind(recorder, plan, start, count)
                bound[start, count] = plan, recorder
            check(bound[start, count][1].bound, active[start : start + count])


def check(bound, active):
    x = {5: np.ones((1, 5), np.float32), 6: np.arange(6, dtype=np.float32)[None]}
    for slot in SLOTS:
        a, b = bound[slot.a], bound[slot.b]
        for row, lora in enumerate(active):
            if lora is IDLE:
                continue
            ours = np.zeros((1, slot.out_features), np.float32)
            if isinstance(a, np.ndarray):
                at = min(row, len(a) - 1)
                ours = x[slot.in_features] @ a[at] @ b[at]
            expected = np.zeros_like(ours)
            if isinstance(lora, LoraArrays) and slot.a in lora.ranks:
                expected = x[slot.in_features] @ lora.a[slot.a] @ lora.b[slot.a]
            np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"peft_type": "OFT"}, "its kind is OFT"),
        ({"peft_type": "IA3"}, "its kind is IA3"),
        ({"use_dora": True}, "DoRA"),
        ({"use_qalora": True}, "QA-LoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "trained biases"),
        ({"lora_bias": True}, "trained biases"),
        ({"target_parameters": ["experts.w1"]}, "bare parameters"),
        ({"trainable_token_indices": [3]}, "token embeddings"),
        ({"layer_replication": [[0, 2]]}, "replicates layers"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base's weights"),
        ({"r": 3}, "but its config says 3"),
    ],
)
def test_an_adapter_that_no_slot_can_hold_is_rejected_with_reason_and_remedy(config, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        lay_out(read_tensors({"r": 2, **config}, tensors_of({"m.q_proj": 2})), SLOTS)
    assert "metier export FOLDER --base BASE --task TASK" in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "no LoRA weights"),
        ({"base_model.model.m.embed.lora_embedding_A": np.zeros((2, 9), np.float32)}, "lora_embedding_A"),
        ({"base_model.model.m.q_proj.lora_A.weight": np.zeros((2, 6), np.float32)}, "one matrix lora_A and one lora_B"),
        ({"base_model.model.m.q_proj.lora_magnitude_vector": np.zeros(5, np.float32)}, "magnitude_vector"),
    ],
)
def test_tensors_other_than_plain_lora_are_named(tensors, reason):
    with pytest.raises(UsageError, match=reason):
        read_tensors({"r": 2}, tensors)


def test_modules_without_a_slot_and_wrong_shapes_are_named():
    a, b = np.zeros((2, 6), np.float32), np.zeros((5, 2), np.float32)
    head = read_tensors({"r": 2}, {"lm_head.lora_A.weight": a, "lm_head.lora_B.weight": b})
    with pytest.raises(UsageError, match="no slot for lm_head"):
        lay_out(head, SLOTS)
    wide = read_tensors({"r": 2}, {"m.q_proj.lora_A.weight": np.zeros((2, 7)), "m.q_proj.lora_B.weight": b})
    with pytest.raises(UsageError, match=r"7 to 5 features here and 6 to 5 .* another base"):
        lay_out(wide, SLOTS)


def test_ranks_above_the_bound_and_values_that_are_not_finite_are_rejected():
    rank = MAX_RANK + 1
    with pytest.raises(UsageError, match=f"rank {rank} is above {MAX_RANK}"):
        lay_out(read_tensors({"r": rank}, tensors_of({"m.q_proj": rank})), SLOTS)
    bad = tensors_of({"m.q_proj": 2})
    bad["base_model.model.m.q_proj.lora_B.weight"][0, 0] = np.nan
    with pytest.raises(UsageError, match="not finite"):
        lay_out(read_tensors({"r": 2}, bad), SLOTS)


def test_bfloat16_weights_read_as_torch_reads_them(tiny_loras, tmp_path):
    import torch
    from safetensors.torch import save_file as save_torch

    folder = shutil.copytree(tiny_loras["plain"], tmp_path / "half")
    file = folder / "adapter_model.safetensors"
    halves = {name: torch.tensor(value).bfloat16() for name, value in load_file(file).items()}
    save_torch(halves, file)
    for name, module in read_folder(folder).items():
        assert np.array_equal(module.a, halves[f"base_model.model.{name}.lora_A.weight"].float().numpy())


def test_damaged_folders_raise_an_error_with_the_reason(tiny_loras, tmp_path):
    folder = shutil.copytree(tiny_loras["plain"], tmp_path / "bad")
    (folder / "adapter_model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0garbage")
    with pytest.raises(UsageError, match="cannot be read"):
        read_folder(folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"no adapter_model\.safetensors"):
        read_folder(folder)


def test_half_precision_weights_are_scaled_in_float32(tmp_path):
    tensors = {k: v.astype(np.float16) for k, v in tensors_of({"m.o_proj": 3}).items()}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 3, "lora_alpha": 1}))
    modules = read_folder(tmp_path)
    assert fold_error(lay_out(modules, SLOTS), modules, SLOTS) < 1e-3


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ([], "not a JSON object"),
        ({"r": "2"}, "r is '2'"),
        ({"r": True}, "r is True"),
        ({"r": -2}, "r is -2"),
        ({"r": 1e9}, "r is 1000000000"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"lora_alpha": float("nan")}, "lora_alpha is nan"),
        ({"lora_alpha": float("inf")}, "lora_alpha is inf"),
        ({"lora_alpha": {"a": 1}}, "lora_alpha is {"),
        ({"rank_pattern": [1]}, "patterns for r are not an object"),
        ({"rank_pattern": {"q_proj": "2"}}, "r of q_proj is '2'"),
        ({"alpha_pattern": {"q_proj": [1]}}, "lora_alpha of q_proj is"),
        ({"alpha_pattern": {"q_proj(": 1}}, "not a regular expression"),
        ({"alpha_pattern": {f"m{i}": 1 for i in range(5000)}}, "at most 4096"),
    ],
)
def test_configuration_values_of_the_wrong_type_or_size_are_a_bundle_error(config, reason):
    with pytest.raises(BundleError, match=reason):
        read_tensors(config if isinstance(config, list) else {"r": 2, **config}, tensors_of({"m.q_proj": 2}), "here")


@pytest.mark.parametrize(
    "changes",
    [
        {"in_features": 0},
        {"in_features": -6},
        {"out_features": 0},
        {"out_features": 9},
        {"in_features": 10**12},
        {"parts": [{"module": "m.q_proj", "offset": 6, "width": 5}]},
        {"parts": [{"module": "m.q_proj", "offset": -1, "width": 5}]},
        {"parts": []},
    ],
)
def test_slot_numbers_outside_the_projection_are_invalid(changes):
    with pytest.raises(ValidationError):
        Slot.model_validate({**SLOTS[0].model_dump(), **changes})


def test_slots_that_the_graph_does_not_have_are_found_when_the_bundle_is_opened():
    class Session:
        def __init__(self, shapes):
            self._inputs = [SimpleNamespace(name=name, shape=shape) for name, shape in shapes.items()]

        def get_inputs(self):
            return self._inputs

        def get_overridable_initializers(self):
            return []

    shapes = {"o.A": ["rows", 5, "rank"], "o.B": ["rows", "rank", 6]}
    check_slots(Session(shapes), SLOTS[1:2])
    with pytest.raises(BundleError, match=r"o\.A has 5 features in bundle\.json, but the graph has no such input"):
        check_slots(Session({}), SLOTS[1:2])
    with pytest.raises(BundleError, match=r"o\.B has 6 features in bundle\.json, but the graph takes"):
        check_slots(Session({**shapes, "o.B": ["rows", "rank", 7]}), SLOTS[1:2])
