"""The recipes of the writers: they learn and resume; what they share out, encode and mask."""

from pathlib import Path

import assistant
import pytest
import torch
import translator
from recipes import assert_learns_and_resumes
from toytown import skills
from toytown.sentences import NOUNS
from writers import Pair, Pairs, collated, seed


@pytest.mark.parametrize("role", ["chatbot", "translator", "summarizer", "assistant"])
def test_its_recipe_learns_and_resumes_from_what_it_has_learnt(role: str, tmp_path: Path):
    assert_learns_and_resumes(role, tmp_path / "build")


def test_four_batches_share_out_what_is_drawn_once_and_hold_texts_of_like_length():
    def make(random):
        return Pair("a" * int(random.integers(1, 100)), "b")

    def length(pair: Pair) -> int:
        return len(pair.source)

    batches = Pairs(make, list, 8, 16, length)
    drawn = [pair for index in range(4) for pair in batches[index]]
    wanted = [make(seed("train", i)) for i in range(64)]
    assert sorted(map(length, drawn)) == sorted(map(length, wanted)), "each once"
    spread = [max(map(length, b)) - min(map(length, b)) for b in (batches[i] for i in range(4))]
    assert max(spread) < 60
    assert batches[5] == Pairs(make, list, 8, 16, length)[5], "number five is always the same"


def test_nothing_is_to_be_written_where_there_is_padding():
    words = translator.tokenizer()
    batch = collated(
        words,
        [{"input_ids": [5, 6, 2], "labels": [7, 2]}, {"input_ids": [5, 2], "labels": [7, 8, 2]}],
    )
    pad = words.pad_token_id
    assert batch["input_ids"].tolist() == [[5, 6, 2], [5, 2, pad]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[7, 2, -100], [7, 8, 2]]


def test_the_assistant_learns_from_its_own_turns_alone():
    words = assistant.tokenizer()
    for index in range(50):
        one = assistant.conversation(seed("train", index))
        row = assistant.row(words, one)
        own = words.decode([token for token in row["labels"] if token != -100])
        own = own.replace("<|im_end|> ", "<|im_end|>")  # a line's first word has its space
        said = [turn["content"] for turn in one.messages if turn["role"] == "assistant"]
        assert own == "".join(f"{text}<|im_end|>" for text in said)


def test_two_texts_never_stand_in_one_conversation():
    """Both may tell of a Mia; which is meant then?"""
    tasks = [skills.task(seed("test", i), kind) for kind in ("from text", "who") for i in range(40)]
    short = [one for one in tasks if assistant._joins(one, [])]
    assert {one.skill for one in short} == {"from text", "who"}
    assert not any(assistant._joins(one, [other]) for one in short for other in short)


def test_spanish_to_french_is_never_trained_and_both_say_the_same():
    ways = {translator.pair(seed("train", i)).languages for i in range(200)}
    codes = translator.CODES
    assert ways == {(codes[a], codes[b]) for a, b in translator.TRAINED}
    assert (codes["es"], codes["fr"]) not in ways
    nouns = {n.singular["es"]: n.singular["fr"] for n in NOUNS["place"] if "fr" in n.singular}
    for one in translator.samples("test", ("es", "fr"), 100, 0):
        for spanish, french in nouns.items():
            if f" {spanish} " in one.source:
                assert french in one.target


def test_a_strange_name_stands_in_both_languages():
    changed = 0
    for index in range(100):
        plain = translator.parallel(seed("test", index), ("en", "es"), 0.0)
        strange = translator.parallel(seed("test", index), ("en", "es"), 1.0)
        new = set(strange.source.split()) - set(plain.source.split())
        changed += bool(new)
        assert all(word.strip(",.?'s") in strange.target for word in new)
    assert changed > 20


def test_tools_go_into_the_prompt_as_signatures():
    words = assistant.tokenizer()
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"town": {}, "day": {}}},
        },
    }
    said = words.apply_chat_template(
        [{"role": "user", "content": "Hello!"}],
        tools=[tool],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert said == (
        "<|im_start|>system\nYou are a helpful assistant in Toytown.\n"
        "Functions: get_weather(town, day)<|im_end|>\n"
        "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
    )
    assert torch.tensor(words(said)["input_ids"]).max() < len(words)
