"""Messages with their intent, one a row: the packaged intents, those of other public sets, or a shop's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from metier.contracts import BadRow, Sample, TaskContract, did_you_mean
from metier.contracts.script import language_by_script
from metier_support.reading.cells import column, first_row, rows_with, text
from metier_support.tasks import INTENT, intent

TEXT = ("text", "message", "utterance", "query", "instruction", "sentence", "内容", "消息", "问题")
LABEL = ("intent", "category", "label", "class", "意图", "分类")

ALIASES = {
    name: ours
    for ours, names in {
        "order_status": "track_order delivery_period order_tracking where_is_my_order shipping_status wismo 查物流",
        "delivery_problem": "lost_parcel late_delivery delivery_issue not_received 物流问题",
        "cancel_order": "cancellation cancel 取消订单",
        "change_order": "change_shipping_address set_up_shipping_address edit_order modify_order 修改订单",
        "return_item": "return returns return_request get_refund request_refund 退货",
        "exchange_item": "exchange swap_item 换货",
        "refund_status": "track_refund refund_not_showing_up refund_delay 退款进度",
        "damaged_item": "damaged defective broken_item 商品破损",
        "wrong_item": "wrong_product missing_item incorrect_item 发错货",
        "payment_problem": "payment_issue transaction_charged_twice declined_card_payment billing 支付问题",
        "discount": "promo_code coupon voucher 优惠",
        "product_question": "product_info product_information 商品咨询",
        "stock": "availability out_of_stock 库存",
        "warranty": "guarantee repair 保修",
        "account": "create_account delete_account edit_account recover_password switch_account registration_problems"
        " passcode_forgotten edit_personal_details terminate_account 账户",
        "invoice": "check_invoice get_invoice 发票",
        "complaint": "complain feedback 投诉",
        "speak_to_human": "contact_human_agent human_agent agent contact_customer_service 转人工",
        "thanks": "thank_you gratitude 感谢",
        "other": "misc general none 其他",
    }.items()
    for name in names.split()
}
"""Names that help desks and public sets (Bitext's, banking77's shop-like ones) use → the packaged intents."""


class IntentTable:
    """A text and a label a row.

    Args:
        contract: `support.intent`, or the same with a shop's own intents (`intent_among`). Aliases are only read for
            labels that the contract does not have.
    """

    name, task = "intent_table", INTENT
    example = Path(__file__).parents[1] / "examples" / "intents.csv"

    def __init__(self, contract: TaskContract = intent) -> None:
        self.contract = contract
        self._labels = {_plain(label): label for label in contract.labels}

    def accepts(self, path: Path) -> bool:
        """Whether it has a text and a label column, and the first row's label is one that it knows."""
        row = first_row(path)
        if row is None or not (column(row, TEXT) and (name := column(row, LABEL))):
            return False
        return self._label(text(row.values[name])) is not None

    def read(self, path: Path) -> Iterator[Sample | BadRow]:
        """A sample a row; a row whose label is not one of the contract's is a bad row."""
        for item in rows_with(path, {"text": TEXT, "intent": LABEL}):
            if isinstance(item, BadRow):
                yield item
                continue
            row, named = item
            utterance = text(row.values.get(named.get("text", "")))
            word = text(row.values.get(named.get("intent", "")))
            label = self._label(word)
            if not utterance:
                yield BadRow(
                    provenance=row.provenance, field=named.get("text", "text"), reason="there is no text",
                    remedy="fill it, or leave the row out",
                )  # fmt: skip
            elif label is None:
                yield BadRow(
                    provenance=row.provenance, field=named.get("intent", "intent"),
                    reason=f"{word[:60]!r} is none of the intents" if word else "there is no intent",
                    remedy=did_you_mean(word, self.contract.labels) or "use your own intents: intent_among([...])",
                )  # fmt: skip
            else:
                input = {"text": utterance, **({"language": "zh"} if language_by_script(utterance, ("zh",)) else {})}
                yield Sample(task=INTENT, input=input, output={"intent": label}, provenance=row.provenance)

    def _label(self, word: str) -> str | None:
        plain = _plain(word)
        found = self._labels.get(plain)
        ours = ALIASES.get(plain)
        return found or (ours if ours in self.contract.labels else None)


def _plain(label: str) -> str:
    return re.sub(r"[\s\-]+", "_", label.strip().casefold())
