"""A question becomes a case with its passages, and the spoken text from them passes the checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.prompting.prompt import messages
from metier_support.checks import grounded, passages_named
from metier_support.policies import PassageIndex, ground, read_passages
from metier_support.tasks import reply

INDEX = PassageIndex(read_passages(Path(__file__).parents[1] / "metier_support" / "examples" / "policy.md"))


def case_with(text: str) -> dict[str, Any]:
    return {"dialogue": [{"who": "customer", "text": text}]}


def test_an_answer_from_the_document_names_its_passage() -> None:
    case = reply.check_input(ground(case_with("how much is express delivery"), INDEX))
    first: Any = case["passages"][0]  # type: ignore[index,call-overload]
    assert (
        "£6.95" in first["text"]
        and f"[{first['id']}] Harbour & Pine help > Delivery:" in messages(reply, case)[-1]["content"]
    )
    answer = {"escalate": False, "used": [first["id"]], "reply": "Express is £6.95 and takes 1 working day."}
    assert not grounded.run(case, answer) and not passages_named.run(case, answer)
    assert grounded.run(case_with("how much is express delivery"), answer)


def test_passages_that_a_case_has_stay_in_front_and_none_is_repeated() -> None:
    own = {"id": "P3", "text": "Ours."}
    case = ground({**case_with("refund of a damaged item"), "passages": [own]}, INDEX, k=2)
    ids = [p["id"] for p in case["passages"]]  # type: ignore[index,union-attr,call-overload]
    assert ids[0] == "P3" and len(ids) == 2 == len(set(ids))


def test_a_case_without_a_relevant_passage_is_not_changed() -> None:
    assert ground(case_with("zzz"), INDEX) == case_with("zzz")
