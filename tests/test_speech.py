"""Toytown's speech: who speaks, when each sound is heard, and what rooms and noise do to it."""

from itertools import pairwise

import numpy as np
import pytest
from conftest import needs_espeak
from toytown.speech import CROWD, SAMPLING_RATE, VOICES, gain, noise, room, speak, with_noise

pytestmark = needs_espeak
TEXT = "The red bus is late."


def level(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform))))


def pitch(waveform: np.ndarray) -> float:
    """The fundamental frequency of a voice in Hz: the best lag of the autocorrelation."""
    found = []
    for start in range(0, len(waveform) - 1024, 512):
        frame = waveform[start : start + 1024]
        if level(frame) > level(waveform):
            correlation = np.correlate(frame, frame, "full")[1023:]
            lags = range(SAMPLING_RATE // 400, SAMPLING_RATE // 60)
            found.append(SAMPLING_RATE / max(lags, key=lambda lag: correlation[lag]))
    return float(np.median(found))


def test_there_are_voices_of_three_languages_and_some_are_kept_out_of_training():
    english = {voice.accent for voice in VOICES.values() if voice.language == "en"}
    assert {"american", "british", "scottish"} <= english
    for language in ("en", "fr", "es"):
        mine = [voice for voice in VOICES.values() if voice.language == language]
        assert {voice.sex for voice in mine} == {"f", "m"}
        assert 3 <= sum(not voice.trained for voice in mine) < len(mine) / 2
    assert len(VOICES) >= 16
    assert len({voice.espeak for voice in VOICES.values()}) == len(VOICES)


def test_the_crowd_of_the_training_has_none_of_the_voices_that_are_kept_out():
    for language in ("en", "fr", "es"):
        kept = {v.espeak.partition("+")[2] for v in VOICES.values() if v.language == language}
        kept -= {v.espeak.partition("+")[2] for v in VOICES.values() if v.trained}
        crowd = {v.espeak.partition("+")[2] for v in CROWD.values() if v.language == language}
        assert kept and len(crowd) >= 50
        assert not kept & crowd


@pytest.mark.parametrize("voice", [name for name in CROWD if "american" in name])
def test_a_throat_of_the_crowd_is_heard(voice: str):
    waveform = speak(TEXT, voice).waveform
    assert 0.02 < level(waveform) < 0.4
    assert 0.8 < len(waveform) / SAMPLING_RATE < 4


@pytest.mark.parametrize("voice", VOICES)
def test_a_voice_says_a_sentence_and_when_each_word_of_it(voice: str):
    speech = speak(TEXT, voice)
    assert speech.sampling_rate == SAMPLING_RATE
    assert speech.waveform.dtype == np.float32
    assert 1 < len(speech.waveform) / SAMPLING_RATE < 4
    assert 0.05 < np.abs(speech.waveform).max() < 1.2
    assert [TEXT[first:last] for first, last, *_ in speech.words] == TEXT.split()
    times = [moment for *_, start, end in speech.words for moment in (start, end)]
    assert times == sorted(times), "one word after the other"
    for *_, start, end in speech.words:
        part = speech.waveform[int(start * SAMPLING_RATE) : int(end * SAMPLING_RATE)]
        assert level(part) > 0.01, "and something is heard while it is said"
    after = speech.waveform[int((times[-1] + 0.05) * SAMPLING_RATE) :]
    assert not len(after) or level(after) < 0.02


def test_a_long_text_has_the_times_of_all_its_words():
    text = " ".join(["One red bus is late today."] * 40)
    words = speak(text, "american_m3").words
    assert len(words) == 240
    assert [end for *_, end in words] == sorted(end for *_, end in words)


def test_words_that_are_said_as_one_have_one_time_that_lasts_over_both():
    text = "The cat sat on the mat."
    words = {
        text[first:last]: (start, end)
        for first, last, start, end in speak(text, "british_f1").words
    }
    assert "on" in words and "mat." in words
    assert words["mat."][0] - words["on"][1] < 0.1, "no gap where the second of them is said"


@pytest.mark.parametrize("text", ["", "  ", "...", "?!"])
def test_a_text_without_a_word_is_refused(text: str):
    with pytest.raises(ValueError, match="nothing to say: give a text"):
        speak(text, "american_m3")


def test_phonemes_follow_one_another_without_a_gap():
    phonemes = speak(TEXT, "american_m3").phonemes
    assert "V" in [symbol for symbol, *_ in phonemes], "the vowel of 'bus'"
    for (*_, end), (_, start, _) in pairwise(phonemes):
        assert start == pytest.approx(end)


def test_speed_and_pitch_are_heard():
    slow, fast = (len(speak(TEXT, "american_m3", speed).waveform) for speed in (120, 200))
    assert slow > 1.3 * fast
    low, high = (pitch(speak(TEXT, "american_m3", pitch=p).waveform) for p in (20, 80))
    assert high > 1.2 * low


def test_women_speak_higher_than_men():
    of = {
        sex: np.median([pitch(speak(TEXT, n).waveform) for n, v in VOICES.items() if v.sex == sex])
        for sex in "fm"
    }
    assert of["f"] > 1.2 * of["m"]


def test_french_and_spanish_are_read_as_such():
    english, french = (speak("Il est dix heures.", v) for v in ("american_m3", "french_m3"))
    symbols = [{symbol for symbol, *_ in speech.phonemes} for speech in (english, french)]
    assert symbols[0] != symbols[1]
    assert len(speak("¿Dónde está la señora Núñez?", "spanish_f2").words) == 5


@pytest.mark.parametrize("decibels", [0, 10, 20])
@pytest.mark.parametrize("kind", ["white", "pink", "brown", "hum", "music", "speech"])
def test_noise_lies_as_far_below_speech_as_one_asks(kind: str, decibels: float):
    random = np.random.default_rng(0)
    speech = speak(TEXT, "british_f1").waveform
    background = noise(random, len(speech), kind)
    assert level(background) == pytest.approx(1, abs=0.01)
    heard = with_noise(speech, background, decibels)
    spoken = speech[: len(speech) // 400 * 400].reshape(-1, 400)  # blocks of 25 ms
    spoken = spoken[(spoken**2).mean(1) > (spoken**2).mean(1).max() / 1_000]  # without pauses
    measured = 20 * np.log10(level(spoken) / level(heard - speech))
    assert measured == pytest.approx(decibels, abs=0.1)


def test_a_room_rings_on_and_keeps_the_level():
    speech = speak(TEXT, "american_f3").waveform
    heard = room(np.random.default_rng(1), speech, 0.5)
    assert level(heard) == pytest.approx(level(speech), rel=0.01)
    quiet = np.abs(speech) < 1e-4
    assert level(heard[quiet]) > 3 * level(speech[quiet])


def test_gain_keeps_the_shape_and_the_peak_within_bounds():
    speech = speak(TEXT, "american_f3").waveform
    peaks = {
        round(float(np.abs(gain(np.random.default_rng(i), speech)).max()), 3) for i in range(9)
    }
    assert len(peaks) == 9 and min(peaks) >= 0.05 and max(peaks) <= 0.951
    assert not gain(np.random.default_rng(0), np.zeros(100, np.float32)).any()


def test_what_cannot_be_said_gets_a_sentence():
    with pytest.raises(ValueError, match="no voice 'robot': choose one of american_m1"):
        speak(TEXT, "robot")
    with pytest.raises(ValueError, match="nothing to say"):
        speak("  ", "american_m3")
    with pytest.raises(ValueError, match="speed is 900 and pitch 50: 80 to 400"):
        speak(TEXT, "american_m3", speed=900)
    with pytest.raises(ValueError, match="no noise 'loud': white, pink"):
        noise(np.random.default_rng(0), 100, "loud")
