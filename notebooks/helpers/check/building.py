"""The self-checks of Build an LLM."""

import functools
import math

from helpers import media
from helpers.check.verdict import Verdict, checklist, self_check
from helpers.checkpoints import ASSETS

CARD_DAY = 989e12 * 0.40 * 24 * 3600  # operations of one H100 in a day, at 40 % of its peak


@self_check("FLOPs = 6 · N · D and D = 20 · N: put the second into the first; answer = (N, D).")
def one_card_one_day(answer: object) -> Verdict:
    """The parameters and tokens for which one card's day is best spent."""
    parameters, tokens = (float(number) for number in answer)
    best = math.sqrt(CARD_DAY / 120)
    expected = f"{best / 1e6:.0f} million parameters, {20 * best / 1e9:.1f} billion tokens"
    yours = f"{parameters / 1e6:.0f} million, {tokens / 1e9:.1f} billion"
    spent = 6 * parameters * tokens / CARD_DAY
    hint = None
    if not 0.95 <= spent <= 1.05:
        hint = f"6 · N · D of yours takes {spent:.2f} days of the card: it should take one."
    elif not 19 <= tokens / parameters <= 21:
        hint = f"It takes a day, but with {tokens / parameters:.1f} tokens a parameter, not 20."
    return Verdict(hint is None, expected, yours, hint)


@functools.cache
def _assistant():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The course's own on every tier: its template marks what the assistant wrote.
    folder = ASSETS / "checkpoints" / "assistant"
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def _bits_a_byte(text: str) -> float:
    from torch import inference_mode

    model, words = _assistant()
    ids = words(text, return_tensors="pt")["input_ids"]
    with inference_mode():
        loss = model(ids, labels=ids).loss.item()  # nats, a mean over all tokens but the first
    return loss * (ids.shape[1] - 1) / math.log(2) / len(text.encode())


@self_check('answer = "Two or three sentences of your own, eight words or more."')
def own_bits(answer: object) -> Verdict:
    """A text of the reader's own, beside a story of Toytown: what each costs in bits per byte."""
    text = " ".join(answer.split())
    story = media.examples("stories")[0]["text"]
    yours, ours = _bits_a_byte(text), _bits_a_byte(story)
    print(f"yours {yours:.2f} bits per byte, a story of Toytown {ours:.2f}")
    done = {
        "it has eight words or more": len(text.split()) >= 8,
        "it is your own, no story of the course": text not in media.examples("stories")["text"],
        "it surprises the assistant more than a story of its town": yours > ours,
    }
    return checklist(done)


@self_check("answer is your function itself: from messages and a tokenizer to ids and labels.")
def masked_labels(answer: object) -> Verdict:
    """A function that labels each of the assistant's turns, and nothing else."""
    _, words = _assistant()
    messages = [
        {"role": "user", "content": "My name is Rosa."},
        {"role": "assistant", "content": "Hello, Rosa!"},
        {"role": "user", "content": "What is my name?"},
        {"role": "assistant", "content": "Your name is Rosa."},
    ]
    how = {"return_dict": True, "return_assistant_tokens_mask": True}
    made = words.apply_chat_template(messages, **how)
    ids, labels = (list(map(int, numbers)) for numbers in answer(messages, words))
    if ids != made["input_ids"]:
        hint = "The ids are those of apply_chat_template, unchanged."
        return Verdict(False, f"{len(made['input_ids'])} ids", f"{len(ids)} ids", hint)
    wanted = [i if own else -100 for i, own in zip(ids, made["assistant_masks"], strict=True)]
    learnt = sum(made["assistant_masks"])
    yours = f"{sum(label != -100 for label in labels)} of {len(labels)} labelled"
    hint = "Where the mask is 0 the label is -100, elsewhere it is the id itself."
    if labels == ids:
        hint = "It would learn to write the questions, too: mask them with -100."
    elif labels == [-100 if label == wanted_one else label for label, wanted_one in zip(
        labels, wanted, strict=False
    )]:  # fmt: skip
        hint = "Nothing is left to learn: the assistant's own tokens keep their ids."
    return Verdict(labels == wanted, f"{learnt} of {len(ids)} labelled", yours, hint)
