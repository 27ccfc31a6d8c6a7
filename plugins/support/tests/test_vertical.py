"""The vertical: it conforms, its prompts are short, and private order facts stay out of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import metier_support
from metier.contracts import Modality, PluginError, UsageError, fine_tunes_in
from metier.plugins import Registry
from metier.prompting.prompt import messages
from metier.prompting.reply import decode_reply, encode_reply
from metier.testing import conformance_test
from metier_support.tasks import TASKS, entities, intent_among, listing, reply, review
from metier_support.vertical import vertical

test_conformance = conformance_test(vertical())


def test_the_hook_returns_one_vertical() -> None:
    assert [v.name for v in metier_support.metier_verticals()] == ["support"]


def test_the_registry_takes_the_plugin() -> None:
    registry = Registry()
    registry.add(metier_support)
    assert registry.task("support.reply")[1].name == "support.reply"


def test_a_case_is_put_as_passages_order_and_dialogue() -> None:
    case = {
        "dialogue": [
            {"who": "customer", "text": "hi"},
            {"who": "agent", "text": "yes?"},
            {"who": "customer", "text": "eta"},
        ],
        "passages": [{"id": "P1", "heading": "Delivery", "text": "3 days."}, {"id": "P2", "text": "No."}],
        "order": {"number": "A1", "note": None, "total": 12},
    }
    system, user = messages(reply, case)
    assert len(system["content"].split()) <= 12
    assert user["content"] == (
        "[P1] Delivery: 3 days.\n[P2] No.\nOrder: number A1; total 12\nCustomer: hi\nAgent: yes?\nCustomer: eta"
    )


def test_personal_order_facts_never_enter_the_prompt() -> None:
    order = {"Email": "jo@x.org", "phone": "1", "Customer name": "Jo Marsh", "收货地址": "桥街", "status": "sent"}
    case = {"dialogue": [{"who": "customer", "text": "eta"}], "order": order}
    assert messages(reply, case)[-1]["content"] == "Order: status sent\nCustomer: eta"
    assert messages(reply, {**case, "order": {"email": "jo@x.org"}})[-1]["content"] == "Customer: eta"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_is_prompted_in_both_languages(task: object) -> None:
    assert task.languages == ("en", "zh")  # type: ignore[attr-defined]


def test_a_listing_takes_a_picture_and_words() -> None:
    assert listing.modalities_in == {Modality.IMAGE, Modality.TEXT}
    goods = {"photo": "mug.png", "seen": "HARROW", "attributes": {"name": "mug"}, "draft": "nice mug", "max_title": 60}
    assert messages(listing, goods)[-1]["content"] == (
        "name: mug\nOn the photo: HARROW\nDraft: nice mug\nTitle: 60 characters"
    )


def test_the_prompt_has_the_stars_of_each_review() -> None:
    value = {"product": "Mug", "reviews": [{"text": "ok", "rating": 4.0}, {"text": "bad"}]}
    assert messages(review, value)[-1]["content"] == "Mug\n- 4/5 ok\n- bad"


def test_a_message_that_names_nothing_has_an_empty_reply() -> None:
    assert encode_reply(entities, {"spans": []}) == "" and decode_reply(entities, "") == {"spans": []}


def test_a_shop_may_bring_its_own_intents() -> None:
    own = intent_among(["card_arrival", "reverted_card_payment?"])
    assert own.labels == ("card_arrival", "reverted_card_payment?") and own.name == "support.intent"
    assert decode_reply(own, "reverted_card_payment?") == {"intent": "reverted_card_payment?"}


@pytest.mark.parametrize("labels", [[], ["one"], ["a", "a"], ["a", " "]])
def test_intents_that_are_none_are_refused(labels: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        intent_among(labels)
    assert caught.value.remedy


def test_the_packaged_recipes_keep_to_rank_eight_and_one_is_for_all_tasks() -> None:
    assert {recipe.lora.rank for recipe in vertical().recipes.values()} == {8}
    assert set(vertical().recipes) == {"support", *(task.name for task in TASKS)}


def test_a_fine_tune_with_a_broken_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "reply").mkdir()
    (tmp_path / "reply" / "card.json").write_text(json.dumps({"name": "reply"}))
    with pytest.raises(PluginError) as caught:
        fine_tunes_in(tmp_path)
    assert str(caught.value.where).endswith("reply/card.json") and caught.value.remedy
