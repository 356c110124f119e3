"""The self-checks of 2.1. Intro to NLP."""

import math
import re

import numpy as np

from helpers import media
from helpers.check.verdict import Verdict, checklist, self_check
from helpers.checkpoints import checkpoint


def _writer(role: str) -> tuple:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    name = checkpoint(role)
    return AutoTokenizer.from_pretrained(name), AutoModelForSeq2SeqLM.from_pretrained(name)


@self_check("answer is your function itself: from a story and a summary to True or False.")
def invented(answer: object) -> Verdict:
    """A function that suspects summaries in which something is not in the story."""
    rows = list(media.examples("stories"))[60:]
    others = [*rows[7:], *rows[:7]]
    told = [(row["text"], row["summary"]) for row in rows]
    false = []
    for row, other in zip(rows, others, strict=True):
        for fact in ("who", "what", "where"):
            if other[fact] not in row["text"]:
                false.append((row["text"], row["summary"].replace(row[fact], other[fact])))
    people = {row["who"] for row in media.examples("stories")}
    mixed = [
        (row["text"], row["summary"].replace(row["who"], name, 1))
        for row in rows
        for name in sorted(set(re.findall(r"\w+", row["text"])) & people - {row["who"]})
    ]
    caught, alarms, lost = (
        np.mean([bool(answer(*pair)) for pair in pairs]) for pairs in (false, told, mixed)
    )
    print(f"Of summaries with two people of the story exchanged you suspect {lost:.0%}.")
    hint = "True summaries are stopped, too: which of their words does the story not have?"
    if caught < 0.9:
        hint = "Inventions pass: compare every word, the names above all, with the story's."
    found = f"{caught:.0%} and {alarms:.0%}"
    return Verdict(
        caught >= 0.9 and alarms <= 0.1,
        f"at least 90% of {len(false)} inventions, at most 10% of true ones",
        found,
        hint,
    )


@self_check('answer = [("English.", "French or Spanish."), ("One word changed.", "The same.")]')
def own_sentence(answer: object) -> Verdict:
    """Two sentences of the reader's, a word apart: the translator does one, and not the other."""
    from sacrebleu.metrics import CHRF

    from helpers.checkpoints import current_tier, row

    words, model = _writer("translator")
    codes = row("translator", current_tier().name)["languages"]
    scores = []
    for english, wanted in answer:
        found = []
        for language in ("French", "Spanish"):
            words.src_lang, words.tgt_lang = codes["English"], codes[language]
            first = words(text_target="")["input_ids"][0]
            ids = model.generate(**words(english, return_tensors="pt"), forced_bos_token_id=first)
            text = words.decode(ids[0], skip_special_tokens=True)
            found.append((CHRF().sentence_score(text, [wanted]).score, text))
        print(f"{english} → {max(found)[1]} (chrF with yours: {max(found)[0]:.0f})")
        scores.append(max(found)[0])
    texts = [english.split() for english, _ in answer]
    changed = [one != other for one, other in zip(*texts, strict=False)]
    known = media.examples("parallel")["English"]
    done = {
        "two English sentences of four words or more": len(texts) == 2 and min(map(len, texts)) > 3,
        "one word changed, the others kept": len({*map(len, texts)}) == 1 and sum(changed) == 1,
        "the first is none of our examples": answer[0][0] not in known,
        "the first is translated as you would (70 or more)": scores[0] >= 70,
        "the second is not (at least 20 less)": scores[1] <= scores[0] - 20,
    }
    return checklist(done)


@self_check("answer is your function itself: from a list of turns and a limit to a shorter list.")
def lasting_memory(answer: object) -> Verdict:
    """A function that chooses which turns fit into the window, so that a name comes back."""
    words, model = _writer("chatbot")
    mark, limit = f"{words.eos_token} {words.bos_token}", words.model_max_length
    rows = [row for row in media.examples("introductions") if not row["new"]]
    right = []
    for row in rows:
        talk = [line for pair in row["talk"] for line in pair]
        name = row["name"]
        begin = 2 * (len(right) % 3)  # the name is not always told at the same place
        told = [f"My name is {name}.", f"Nice to meet you, {name}."]
        turns = [*talk[:begin], *told, *talk[begin:], "What is my name?"]
        kept, rest = list(answer(list(turns), limit)), iter(turns)
        if kept[-1:] != turns[-1:] or not all(turn in rest for turn in kept):
            return Verdict(
                False,
                "turns in their order, with the last",
                kept[-2:],
                "Leave turns out, change none, and keep the question.",
            )
        inputs = words(mark.join(kept), return_tensors="pt")
        if len(inputs["input_ids"][0]) > limit:
            size = len(inputs["input_ids"][0])
            return Verdict(
                False, f"at most {limit} tokens", size, "Count the tokens of the joined turns."
            )
        right.append(name in words.decode(model.generate(**inputs)[0], skip_special_tokens=True))
    hint = "Keep what people say of themselves, and fill the rest with the last turns."
    return Verdict(
        sum(right) >= 0.8 * len(rows),
        f"at least {math.ceil(0.8 * len(rows))} of {len(rows)} names",
        sum(right),
        hint,
    )
