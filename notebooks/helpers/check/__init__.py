"""The exercises' self-checks: a hint, never a traceback, whatever the answer is.

To add one, write a function from the answer to a Verdict and decorate it with a hint::

    @self_check("Read the row of the first sentence: which other column is highest?")
    def closest_pair(answer: object) -> Verdict:
        pair = tuple(sorted(answer))
        return Verdict(pair == (0, 1), expected="(0, 1)", yours=pair)

An answer that makes the function fail (None, a function, an array of another shape …) gets the
hint too. Where one wrong answer deserves a hint of its own, give `Verdict(…, hint="…")`.
"""

from helpers.check.building import masked_labels, one_card_one_day, own_bits
from helpers.check.deployment import fails_well, own_visitor, smallest_batch
from helpers.check.detection import own_picture, suppress, two_thresholds
from helpers.check.embeddings import nothing_found, own_words, refund_bot
from helpers.check.gemini import own_picture_described, pay_once, two_temperatures
from helpers.check.hub import own_post, pickle_scanner, voice_for_a_shop
from helpers.check.language import invented, lasting_memory, own_sentence
from helpers.check.multimodal import doubt_the_question, own_negative, when_to_be_silent
from helpers.check.recognition import normalised, own_voice, subtitles
from helpers.check.segmentation import clean, own_click, ten_corrections
from helpers.check.sounds import own_sound, sound_search, two_lines
from helpers.check.speech import announcement, dialogue, own_text

__all__ = [
    "announcement",
    "clean",
    "dialogue",
    "doubt_the_question",
    "fails_well",
    "invented",
    "lasting_memory",
    "masked_labels",
    "normalised",
    "nothing_found",
    "one_card_one_day",
    "own_bits",
    "own_click",
    "own_negative",
    "own_picture",
    "own_picture_described",
    "own_post",
    "own_sentence",
    "own_sound",
    "own_text",
    "own_visitor",
    "own_voice",
    "own_words",
    "pay_once",
    "pickle_scanner",
    "refund_bot",
    "smallest_batch",
    "sound_search",
    "subtitles",
    "suppress",
    "ten_corrections",
    "two_lines",
    "two_temperatures",
    "two_thresholds",
    "voice_for_a_shop",
    "when_to_be_silent",
]
