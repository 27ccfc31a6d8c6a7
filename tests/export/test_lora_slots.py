"""LoRA slots in graphs of many forms: unbound they change no bit, bound they compute what peft computes."""

import shutil
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

from metier.contracts import ExportError
from metier.contracts.bundle import Graph
from metier.decoding.decoder import Decoder
from metier.decoding.device import open_session
from metier.decoding.lora import lay_out, read_folder
from metier.export.decoder_graph import build_graph, silence
from metier.export.lora_slots import INPUTS_FILE, add_slots, linear_shapes, write_inputs_variant

IDS = np.array([5, 9, 33, 120, 7, 64, 200], np.int64)

GEMMA3_LAYERS = ["sliding_attention", "full_attention"]
ARCHITECTURES = {
    "llama": ("LlamaConfig", {}),
    "llama-biased": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True}),
    "qwen2-qkv-bias": ("Qwen2Config", {}),
    "qwen3-unfused-qkv": ("Qwen3Config", {"head_dim": 16}),
    "phi3-fused-in-torch": ("Phi3Config", {"original_max_position_embeddings": 128}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
    "gemma3": ("Gemma3TextConfig", {"head_dim": 16, "sliding_window": 4, "layer_types": GEMMA3_LAYERS}),
}


@pytest.fixture
def random_base(tmp_path, tiny_base):
    return lambda kind: make_random_base(tmp_path / "base", kind, tiny_base)


def make_random_base(folder, kind, tiny_base):
    """A tiny random model of that architecture, biases included."""
    import torch
    import transformers

    name, extra = ARCHITECTURES[kind]
    config = getattr(transformers, name)(
        vocab_size=256, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=2, pad_token_id=0,
        initializer_range=0.2, **extra,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value, std=0.5)
    with silence():
        model.save_pretrained(folder)
    for file in tiny_base.glob("token*.json"):
        shutil.copy(file, folder)
    return folder


def with_lora(base, folder):
    """(PEFT folder with ranks that differ by module, logits of peft at every position)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules="all-linear", init_lora_weights=False, rank_pattern={"o_proj": 2}
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).eval()
    model.save_pretrained(folder)
    with torch.inference_mode():
        return folder, model(torch.tensor(IDS[None])).logits[0].numpy()


def slotted(base, out, precision, target="cpu", *, fused=False):
    """What the builder wrote, and its slots; plain.onnx is the graph before them."""
    from metier.export import decoder_graph as module

    out.mkdir()
    builder = module._builder()

    def create(*args, **options):
        builder.create_model(*args, **options, fuse_mlp_gate_up=fused)

    with pytest.MonkeyPatch.context() as patch:
        names = {"parse_extra_options": builder.parse_extra_options, "get_hf_details": builder.get_hf_details}
        patch.setattr(module, "_builder", lambda: SimpleNamespace(**names, create_model=create))
        graph = build_graph(base, out, precision, target)
    shutil.copyfile(out / "model.onnx", out / "plain.onnx")
    return graph, add_slots(out / "model.onnx", linear_shapes(base))


def logits(file, graph: Graph, slots=(), lora=None):
    """Of the last position, after a chunk and single steps."""
    decoder = Decoder(open_session(file, "cpu"), graph, rows=1, max_len=32, slots=slots)
    decoder.adapters.load(0, lora)
    decoder.prefill(0, IDS[:4])
    found = [decoder.logits(0).copy()]
    for token in IDS[4:]:
        decoder.step(np.array([token]))
        found.append(decoder.logits(0).copy())
    return np.stack(found)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_computes_peft_s_logits_and_its_own_without_an_adapter(tmp_path, random_base, kind):
    base = random_base(kind)
    folder, expected = with_lora(base, tmp_path / "lora")
    graph, slots = slotted(base, tmp_path / "out", "fp32")
    assert np.array_equal(logits(tmp_path / "out/plain.onnx", graph), logits(tmp_path / "out/model.onnx", graph, slots))
    lora = lay_out(read_folder(folder), slots)
    assert {part.module for slot in slots for part in slot.parts} == set(read_folder(folder))
    found = logits(tmp_path / "out/model.onnx", graph, slots, lora)
    assert np.abs(found - expected[3:, : found.shape[1]]).max() < 2e-3
    assert np.abs(found - logits(tmp_path / "out/plain.onnx", graph)).max() > 0.1


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("precision", "target"),
    [("fp32", "cpu"), ("fp16", "cpu"), ("int8", "cpu"), ("int4", "cpu"), ("fp16", "cuda"), ("int4", "cuda")],
)
def test_every_precision_target_and_fusion_takes_slots(tmp_path, random_base, precision, target, fused):
    base = random_base("llama-biased")
    folder, expected = with_lora(base, tmp_path / "lora")
    graph, slots = slotted(base, tmp_path / "out", precision, target, fused=fused)
    plain, empty = (logits(tmp_path / f"out/{name}.onnx", graph, s) for name, s in (("plain", ()), ("model", slots)))
    assert np.array_equal(plain, empty)
    assert {slot.dtype for slot in slots} == {"float32" if target == "cpu" and precision != "fp16" else "float16"}
    found = logits(tmp_path / "out/model.onnx", graph, slots, lay_out(read_folder(folder), slots))
    change, error = expected[3:, : found.shape[1]] - plain, found - expected[3:, : found.shape[1]]
    bound = {"fp32": 1e-3, "fp16": 0.02, "int8": 0.1, "int4": 0.75}[precision]
    assert np.linalg.norm(error) < bound * np.linalg.norm(change)


def test_the_inputs_variant_needs_its_slots_shares_the_weights_and_computes_the_same(tmp_path, random_base):
    base = random_base("llama")
    graph, slots = slotted(base, tmp_path / "out", "fp32")
    weights = tmp_path / "out/model.onnx.data"
    before = weights.stat().st_mtime_ns
    variant = write_inputs_variant(tmp_path / "out/model.onnx", slots)
    assert variant.name == INPUTS_FILE and weights.stat().st_mtime_ns == before
    assert variant.stat().st_size < 300_000
    session = ort.InferenceSession(str(variant), providers=["CPUExecutionProvider"])
    assert not session.get_overridable_initializers()
    feeds = {"input_ids": IDS[None], "attention_mask": np.ones((1, len(IDS)), np.int64)}
    for layer in range(2):
        for name in (graph.past_key, graph.past_value):
            feeds[name % layer] = np.zeros((1, 2, 0, 16), np.float32)
    with pytest.raises(ValueError, match="missing"):
        session.run(["logits"], feeds)
    for slot in slots:
        feeds[slot.a] = np.zeros((1, slot.in_features, len(slot.parts)), np.float32)
        feeds[slot.b] = np.zeros((1, len(slot.parts), slot.out_features), np.float32)
    found = session.run(["logits"], feeds)[0][0, -1]
    assert np.abs(found - logits(tmp_path / "out/plain.onnx", graph)[-1]).max() < 1e-4


def test_modules_that_do_not_fit_the_graph_are_named(tmp_path, random_base):
    base = random_base("llama")
    (tmp_path / "out").mkdir()
    build_graph(base, tmp_path / "out", "fp32", "cpu")
    shapes = linear_shapes(base)
    model = tmp_path / "out/model.onnx"
    before = model.read_bytes()
    with pytest.raises(ExportError, match=r"qkv_proj.*are not"):
        add_slots(model, {**shapes, "model.layers.0.self_attn.k_proj": (64, 64)})
    with pytest.raises(ExportError, match="no module for"):
        add_slots(model, {name: shape for name, shape in shapes.items() if "down_proj" not in name})
    assert model.read_bytes() == before
