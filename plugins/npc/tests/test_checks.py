"""Each rule finds what it must find, and leaves alone what a writer would leave alone."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.contracts import Check
from metier_npc.checks import (
    CHECKS,
    action_allowed,
    as_known,
    bark_variety,
    bubble,
    fresh,
    in_character,
    keeps_secrets,
    memory,
    numbers_known,
    persona_fresh,
    persona_numbers_known,
    spoken,
    temper,
    whole,
)
from metier_npc.checks.amounts import amounts
from metier_npc.checks.variety import variety_of


def line(text: str, action: str = "none") -> dict[str, Any]:
    return {"line": text, "emotion": "neutral", "action": action, "remember": []}


def found(check: Check, output: dict[str, Any], **input: Any) -> list[str]:
    return [f.message for f in check.run({"speaker": "Mira", **input}, output)]


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("As an AI language model, I have no boat.", {}), ("I'm sorry, I can't assist with that.", {}),
        ("作为人工智能，我不能划船。", {}),
        ("The NPCs are asleep.", {}), ("Press the A button to row.", {}), ("玩家，你好。", {}),
        ("Check your phone.", {"era": "medieval"}), ("The railway is late.", {"era": "ancient"}),
        ("拿手机照一下。", {"era": "industrial"}),
        ("We go at warp speed.", {"era": "modern"}), ("See you on Tuesday!", {"never_say": ["Tuesday"]}),
        ("教堂那边走。", {"never_say": ["教堂"]}),
    ],
)  # fmt: skip
def test_words_from_outside_the_world_are_found(text: str, input: dict[str, Any]) -> None:
    assert found(in_character, line(text), **input)


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("Aim for the bank.", {}), ("The prompt answer pleased her.", {}), ("He trains knights.", {"era": "ancient"}),
        ("My phone is dead.", {"era": "modern"}), ("My phone is dead.", {}),
        ("Beam me to the starship.", {"era": "future"}),
        ("I am an AI. I steer.", {"persona": "an AI that steers"}),
        ("The computer hums.", {"era": "medieval", "world": "a computer"}),
        ("Tuesdays are dull.", {"never_say": ["Tuesday"]}), ("两文钱，坐稳了。", {"era": "medieval"}),
    ],
)  # fmt: skip
def test_words_of_the_world_pass(text: str, input: dict[str, Any]) -> None:
    assert not found(in_character, line(text), **input)


ROPE = {
    "about": "the wreck of the Heron",
    "text": "Mira cut the rope to drown Captain Brant",
    "when": "trust",
    "at_least": 3,
}
CODE = {"about": "the vault", "text": "the code is 4471", "when": "hired"}
ZH = {"about": "沉船", "text": "船是周婆砍断缆绳放走的", "when": "信任", "at_least": 3}


@pytest.mark.parametrize(
    ("text", "secret", "state"),
    [
        ("I cut the rope. I'm not proud.", ROPE, {"trust": 2}), ("Ask Brant. Oh, you can't.", ROPE, {}),
        ("He was to drown, so I cut it.", ROPE, {"trust": "no"}), ("Try 4471.", CODE, {"hired": False}),
        ("是我砍断缆绳的。", ZH, {"信任": 1}),
    ],
)  # fmt: skip
def test_a_locked_secret_that_falls_is_found(text: str, secret: dict[str, Any], state: dict[str, Any]) -> None:
    (message,) = found(keeps_secrets, line(text), secrets=[secret], state=state)
    assert secret["about"] in message and secret["when"] in message


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("Boats sink. The Heron too.", {}), ("I cut the rope.", {"state": {"trust": 3}}), ("Hold the rope.", {}),
        ("What captain?", {}), ("Brant? I know no Brant.", {"history": [{"who": "Player", "text": "Who is Brant?"}]}),
    ],
)  # fmt: skip
def test_a_secret_that_is_kept_or_open_passes(text: str, input: dict[str, Any]) -> None:
    assert not found(keeps_secrets, line(text), secrets=[ROPE], **input)


@pytest.mark.parametrize(("action", "allowed"), [("wave", ["none", "wave"]), ("none", None), ("none", [])])
def test_an_action_of_the_list_passes_and_none_means_no_list(action: str, allowed: list[str] | None) -> None:
    assert not found(action_allowed, line("Hm.", action), **({} if allowed is None else {"actions": allowed}))
    assert found(action_allowed, line("Hm.", "Wave"), **({} if allowed is None else {"actions": allowed}))


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("你好", 4), ("é", 1), ("ｆｕｌｌ", 8), ("", 0)])
def test_a_bubble_counts_full_width_characters_twice(text: str, width: int) -> None:
    assert not found(bubble, line(text), max_chars=max(1, width))
    assert width < 2 or found(bubble, line(text), max_chars=width - 1)
    assert not found(bubble, line(text))


@pytest.mark.parametrize(
    "text",
    ["Mira: Get in.", "Get in. Player: No.", "*sighs* Get in.", "(quietly) Get in.", "Get in. (leaves)", "Get\nin.",
     '{"line": "Get in."}', "Get in. emotion: happy", "米拉走了。玩家：好。", "【叹气】走吧。"],
)  # fmt: skip
def test_what_is_not_spoken_is_found(text: str) -> None:
    assert found(spoken, line(text))


@pytest.mark.parametrize(
    "text", ["Two things: rope and rain.", "2 * 3 is 6.", "Well, [player], get in.", "It is 10:30.", "记住：别回头。"]
)
def test_what_is_spoken_passes(text: str) -> None:
    assert not found(spoken, line(text))


def test_a_figure_must_stand_in_what_the_character_knows() -> None:
    facts = ["the ferry holds 12", "fare is 1,50"]
    assert not found(persona_numbers_known, {"text": "12 at 1,50 each."}, facts=facts, player="?")
    assert not found(persona_numbers_known, {"text": "99, as you say."}, facts=facts, player="99?")
    assert found(persona_numbers_known, {"text": "13."}, facts=facts, player="?")
    secret = {"about": "x", "text": "4471", "when": "open"}
    assert found(persona_numbers_known, {"text": "4471."}, secrets=[secret], player="?")
    assert not found(persona_numbers_known, {"text": "4471."}, secrets=[secret], state={"open": True}, player="?")


@pytest.mark.parametrize(
    ("text", "value", "key"),
        [("14 hours", 14, "hour"),
        ("twenty-two candles", 22, "candle"),
        ("1,200 men", 1200, "men"),
        ("三百二十级台阶", 320, "级台"),
     ("两千两", 2000, ""), ("十二座炉", 12, "座炉")],
)  # fmt: skip
def test_amounts_are_read_in_figures_and_in_words(text: str, value: float, key: str) -> None:
    (amount,) = amounts(text)
    assert (amount.value, amount.key) == (value, key)


@pytest.mark.parametrize(
    ("text", "fact", "wrong"),
    [
        ("Nine bells and no ringer.", "The tower has nine bells.", False),
        ("Seven bells and no ringer.", "The tower has nine bells.", True),
        ("Six hours of oil.", "The lamp has oil for six hours.", False),
        ("Six minutes of oil.", "The lamp has oil for six hours.", True),
        ("我等了三年。", "塔里住了八年。", False), ("七座塔，我都爬过。", "城里有七座塔。", False),
        ("九座塔，我都爬过。", "城里有七座塔。", True),
    ],
)  # fmt: skip
def test_an_amount_in_words_keeps_its_number_and_its_unit(text: str, fact: str, wrong: bool) -> None:
    assert bool(found(persona_numbers_known, {"text": text}, facts=[fact], player="?")) == wrong


def test_a_number_that_the_player_asks_for_is_the_state_s_and_one_that_opens_secrets_is_not() -> None:
    ask = {"history": [{"who": "Player", "text": "How many arrows are left?"}]}
    assert not found(numbers_known, line("Four. Make them count."), state={"arrows": 4}, **ask)
    assert found(numbers_known, line("Nine. Make them count."), state={"arrows": 4}, **ask)
    assert not found(numbers_known, line("Enough for you."), state={"arrows": 4}, **ask)
    secret = {"about": "x", "text": "y", "when": "trust", "at_least": 3}
    assert not found(numbers_known, line("Nine. Make them count."), state={"trust": 1}, secrets=[secret], **ask)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The bridge is out. Take the", "en"),
        ("The bridge is out. Take the long way and.", "en"),
        ("桥断了，你绕", "zh"),
        ("The bridge is out. the bridge.", "en"), ("We walk at dawn. Bring rope. We walk at dawn.", "en"),
        ("The bridge is out. Try the ford. Try the ford.", "en"),
        ("桥断了，你绕着走，桥断了。", "zh"),
        ("桥断了。", "en"),
        ("The bridge is out, 你绕着走。", "en"), ("The bridge is out.", "zh"), ("桥断了，take the long way.", "zh"),
        ("Le pont est cassé, prenez la route des champs pour vous.", "en"),
        ("他说“桥断了。", "zh"),
        ("橋が壊れた。", "zh"),
    ],
)  # fmt: skip
def test_a_line_that_is_not_whole_is_found(text: str, language: str) -> None:
    assert found(whole, line(text), language=language)


@pytest.mark.parametrize(
    ("text", "language", "input"),
    [
        ("Move, move, move!", "en", {}), ("Yes! Yes! Yes!", "en", {}), ("For you, five. For you, four!", "en", {}),
        ("I was going to say...", "en", {}), ("Wait—", "en", {}), ("Ask Dr. de Wit. He knows.", "en", {}),
        ("顶住，顶住！", "zh", {}),
        ("等等，你是VIP？", "zh", {}),
        ("叫我Vega就好。", "zh", {"persona": "Vega, 机器人"}),
        ("They call it 江湖.", "en", {"world": "江湖, old China"}), ("圣体安康，圣体安康！", "zh", {}),
        ("row to me", "en", {"history": [{"who": "Mira", "text": "get in"}, {"who": "Player", "text": "Where to?"}]}),
    ],
)  # fmt: skip
def test_a_line_as_people_talk_is_whole(text: str, language: str, input: dict[str, Any]) -> None:
    assert not found(whole, line(text), language=language, **input)


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("Old Nan: Let him in.", {}), ("Wren: Get in.", {}), ("Guard: Halt.", {}), ("店小二掌柜：里边请。", {}),
        ("Mira, get in the boat.", {}), ("Get in the boat, Mira!", {}), ("周婆，坐稳了。", {"speaker": "周婆"}),
    ],
)  # fmt: skip
def test_another_voice_is_found_and_so_is_a_call_to_oneself(text: str, input: dict[str, Any]) -> None:
    assert found(spoken, line(text), **input)


@pytest.mark.parametrize(
    "text", ["Rule One: Nobody rows alone.", "Remember: The rope stays dry.", "Nobody cheats Mira.", "听着：别回头。"]
)
def test_openers_and_own_names_in_passing_are_spoken(text: str) -> None:
    assert not found(spoken, line(text))


SOLD = {"about": "the missing mare", "text": "Tobin sold the mare to settle a bet", "when": "trust", "at_least": 3}
DUG = {"about": "爷爷的箱子", "text": "箱子埋在枣树根下面", "when": "信任", "at_least": 3}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("She was auctioned before breakfast.", SOLD), ("I pawned her, and I'd do it again.", SOLD),
        ("你去枣树那儿，顺着根往下挖。", DUG),
    ],
)  # fmt: skip
def test_a_secret_in_other_words_is_found(text: str, secret: dict[str, Any]) -> None:
    assert found(keeps_secrets, line(text), secrets=[secret])


@pytest.mark.parametrize(
    ("player", "text", "given_away"),
    [
        ("Did you sell her?", "Yes. Don't look at me like that.", True),
        ("Did you sell her?", "Her? Horses stray.", False),
        ("Is it cold out?", "Yes. Bring a coat.", False), ("Did you sell her?", "Right, I never would.", False),
        ("是埋在树下吗？", "没错，你挖吧。", True), ("是埋在树下吗？", "树多着呢，你慢慢数。", False),
    ],
)  # fmt: skip
def test_a_yes_to_the_player_s_guess_gives_a_secret_away(player: str, text: str, given_away: bool) -> None:
    secret = DUG if any(c > "\u3400" for c in player) else SOLD
    history = [{"who": "Player", "text": player}]
    assert bool(found(keeps_secrets, line(text), secrets=[secret], history=history)) == given_away


@pytest.mark.parametrize(
    ("text", "input"),
    [
        ("I'm an artist, my lord.", {"era": "modern"}),
        ("客官，里边请。", {"era": "modern"}),
        ("我给你叫个外卖。", {"era": "ancient"}),
        ("Is there anything else I can help with?", {}),
        ("还有什么可以帮您的吗？", {}),
        ("I'm just a fictional character.", {}),
    ],
)  # fmt: skip
def test_another_age_s_manner_and_a_clerk_s_phrases_are_found(text: str, input: dict[str, Any]) -> None:
    assert found(in_character, line(text), **input)


def test_an_old_form_of_address_that_the_player_uses_comes_back() -> None:
    assert not found(
        in_character, line("大侠饶命！"), era="modern", history=[{"who": "玩家", "text": "叫我大侠。"}], language="zh"
    )


@pytest.mark.parametrize(
    ("persona", "text", "wrong"),
    [
        ("nurse, gentle", "Get lost, you idiot.", True), ("nurse, gentle", "Hold still, silly.", False),
        ("pirate, foul-mouthed, rude", "Get lost, you idiot.", False), ("医生，温和", "滚开，别烦我。", True),
        ("医生，温和", "石头从山上滚下来了。", False), ("smith, proud", "My work is rubbish, go elsewhere.", True),
        ("掌柜，精明", "我们的酒太差了。", True), ("掌柜，嘴硬心软，热心", "笨死了，蠢货，坐下。", False),
    ],
)  # fmt: skip
def test_a_kind_character_is_not_rude_and_none_runs_itself_down(persona: str, text: str, wrong: bool) -> None:
    assert bool(found(temper, line(text), persona=persona)) == wrong


def test_an_insult_of_the_player_may_be_quoted() -> None:
    history = [{"who": "Player", "text": "You stupid goat!"}]
    assert not found(temper, line("A stupid goat, am I? Sit."), persona="monk, gentle", history=history)


@pytest.mark.parametrize(
    ("note", "wrong"),
    [
        ("player lost an oar", False), ("Tobin was seen at the mill", True), ("sells candles on market days", True),
        ("玩家丢了桨", True),
    ],
)  # fmt: skip
def test_a_memory_is_of_the_scene(note: str, wrong: bool) -> None:
    output = {**line("An oar? In this water?"), "remember": [note]}
    assert bool(found(memory, output, history=[{"who": "Player", "text": "I lost my oar."}])) == wrong


@pytest.mark.parametrize(
    ("text", "fact", "wrong"),
    [
        ("I have crossed the sea.", "Mira has never crossed the sea.", True),
        ("I've never crossed the sea.", "Mira has never crossed the sea.", False),
        ("Ask Jonathan, he was there.", "Mira has a sister.", True), ("Come on Friday.", "Mira has a sister.", False),
        ("这座塔没有十二层，你数错了。", "这座塔一共有十二层。", True),
        ("十二层，一层不少。", "这座塔一共有十二层。", False),
    ],
)  # fmt: skip
def test_what_is_known_is_not_denied_and_strangers_are_not_named(text: str, fact: str, wrong: bool) -> None:
    assert bool(found(as_known, {"text": text}, facts=[fact], player="?")) == wrong


def test_a_line_does_not_give_the_player_s_words_back() -> None:
    history = [{"who": "Player", "text": "Can you take me across the river tonight?"}]
    assert found(fresh, line("Can you take me across the river tonight?"), history=history)
    assert not found(fresh, line("Across the river? Tonight? You'd better swim."), history=history)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize(
    "unit", ["(", "（", "* ", "Mira: ", "a: ", "好：", "good. ", "去吧。",
    "A b ", "one ", "十百", "1.", "1 ", "\u0301", "no ", "  ", "[", "“"]
)  # fmt: skip
def test_a_check_reads_long_lines_in_linear_time(check: Check, unit: str) -> None:
    secret = {"about": "the wreck", "text": "Mira cut the rope for gold 船断了", "when": "trust", "at_least": 3}
    input = {
        "speaker": "Mira", "persona": "kind", "era": "ancient", "max_chars": 99, "state": {"n": 3}, "secrets": [secret],
        "history": [{"who": "Mira", "text": "No."}], "player": "How many?", "facts": ["3 boats"], "avoid": ["Rain."],
    }  # fmt: skip

    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        output = {"line": text, "text": text, "variants": [text], "action": "none", "remember": [text]}
        start = time.process_time()
        check.run(input, output)
        return time.process_time() - start

    short, long = (min(seconds(n) for _ in range(3)) for n in (6_000, 24_000))
    assert long < 10 * max(short, 0.005)


def test_barks_have_the_requested_count_and_differ_from_each_other_and_the_last_ones() -> None:
    def barks(*variants: str, **input: Any) -> list[str]:
        return found(bark_variety, {"variants": list(variants)}, situation="noise", **input)

    assert not barks("Who's there?", "Rats again.", "Show yourself!")
    assert barks("Who's there?", "Rats again.") and barks("Rats.", "Rats!", "Who?")
    assert barks("Halt!", count=1, avoid=["HALT."]) and not barks("Halt!", count=1, avoid=["Rats."])


def test_a_character_repeats_neither_itself_word_by_word_nor_nearly_so_but_may_repeat_others() -> None:
    talk = {
        "history": [{"who": "Mira", "text": "The rope won't wait."}, {"who": "Player", "text": "Please."}],
        "player": "?",
    }
    assert found(persona_fresh, {"text": "the rope won't wait!"}, **talk)
    assert not found(persona_fresh, {"text": "Please."}, **talk)


def test_variety_over_many_calls_falls_as_lines_repeat() -> None:
    same, mixed = (
        variety_of(["Halt! Who is there?"] * 10),
        variety_of(["Halt! Who is there?", "Rats, again and again."] * 5),
    )
    all_new = variety_of(["Halt there!", "Rats again.", "Show me your hands.", "又是猫吧。"])
    assert same.distinct == 0.1 and mixed.distinct == 0.2 and all_new == (1.0, 1.0)
    assert same.distinct_2 < mixed.distinct_2 < all_new.distinct_2
    assert variety_of([]) == (1.0, 1.0)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@settings(deadline=None, max_examples=50)
@given(
    text=st.text(), other=st.text(min_size=1), value=st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text()))
)
def test_a_check_has_an_answer_for_any_words(check: Check, text: str, other: str, value: Any) -> None:
    input = {
        "speaker": other, "persona": text, "state": {other: value},
        "never_say": [other], "max_chars": 9, "era": "medieval",
        "secrets": [{"about": "x", "text": other, "when": other, "at_least": 1}],
        "history": [{"who": other, "text": text}],
        "player": other, "situation": other, "avoid": [other], "facts": [other], "actions": [other],
    }  # fmt: skip
    for finding in check.run(input, {"line": text, "text": text, "variants": [text, other], "action": other}):
        assert finding.message and finding.rule
