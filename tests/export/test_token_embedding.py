"""The token embedding in 8 bits: its size, its error, and one matrix with the output head where the two are tied."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from metier.export.decoder_graph import FILE, build_graph
from metier.export.token_embedding import quantise_embedding

VOCABULARY, WIDTH = 512, 128


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model(request, tmp_path_factory):
    """A random decoder's Hugging Face folder, and whether its two embeddings are one matrix."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=request.param,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder, request.param


def _logits(folder):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])
    feed = {"input_ids": np.arange(0, 500, 25)[None], "attention_mask": np.ones((1, 20), np.int64)}
    past = {i.name: np.zeros((1, 2, 0, WIDTH // 4), np.float32) for i in session.get_inputs() if "past" in i.name}
    return session.run(["logits"], feed | past)[0][0, -1]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_embedding_takes_a_quarter_of_its_bytes_and_the_logits_stay(model, precision, tmp_path):
    source, tied = model
    plain, small = tmp_path / "plain", tmp_path / "small"
    plain.mkdir()
    build_graph(source, plain, precision, "cpu")
    shutil.copytree(plain, small)

    assert quantise_embedding(small, FILE)

    before, after = ((f / f"{FILE}.data").stat().st_size for f in (plain, small))
    saved, full = before - after, 4 * VOCABULARY * WIDTH
    shares_the_head = tied and precision == "int8"
    expected = full if shares_the_head else full - VOCABULARY * WIDTH - 4 * VOCABULARY * WIDTH // 64
    assert abs(saved - expected) < 0.02 * full
    one, other = _logits(plain), _logits(small)
    cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert cosine > 0.999


def test_rows_are_looked_up_to_half_a_step_of_their_block(model, tmp_path):
    import onnx
    from onnx import numpy_helper

    source, tied = model
    if tied:
        pytest.skip("a tied embedding is the output head's codes, which the builder rounds")
    build_graph(source, tmp_path, "int8", "cpu")
    before = {i.name: numpy_helper.to_array(i) for i in onnx.load(tmp_path / FILE).graph.initializer}
    quantise_embedding(tmp_path, FILE)
    after = {i.name: numpy_helper.to_array(i) for i in onnx.load(tmp_path / FILE).graph.initializer}
    table = before["model.embed_tokens.weight"].reshape(VOCABULARY, -1, 64)
    codes, scales = after["model.embed_tokens.weight_Q8"], after["model.embed_tokens.weight_scales"]
    assert np.all(np.abs((codes.astype(np.float32) - 128) * scales - table) <= scales / 2 * 1.0001)


def test_a_graph_in_floating_point_is_left_as_it_is_once_its_embedding_is_replaced(model, tmp_path):
    build_graph(model[0], tmp_path, "int8", "cpu")
    assert quantise_embedding(tmp_path, FILE)
    assert not quantise_embedding(tmp_path, FILE)


def test_rows_of_zeros_stay_zeros(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.random.default_rng(0).normal(size=(6, 48)).astype(np.float32)  # 48: blocks of 16
    table[2] = 0
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["found"])],
        "lookup",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["rows", "tokens", 48])],
        [numpy_helper.from_array(table, "table")],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / FILE)
    assert quantise_embedding(tmp_path, FILE)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / FILE), providers=["CPUExecutionProvider"])
    found = session.run(None, {"input_ids": np.array([[2, 5, 0]])})[0]
    assert found.shape == (1, 3, 48)
    assert not found[0, 0].any()
    assert np.abs(found[0, 1:] - table[[5, 0]]).max() <= np.abs(table).max() / 127 / 2 * 1.0001
