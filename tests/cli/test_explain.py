"""`metier explain`: one page about a reply of a fine-tune or of its base."""

import json

import pytest


@pytest.mark.parametrize("extra", [[], ["--base"]])
def test_a_reply_is_explained_and_the_page_written(metier, tiny_finetune, tmp_path, extra):
    command = ["explain", tiny_finetune.path, "--task", "tiny.copy", "--html", "page.html", "--max-tokens", 8]
    done = metier(*command, "--input", "a blue mug", *extra)
    assert done.returncode == 0, done.stderr
    assert "page: page.html" in done.stdout
    assert "What it looked at" in (tmp_path / "page.html").read_text("utf-8")


def test_figures_are_printed_as_json_for_the_reply_that_is_given(metier, tiny_finetune, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"facts": "蓝色杯子"}\n', "utf-8")
    command = ["explain", tiny_finetune.path, "--task", "tiny.copy", "--html", "page.html", "--json"]
    done = metier(*command, "--input", "in.jsonl", "--reply", "杯子 is blue.")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    reply = [word["text"] for word in found["words"] if word["role"] == "reply"]
    assert reply == ["杯", "子", " is", " blue", "."]
    assert [len(found["attribution"]), len(found["attribution"][0])] == [len(reply), len(found["words"])]
    assert "蓝色杯子" in "".join(word["text"] for word in found["words"] if word["role"] == "user")


def test_what_cannot_be_explained_is_an_error_that_says_what_to_do(metier, tiny_finetune):
    done = metier("explain", tiny_finetune.path)
    assert done.returncode != 0 and "--task" in done.stderr
    done = metier("explain", tiny_finetune.path, "--task", "tiny.copy", "--input", "x", "--reply", "")
    assert done.returncode != 0 and "empty" in done.stderr
