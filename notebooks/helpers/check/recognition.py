"""The self-checks of 2.4. Automatic Speech Recognition."""

import functools
import math
import textwrap

import numpy as np

from helpers import media
from helpers.check.verdict import Verdict, checklist, pipeline_of, self_check

transcriber = functools.partial(pipeline_of, "automatic-speech-recognition", "transcriber")


def words_of(text: str) -> list[str]:
    """The words of a text, by Whisper's own normaliser."""
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return BasicTextNormalizer()(text).split()


@self_check("answer is your function itself: from a text to the same text, made comparable.")
def normalised(answer: object) -> Verdict:
    """A function that makes texts comparable where they mean the same, and only there."""
    same, apart = "must become the same", "must stay apart"
    cases = {
        "capitals and punctuation are not heard": ("Hello, Rosa!", same, "hello rosa"),
        "Dr and doctor are one word": ("Dr Stone is in", same, "doctor Stone is in"),
        "Dr. with a point is doctor, too": ("Ask Dr. Stone.", same, "ask doctor Stone"),
        "only whole words: Dr is no part of drive": ("Drive on", apart, "doctorive on"),
        "fifteen is not fifty": ("fifteen euros", apart, "fifty euros"),
        "15 is not 50": ("15 euros", apart, "50 euros"),
        "a mark between two digits is part of the number": ("3.50 euros", apart, "350 euros"),
        "a time of day is no number of three digits": ("at 3:40", apart, "at 340"),
        "a full stop after a number is no part of it": ("It costs 350.", same, "it costs 350"),
        "two words are not one": ("a bus stop", apart, "a busstop"),
        "spaces do not count, however many": ("a  bus - stop", same, "a bus stop"),
    }
    for hint, (first, wanted, second) in cases.items():
        texts = answer(first), answer(second)
        if not all(isinstance(text, str) for text in texts):
            return Verdict(False, "a text", texts[0], "Return a text, a str.")
        if (texts[0].strip() == texts[1].strip()) != (wanted == same):
            expected = f"{first!r} and {second!r} {wanted}"
            return Verdict(False, expected, texts, f"{hint[0].upper()}{hint[1:]}.")
    return Verdict(True, f"{len(cases)} cases of {len(cases)}", f"{len(cases)} cases")


@self_check("answer = (a path, an address or a name such as 'greeting', the words that you said).")
def own_voice(answer: object) -> Verdict:
    """A recording of the reader's and what is said in it, beside what the transcriber writes."""
    import jiwer

    source, said = answer
    waveform, rate = media.audio(source)
    seconds, words = len(waveform) / rate, words_of(said)
    loud = float(np.sqrt(np.mean(waveform**2)))
    done = {
        "it lasts from 1 to 30 seconds": 1 <= seconds <= 30,
        "something can be heard in it": loud > 0.003,
        "you wrote down three words or more": len(words) >= 3,
        "they can be said in that time": len(words) <= 6 * seconds,
    }
    verdict = checklist(done)
    if verdict.right:
        heard = transcriber()(waveform)["text"].strip()
        wer = jiwer.wer(" ".join(words), " ".join(words_of(heard)))
        print(f"said:  {said}\nheard: {heard}\nWER {wer:.0%} of {len(words)} words")
    return verdict


@self_check("answer is your function itself: from text, start and end to a list of subtitles.")
def subtitles(answer: object) -> Verdict:
    """A function that makes of a phrase subtitles of two lines of at most 42 characters."""
    short = "That was everything, thank you."
    two = "My grandmother and I will order twenty-three gloves by Monday."
    long = " ".join(f"Then Oscar has to repair window {number} by Monday." for number in range(9))
    for text, start, end in ((short, 1.0, 3.0), (two, 0.0, 4.0), (long, 12.5, 40.0)):
        shown = [(float(begin), float(finish), str(part)) for begin, finish, part in
                 answer(text, start, end)]  # fmt: skip
        lines = [line for *_, part in shown for line in part.split("\n")]
        begins, ends = [row[0] for row in shown], [row[1] for row in shown]
        shares = [(finish - begin) / max(1, len(part)) for begin, finish, part in shown]
        faults = {
            "No line has over 42 characters.": max(map(len, lines)) > 42,
            "A subtitle has at most two lines.": any(p.count("\n") > 1 for *_, p in shown),
            "Cut and lose no word; a hyphen stays inside its word.": (
                " ".join(lines).split() != text.split()
            ),
            "Put two lines on the screen where there are two.": (
                len(shown) > math.ceil(len(lines) / 2)
            ),
            "Fill the lines: start another where the next word would not fit.": (
                len(lines) > len(textwrap.wrap(text, 42, break_on_hyphens=False))
            ),
            "The first begins at start, the last ends at end.": not np.allclose(
                [begins[0], ends[-1]], [start, end], atol=0.01
            ),
            "Each begins where the one before ends.": not np.allclose(
                begins[1:], ends[:-1], atol=0.05
            ),
            "Share the time out by length: long ones stay longer.": min(shares) <= 0
            or max(shares) > 1.5 * min(shares),
        }
        for hint, faulty in faults.items():
            if faulty:
                return Verdict(False, "subtitles that fit and lose nothing", shown, hint)
    return Verdict(True, "3 phrases of 3", "3 phrases")
