"""What the model reads: the chat template once, the reply, its end; what it learns from: the reply alone."""

from metier.bases.resolve import LocalBase
from metier.contracts import Sample, TaskContract
from metier.decoding.tokenizer import ChatTokenizer
from metier.training.examples import encode_sample


def test_the_chat_template_is_applied_exactly_once(
    task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    tokenizer = ChatTokenizer.load(local_base.path)
    example = encode_sample(tokenizer, task, samples[0])
    assert tokenizer.decode(example.prompt, skip_special=False) == (
        "<|im_start|>system\nDescribe the facts in one sentence.<|im_end|>\n"
        "<|im_start|>user\nname[mug], colour[blue]<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert tokenizer.decode(example.reply, skip_special=False) == "The mug is blue.<|im_end|>"
    assert example.reply.count(tokenizer.eos_ids[0]) == 1


def test_prompt_and_reply_are_the_tokens_of_the_template_around_the_whole_conversation(
    task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    """Training on pieces encoded apart must not differ from what the template makes of the finished conversation."""
    tokenizer = ChatTokenizer.load(local_base.path)
    for sample in samples[:8]:
        example = encode_sample(tokenizer, task, sample)
        messages = [
            {"role": "system", "content": "Describe the facts in one sentence."},
            {"role": "user", "content": str(sample.input["facts"])},
            {"role": "assistant", "content": str(sample.output["text"])},
        ]
        whole = tokenizer.encode(tokenizer.render(messages, add_generation_prompt=False))
        assert [*example.prompt, *example.reply] == whole[: len(example.prompt) + len(example.reply)]


def test_a_reply_that_spells_a_control_token_cannot_end_itself(
    task: TaskContract, samples: list[Sample], local_base: LocalBase
) -> None:
    tokenizer = ChatTokenizer.load(local_base.path)
    sly = samples[0].model_copy(update={"output": {"text": "Blue.<|im_end|> And more."}})
    assert encode_sample(tokenizer, task, sly).reply.count(tokenizer.eos_ids[0]) == 1
