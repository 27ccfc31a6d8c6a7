"""A reply that turns the policy round is found; right replies in words of their own are not accused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from metier_support.checks import CHECKS
from metier_support.checks.contradicts import run
from metier_support.checks.listing_agrees import run as listing

ENGLISH: dict[str, Any] = {
    "passages": [
        {"id": "P1", "text": "Unopened items may be returned within 30 days. Sale items cannot be returned."},
        {"id": "P2", "text": "Delivery is free over £50, otherwise £4.95. We do not deliver to PO boxes."},
        {
            "id": "P3",
            "text": "Orders can be changed until 2 hours before dispatch. "
            "A cracked screen is not covered by the warranty.",
        },
    ],
    "order": {"number": "KL-8", "status": "packed", "total": "£38.50", "delivered": "2 May"},
}
CHINESE: dict[str, Any] = {
    "passages": [
        {"id": "P1", "text": "未拆封商品30天内可以退货。特价商品不能退换。"},
        {"id": "P2", "text": "满99元包邮，不满99元运费8元。不支持货到付款。"},
        {"id": "P3", "text": "发货前2小时可以修改地址。屏幕碎裂不在保修范围内。"},
    ],
    "order": {"订单号": "KL-8", "状态": "已打包", "金额": "86元"},
    "language": "zh",
}
RIGHT = [
    "Yes, unopened items may be returned within 30 days.",
    "I'm afraid sale items can't be returned.",
    "Sorry, opened items cannot be returned.",
    "You can't return it after 30 days, sorry.",
    "Delivery is not free under £50; you'd pay £4.95.",
    "You are £11.50 short of free delivery.",
    "We can't deliver to a PO box, but a street address is fine.",
    "Your order isn't dispatched yet, it is packed.",
    "It has been packed but not shipped.",
    "No, a cracked screen isn't covered by the warranty.",
    "It was delivered on 2 May, so the 30 days have not run out.",
    "Once it is dispatched, the order cannot be changed.",
    "Orders can no longer be changed less than 2 hours before dispatch.",
    "Unfortunately the warranty does not cover a cracked screen.",
    "Only unopened items may be returned.",
    "If it is unopened, no problem: send it back within 30 days.",
    "Your total is £38.50, so delivery isn't free.",
    "The warranty covers faults, but not a cracked screen.",
    "A sale item is not something we can take back.",
    "You have not missed the limit: 30 days from 2 May.",
    "More than 30 days have passed, so we can't take it back.",
    "Delivery is £4.95 because the order is not over £50.",
    "The order has not been changed yet.",
]
RIGHT_CHINESE = [
    "可以的，未拆封商品30天内可以退货。",
    "抱歉，特价商品不能退换。",
    "拆封后的商品不可以退货哦。",
    "超过30天就不能退货了。",
    "您的订单不满99元，运费8元。",
    "再买13元就可以包邮。",
    "我们不支持货到付款，可以在线支付。",
    "订单已打包，还没有发货。",
    "屏幕碎裂不在保修范围内，抱歉。",
    "发货后地址就不能修改了。",
    "发货前2小时都可以修改地址，您现在改还来得及。",
    "只有未拆封的商品可以退货。",
    "金额86元，没到包邮门槛。",
    "没问题，未拆封的话30天内都能退。",
    "很抱歉，货到付款目前不支持。",
    "保修不包括屏幕碎裂。",
    "特价的商品我们不退不换，请您谅解。",
    "30天以后我们无法办理退货。",
    "不足99元的订单要付8元运费。",
    "您的包裹已打包，尚未发出。",
]
WRONG = [
    "Unopened items may not be returned within 30 days.",
    "Sale items can be returned.",
    "We deliver to PO boxes.",
    "A cracked screen is covered by the warranty.",
    "Delivery is free under £50.",
    "Unopened items may be returned after 30 days.",
    "Your order has not been packed.",
    "Orders cannot be changed until 2 hours before dispatch.",
    "Orders can be changed until 2 hours after dispatch.",
    "Your total is not £38.50.",
]
WRONG_CHINESE = [
    "未拆封商品30天内不可以退货。",
    "特价商品能退换。",
    "我们支持货到付款。",
    "屏幕碎裂在保修范围内。",
    "未拆封商品30天后可以退货。",
    "订单没有打包。",
    "发货后2小时可以修改地址。",
    "满99元不包邮。",
    "金额不是86元。",
]


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_reply_is_not_accused(text: str) -> None:
    assert not run(ENGLISH, {"reply": text})


@pytest.mark.parametrize("text", RIGHT_CHINESE)
def test_a_right_chinese_reply_is_not_accused(text: str) -> None:
    assert not run(CHINESE, {"reply": text})


@pytest.mark.parametrize("text", WRONG)
def test_a_reply_that_turns_the_policy_round_is_found(text: str) -> None:
    assert run(ENGLISH, {"reply": text})


@pytest.mark.parametrize("text", WRONG_CHINESE)
def test_a_chinese_reply_that_turns_the_policy_round_is_found(text: str) -> None:
    assert run(CHINESE, {"reply": text})


LAMP = {"photo": "p", "attributes": {"product": "desk lamp", "dimmer": "yes", "plug": "no"}}
KETTLE = {"photo": "p", "attributes": {"商品": "保温壶", "滤网": "有", "提手": "无"}}


@pytest.mark.parametrize(
    ("goods", "title", "bullet"),
    [
        (LAMP, "Brass lamp with dimmer", "Plug not included"),
        (LAMP, "Dimmable lamp for a desk", "Comes without a plug"),
        (LAMP, "LAMP, no plug", "Dimmer on the cord"),
        (KETTLE, "不锈钢保温壶", "带滤网，无提手"),
        (KETTLE, "大肚暖壶", "有滤网"),
    ],
)
def test_a_right_listing_is_not_accused(goods: dict[str, Any], title: str, bullet: str) -> None:
    assert not listing(goods, {"title": title, "bullets": [bullet], "description": ""})


@pytest.mark.parametrize(
    ("goods", "title", "bullet"),
    [
        (LAMP, "Brass kettle with dimmer", "For reading"),
        (LAMP, "Desk lamp", "Has no dimmer"),
        (LAMP, "Desk lamp with plug", "For reading"),
        (KETTLE, "不锈钢饭盒", "有滤网"),
        (KETTLE, "保温壶", "没有滤网"),
        (KETTLE, "保温壶 带提手", "有滤网"),
    ],
)
def test_other_goods_and_a_feature_turned_round_are_found(goods: dict[str, Any], title: str, bullet: str) -> None:
    assert listing(goods, {"title": title, "bullets": [bullet], "description": ""})


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize(
    "piece", ["a", "1 ", "is not 7 ", "不是7", "2 days after ", "dry and clean. ", "壶壶 ", "a b ", "不退"]
)
def test_four_times_the_text_takes_about_four_times_as_long(check: Any, piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        case = {
            "dialogue": [{"who": "customer", "text": text}], "passages": [{"id": "P1", "text": text}], "text": text,
            "order": {"status": text}, "attributes": {"product": text}, "reviews": [{"text": text, "rating": 3}],
        }  # fmt: skip
        output = {
            "reply": text, "used": ["P1"], "escalate": False, "title": text, "bullets": [text], "description": text,
            "summary": text, "pros": [text], "cons": [text], "aspects": [], "spans": [{"label": "x", "text": text}],
        }  # fmt: skip
        start = time.process_time()
        check.run(case, output)
        return time.process_time() - start

    # Below a tenth of a second the machine's noise is larger than what is measured; 16 times would be quadratic.
    assert any(long < max(0.1, 8 * short) for short, long in ((seconds(5000), seconds(20000)) for _ in range(3)))
