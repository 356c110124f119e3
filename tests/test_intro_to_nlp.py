"""2.1 Intro to NLP: by hand it is the library's, it forgets and remembers, and what it measured."""

import re
import tomllib

import pytest
import torch
from conftest import ROOT, assert_notices_a_slip, cell_with, defined, printed, served

NAME = "2.1. Intro_to_NLP"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["language_notebook"]
NEEDED = {"Conversation", "told", "translate", "summarise", "rouge"}


@pytest.fixture(scope="module")
def said(cells) -> str:
    """All that the executed notebook printed."""
    return printed(cells)


@pytest.fixture(scope="module")
def names(execution, cells):  # after the notebooks' run, so as not to compete with it
    """What the notebook's own cells define, run here."""
    return defined(cells, NEEDED)


# ---- by hand


def test_attention_by_hand_notices_a_forgotten_root_and_a_forgotten_head(cells, names):
    source = cell_with(cells, "by_heads(attention.q_proj")
    assert_notices_a_slip(source, "key.shape[-1] ** 0.5", "key.shape[-1]", names)
    assert_notices_a_slip(
        source, ".transpose(0, 1).flatten(1)", ".flatten(0, 1).view(-1, 160)", names
    )


def test_the_steps_by_hand_notice_another_choice_than_the_best(cells, names):
    source = cell_with(cells, "read = chatbot.get_encoder()")
    assert_notices_a_slip(source, "best[None, :1]", "best[None, 1:2]", names)


def test_what_stands_behind_a_word_does_not_change_what_is_written_before_it(names):
    """The causal mask, which the figure shows as a dark triangle."""
    chatbot, tokenizer = names["chatbot"], names["tokenizer"]
    inputs = tokenizer("Hello!", return_tensors="pt")
    texts = ["My name is Pip.", "My name is Bob."]
    ids = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
    with torch.inference_mode():
        first, second = (chatbot(**inputs, decoder_input_ids=one).logits[0, :3] for one in ids)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("layer", "head", "step"), [(0, 2, -1), (1, 8, 1)], ids=["before", "after"]
)
def test_heads_of_the_genuine_minilm_look_at_their_neighbour(names, layer, head, step):
    share = names["looked"][layer][0, head]
    assert share.diagonal(step).mean() > 0.5


def test_a_head_of_the_genuine_minilm_knows_what_it_is(names):
    pieces = names["pieces"]
    row = names["looked"][3][0, 1, pieces.index("it")]
    assert pieces[int(row.argmax())] == "boat"


# ---- the chatbot


def test_it_forgets_a_name_by_itself_and_remembers_it_in_a_conversation(names):
    assert "Rosa" not in names["reply"]("What is my name?")
    talk = names["Conversation"]()
    for text in ("My name is Rosa.", "How are you?", "I am hungry."):
        talk.say(text)
    assert "Rosa" in talk.say("What is my name?")
    assert len(talk.turns) == 8
    assert "Rosa" not in names["Conversation"]().say("What is my name?"), "one talk, one memory"


def test_a_name_is_there_until_the_window_is_full_and_then_it_is_gone(names):
    people, told, reply = names["people"], names["told"], names["reply"]
    for between, least, most in ((1, 0.8, 1), (10, 0, 0.2)):
        found = [row["name"] in reply(told(row, between)) for row in people if not row["new"]]
        assert least <= sum(found) / len(found) <= most


@pytest.fixture(scope="module")
def address(cells, names):
    with served(cell_with(cells, "def chat("), names) as visitor:
        yield visitor.src


def test_in_the_browser_it_remembers_your_name(address, open_page):
    page = open_page(address)
    for number, text in enumerate(("My name is Rosa.", "What is my name?"), start=1):
        page.get_by_role("textbox").first.fill(text)
        page.keyboard.press("Enter")
        replies = page.locator(".bot.message, .message.bot")
        replies.nth(number - 1).wait_for()
    page.get_by_text(re.compile(r"(Your name is|You are) Rosa")).wait_for()


# ---- translation and summaries


def test_it_translates_as_the_examples_say(said):
    scores = dict(re.findall(r"(\w+ to \w+) chrF ([\d.]+)", said))
    assert float(scores["English to French"]) >= LIMITS["chrf"]
    assert float(scores["French to English"]) >= LIMITS["chrf"]
    assert float(scores["Spanish to French"]) <= LIMITS["never_trained_at_most"]


@pytest.mark.parametrize(
    ("source", "target"),
    [("English", "French"), ("English", "Spanish"), ("Spanish", "English"), ("French", "English")],
)
def test_the_code_of_the_target_decides_the_language(names, source, target):
    row = names["parallel"][1]
    assert names["translate"]([row[source]], source, target) == [row[target]]


def test_it_sums_up_what_happened_and_invents_where_nothing_did(names, said):
    story = names["stories"][0]
    assert names["summarise"]([story["text"]]) == [story["summary"]]
    assert names["rouge"]("a b c d", "a b c d") == 1
    assert 0 < names["rouge"]("a b c d", "a b x d") < 1
    (told,) = re.findall(r"went home happy\.\n→ (.+)", said)
    assert "not" not in told.split(), "the lesson: it has no summary for what did not happen"


# ---- what it costs, and the leaderboard


def test_blenderbot_and_llama_have_the_parameters_that_their_papers_say(said):
    found = re.findall(r"(Blenderbot|LLaMA)[^\n]*? ([\d,]{9,})", said)
    counts = {name: int(count.replace(",", "")) for name, count in found}
    assert counts["Blenderbot"] == pytest.approx(364.8e6, rel=0.01)
    assert counts["LLaMA"] == pytest.approx(6.74e9, rel=0.01)


def test_the_summarizer_leads_and_the_intervals_hold_the_means(said):
    rows = re.findall(r"(.+?) +(\d\.\d+) +from +(\d\.\d+) to +(\d\.\d+)", said)
    scores = {name.strip(): tuple(map(float, row)) for name, *row in rows}
    del scores["difference of the first two"]
    assert len(scores) == 5
    for mean, low, high in scores.values():
        assert low <= mean <= high
    order = sorted(scores, key=lambda name: scores[name][0])
    assert order[-1].startswith("summarizer")
    assert order[-2].startswith("assistant"), "it does what it is asked to"
    assert order[0].startswith("Pip"), "the lesson: who was not taught to, cannot"
    low, high = map(float, re.search(r"first two.* from +(-?[\d.]+) to +(-?[\d.]+)", said).groups())
    assert low <= 0.05 and high >= 0


def test_the_parrot_knows_the_public_test_by_heart_and_nothing_else(said):
    found = re.findall(r"(public|secret) (\w+) +ROUGE-L (\d\.\d\d)", said)
    scores = {(where, who): float(score) for where, who, score in found}
    assert scores["public", "parrot"] >= LIMITS["parrot_public"]
    assert scores["secret", "parrot"] <= scores["public", "parrot"] - LIMITS["parrot_gap"]
    assert scores["secret", "summarizer"] >= LIMITS["parrot_public"]
