"""What a model looked at: figures against transformers' own attention and finite differences, words, and the page."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from metier.bases import load_finetune, resolve
from metier.contracts import UsageError
from metier.explain import Word, explain, input_attribution, render_page, rollout, words_of
from metier.explain.attention import reply_attention, token_attention
from metier.explain.models import text_model
from metier.explain.words import token_roles

FACTS = "name[Alimentum], price[cheap]"


@pytest.fixture(scope="module")
def finetune(tiny_finetune):
    return load_finetune(tiny_finetune.path)


@pytest.fixture(scope="module")
def model(finetune):
    return text_model(finetune.card.tasks[0], resolve(finetune.card.base.id), finetune)


@pytest.fixture(scope="module")
def explained(model, finetune):
    field = next(iter(model.task.input["properties"]))
    return explain(model.model, model.tokenizer, model.task, {field: FACTS}, reply="A cheap 杯子 place.", title="tiny")


def ids_of(model, explained):
    """Token ids of prompt and reply, as transformers' own model gets them."""
    from metier.prompting.prompt import prompt_ids

    field = next(iter(model.task.input["properties"]))
    prompt = prompt_ids(model.tokenizer, model.task, {field: FACTS})
    return [*prompt, *model.tokenizer.encode("A cheap 杯子 place.")]


def test_attention_is_transformers_own_of_a_peft_model(model, finetune, explained):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(resolve(finetune.card.base.id).path, attn_implementation="eager")
    adapted = PeftModel.from_pretrained(plain, finetune.path).eval()
    ids = ids_of(model, explained)
    with torch.inference_mode():
        own = adapted(torch.tensor([ids]), output_attentions=True).attentions
    layers, heads = explained.attention.shape[:2]
    assert (layers, heads) == (len(own), own[0].shape[1])
    for layer in range(layers):
        for row, written in enumerate(explained.reply):
            for column, seen in enumerate(explained.words):
                block = own[layer][0, :, written.first - 1 : written.last - 1, seen.first : seen.last]
                expected = block.sum(-1).mean(-1).numpy()
                assert np.allclose(explained.attention[layer, :, row, column], expected, atol=1e-5)
    assert np.allclose(explained.attention.sum(-1), 1, atol=1e-5)


def test_rollout_is_the_product_of_the_layers_with_half_a_residual(model, explained):
    attention = token_attention(model.model, ids_of(model, explained)).astype(np.float64)
    count = attention.shape[-1]
    expected = np.eye(count)
    for layer in range(len(attention)):
        expected = (0.5 * attention[layer].mean(0) + 0.5 * np.eye(count)) @ expected
    assert np.allclose(rollout(attention), expected, atol=1e-6)
    assert np.allclose(explained.rollout, reply_attention(expected, explained.words, explained.reply), atol=1e-6)
    one = np.tile(np.eye(3), (2, 1, 1, 1))  # heads that look at themselves move nothing
    assert np.allclose(rollout(one), np.eye(3))


def test_attribution_is_the_change_of_the_log_probability_by_finite_differences(model, explained):
    ids = torch.tensor([ids_of(model, explained)])
    network = model.model.double()
    try:
        scores, likely = input_attribution(network, ids[0].tolist(), explained.words, explained.reply)
        embedded = network.get_input_embeddings()(ids).detach()

        def of(word, reply, step):
            changed = embedded.clone()
            changed[:, word.first : word.last] *= 1 + step
            with torch.inference_mode():
                logits = network(inputs_embeds=changed).logits[0].double().log_softmax(-1)
            places = range(reply.first, reply.last)
            return sum(logits[place - 1, ids[0, place]].item() for place in places)

        step, strong = 1e-3, 0
        for row in (0, 2, len(explained.reply) - 1):
            reply = explained.reply[row]
            assert likely[row] == pytest.approx(of(explained.words[0], reply, 0), abs=1e-4)
            for column in range(0, len(explained.words), 3):
                word = explained.words[column]
                slope = (of(word, reply, step) - of(word, reply, -step)) / (2 * step)
                assert scores[row, column] == pytest.approx(slope, abs=2e-3)
                strong += abs(slope) > 0.02
        assert strong > 5  # else nothing was compared
    finally:
        model.model.float()


def test_words_after_the_reply_word_have_no_part_in_it(explained):
    first = len(explained.words) - len(explained.reply)
    for row in range(len(explained.reply)):
        for figures in (
            explained.attribution,
            explained.rollout,
            *explained.attention.reshape(-1, *explained.rollout.shape),
        ):
            assert not figures[row, first + row + 1 :].any()


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([b"The", b" wax", b"ed", b" Kel", b"so", b",", b" \xc2", b"\xa3", b"16", b"5", b"."],
         ["The", " waxed", " Kelso", ",", " £", "165", "."]),
        (["杯".encode()[:1], "杯".encode()[1:2], "杯".encode()[2:], "子".encode(), "好用".encode(), b"!"],
         ["杯", "子", "好用", "!"]),
        (["茶".encode()[:2], "茶".encode()[2:] + b" tea", b"pot"], ["茶 teapot"]),
        ([b"\xff", b"a"], ["\ufffd", "a"]),
        ([b" ", "🙂".encode()[:3], "🙂".encode()[3:], b"", b"x"], [" ", "🙂", "x"]),
        ([], []),
    ],
)  # fmt: skip
def test_pieces_of_a_word_and_bytes_of_a_character_are_joined(tokens, words):
    found = words_of(tokens, ["user"] * len(tokens))
    assert [word.text for word in found] == words
    assert [place for word in found for place in range(word.first, word.last)] == list(range(len(tokens)))


def test_a_word_never_crosses_from_the_prompt_into_the_reply():
    assert [w.text for w in words_of([b"ab", b"cd"], ["user", "reply"])] == ["ab", "cd"]


def test_tokens_belong_to_the_message_that_contains_them():
    tokens = [
        b"<|s|>",
        b"system\n",
        b"Be",
        b" brief.",
        b"<|e|>",
        b"user\n",
        "杯".encode()[:1],
        "杯".encode()[1:],
        b"<|e|>",
    ]
    roles = token_roles(tokens, [("system", "Be brief."), ("user", "杯")])
    assert roles == ["template", "template", "system", "system", "template", "template", "user", "user", "template"]


def test_the_input_and_the_reply_are_found_in_the_prompt(explained):
    texts = {role: "".join(w.text for w in explained.words if w.role == role) for role in ("user", "reply", "template")}
    assert FACTS in texts["user"]
    assert texts["reply"] == "A cheap 杯子 place."
    assert "<|im_start|>" in texts["template"]


def test_an_empty_reply_and_one_that_is_too_long_are_refused(model):
    field = next(iter(model.task.input["properties"]))
    with pytest.raises(UsageError, match="empty"):
        explain(model.model, model.tokenizer, model.task, {field: FACTS}, reply="")
    with pytest.raises(UsageError, match="at most"):
        explain(model.model, model.tokenizer, model.task, {field: FACTS}, reply="x y " * 2000)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.data, self._in_data = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_data = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag):
        self._in_data = False

    def handle_data(self, data):
        self.data += data if self._in_data else ""


def test_the_page_contains_the_figures_and_loads_nothing(explained):
    text = render_page(explained)
    page = _Page(text)
    data = json.loads(page.data)
    steps = np.frombuffer(zlib.decompress(base64.b64decode(data["attention"])), np.uint8).reshape(data["shape"])
    assert np.abs((steps / 255.0) ** 2 - explained.attention).max() < 0.004
    assert np.allclose(data["rollout"], explained.rollout, rtol=1e-3, atol=0)
    assert np.allclose(data["attribution"], explained.attribution, atol=1e-4)
    assert [word for word, _ in data["words"]] == [word.text for word in explained.words]
    assert not any("src" in attrs or "href" in attrs for _, attrs in page.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    assert len(text) < 200_000


def test_the_page_escapes_what_users_and_models_wrote(explained):
    from dataclasses import replace

    evil = '</script><script>alert("1")</script><img src=x onerror=alert(2)>'
    words = (*explained.words[:-1], Word(evil, explained.words[-1].first, explained.words[-1].last, "reply"))
    text = render_page(replace(explained, title=evil, task=evil, words=words, reply=(*explained.reply[:-1], words[-1])))
    assert "<img" not in text
    assert text.count("<script") == 2
