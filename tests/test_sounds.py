"""Sounds of Toytown: each kind is what it says it is, by what one can measure of it."""

import time
import tomllib

import numpy as np
import pytest
from conftest import ROOT
from scipy.signal import find_peaks, periodogram
from toytown.sounds import KINDS, LABELS, RATE, WORDS, caption, mixture, silence, sound
from toytown.vocabulary import THINGS

THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["sounds"]
SEEDS = range(5)


def made(kind: str, seed: int, seconds: float = 5.0, sampling_rate: int = RATE) -> np.ndarray:
    return sound(np.random.default_rng(seed), kind, seconds, sampling_rate)


def frames(wave: np.ndarray, size: int = 2048, hop: int = 1024) -> np.ndarray:
    """Power spectra, of shape (frames, frequencies)."""
    pieces = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop] * np.hanning(size)
    return np.abs(np.fft.rfft(pieces)) ** 2


def pitches(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """The strongest frequency between two, in Hz, of each frame that is loud."""
    power = frames(wave, 4096)
    frequencies = np.fft.rfftfreq(4096, 1 / RATE)
    inside = (frequencies > low) & (frequencies < high)
    loud = power.sum(1) > 0.1 * np.quantile(power.sum(1), 0.95)
    return frequencies[inside][power[loud][:, inside].argmax(1)]


def envelope(wave: np.ndarray, milliseconds: int = 5) -> np.ndarray:
    size = RATE * milliseconds // 1000
    return np.sqrt(np.mean(wave[: len(wave) // size * size].reshape(-1, size) ** 2, axis=1))


def flatness(wave: np.ndarray) -> float:
    """The spectrum's geometric over its arithmetic mean, 100 to 8,000 Hz: 1 for white noise."""
    frequencies = np.fft.rfftfreq(2048, 1 / RATE)
    mean = frames(wave).mean(0)[(frequencies > 100) & (frequencies < 8000)]
    return float(np.exp(np.log(mean).mean()) / mean.mean())


def centroid(wave: np.ndarray) -> float:
    mean = frames(wave).mean(0)
    return float((np.fft.rfftfreq(2048, 1 / RATE) * mean).sum() / mean.sum())


def steadiness(wave: np.ndarray) -> float:
    """The quiet tenth of 50 ms pieces over the loud tenth: 1 for what never changes."""
    quiet, loud = np.quantile(envelope(wave, 50), (0.1, 0.9))
    return float(quiet / loud)


# Every kind ----------------------------------------------------------------------------------


def test_there_are_enough_kinds_and_the_vocabulary_has_them():
    assert len(KINDS) >= 24
    assert {row["sound"] for row in THINGS.values() if "sound" in row} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_finite_audible_unclipped_and_as_long_as_asked(kind: str):
    for seed in SEEDS:
        for sampling_rate in (48_000, 16_000):
            for seconds in (0.05, 1.234, 5.0):
                wave = made(kind, seed, seconds, sampling_rate)
                assert wave.dtype == np.float32
                assert wave.shape == (round(seconds * sampling_rate),)
                assert np.isfinite(wave).all()
                assert np.abs(wave).max() <= 1
        loud = np.quantile(envelope(made(kind, seed), 50), 0.95)
        assert 20 * np.log10(loud) > THRESHOLDS["decibels"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_sound_and_another_seed_is_another(kind: str):
    first, again, other = made(kind, 1), made(kind, 1), made(kind, 2)
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.5


def test_sixteen_kilohertz_is_the_same_sound_without_what_is_too_high_for_it():
    wide, narrow = made("meow", 3), made("meow", 3, sampling_rate=16_000)
    low = wide[:240_000].reshape(-1, 3).mean(1)  # a crude resampling, good below 2 kHz
    assert np.corrcoef(low, narrow)[0, 1] > 0.95


def test_sounds_are_made_fast_enough_to_train_on():
    times = []
    for kind in KINDS:
        began = time.process_time()
        made(kind, 1)
        times.append(time.process_time() - began)
    assert 1000 * np.mean(times) <= THRESHOLDS["milliseconds"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kind": "purr"}, "There is no sound 'purr': choose from bark, meow"),
        ({"kind": "bark", "seconds": 0}, "seconds is 0: give from 0.01 to 600"),
        ({"kind": "bark", "seconds": 3601}, "seconds is 3601: give from 0.01 to 600"),
        ({"kind": "bark", "sampling_rate": 0}, "sampling_rate is 0: give from 4000"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_sentence(arguments: dict, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        sound(np.random.default_rng(0), **arguments)


# What they are -------------------------------------------------------------------------------


def test_the_animals_speak_each_at_its_own_pitch():
    voices = {"moo": (70, 260), "bark": (150, 1000), "meow": (250, 1100), "birdsong": (1500, 7000)}
    centroids = {kind: [centroid(made(kind, seed)) for seed in SEEDS] for kind in voices}
    assert max(centroids["moo"]) < min(centroids["meow"]) < min(centroids["birdsong"])
    for kind, (low, high) in voices.items():
        for seed in SEEDS:
            power = frames(made(kind, seed)).mean(0)
            frequencies = np.fft.rfftfreq(2048, 1 / RATE)
            strong = frequencies[power > 0.05 * power.max()]
            assert ((strong > low) & (strong < high)).any()
            assert strong.min() > 0.6 * low


def test_a_siren_goes_up_and_down():
    for seed in SEEDS:
        line = pitches(made("siren", seed), 400, 2000)
        low, high = np.quantile(line, (0.05, 0.95))
        assert high / low > 1.2
        turns = np.count_nonzero(np.diff(line > (low + high) / 2))
        assert 2 <= turns <= 40


def test_an_alarm_keeps_its_pitch_and_beeps():
    for seed in SEEDS:
        wave = made("alarm", seed)
        line = pitches(wave, 900, 4000)
        assert np.mean(np.abs(line - np.median(line)) < 30) > 0.8
        edges = np.diff((envelope(wave) > 0.4 * envelope(wave).max()).astype(int))
        assert np.count_nonzero(edges == 1) >= 10


def test_a_clock_ticks_at_even_intervals():
    for seed in SEEDS:
        loudness = envelope(made("clock", seed))
        ticks, _ = find_peaks(loudness, height=0.3 * loudness.max(), distance=40)
        gaps = np.diff(ticks) * 0.005
        assert 7 <= len(ticks) <= 17
        assert gaps.std() < 0.006, "to the length of a frame"


def test_footsteps_come_at_a_walking_pace_and_knocks_in_groups():
    for seed in SEEDS:
        steps = envelope(made("footsteps", seed), 10)
        at, _ = find_peaks(steps, height=0.35 * steps.max(), distance=30)
        assert 0.4 < np.median(np.diff(at)) * 0.01 < 0.75
        knocks = envelope(made("knock", seed), 10)
        at, _ = find_peaks(knocks, height=0.25 * knocks.max(), distance=9)
        gaps = np.diff(at) * 0.01
        assert gaps.min() < 0.28 < 0.55 < gaps.max()


def test_a_bell_dies_away_and_its_partials_are_no_harmonics():
    for seed in SEEDS:
        wave = made("bell", seed)
        begin = int(np.abs(wave[: RATE // 2]).argmax())  # its first stroke
        after = envelope(wave[begin : begin + int(1.2 * RATE)], 100)
        assert after[-1] < 0.75 * after[0]
        frequencies, power = periodogram(wave, RATE)
        low = frequencies < 2500
        peaks, _ = find_peaks(power[low], height=0.02 * power[low].max(), distance=100)
        found = frequencies[peaks]
        fifths = [b / a for a in found for b in found if 1.17 < b / a < 1.21]
        assert fifths, "the minor third of a church bell, which no harmonic of a low tone makes"


def test_rain_is_broad_and_steady_and_a_wave_of_the_sea_is_not():
    for seed in SEEDS:
        rain, sea = made("rain", seed), made("sea", seed)
        assert flatness(rain) > 0.5
        assert steadiness(rain) > 0.7 > steadiness(sea)


def test_the_wind_howls_in_a_narrow_band_and_thunder_is_low():
    for seed in SEEDS:
        assert flatness(made("wind", seed)) < 0.2
        assert centroid(made("thunder", seed)) < 800


def test_a_horn_is_two_notes_and_an_engine_a_fast_row_of_pulses():
    for seed in SEEDS:
        frequencies, power = periodogram(made("horn", seed), RATE, window="hann")
        inside = (frequencies > 280) & (frequencies < 640)
        peaks, _ = find_peaks(power[inside], height=0.2 * power[inside].max(), distance=50)
        lowest = frequencies[inside][peaks]
        assert any(1.15 < b / a < 1.3 for a in lowest for b in lowest)
        engine = made("engine", seed)[:RATE]
        likeness = np.correlate(engine[: RATE // 2], engine[: RATE // 4], "valid")
        lags = np.arange(len(likeness)) / RATE
        at = lags[(lags > 0.009)][likeness[lags > 0.009].argmax()]
        assert 0.009 < at < 0.2


def test_laughter_has_about_five_syllables_a_second():
    for seed in SEEDS:
        wave = envelope(made("laughter", seed), 10)
        rhythm = np.abs(np.fft.rfft(wave - wave.mean(), 4096))
        rates = np.fft.rfftfreq(4096, 0.01)
        inside = (rates > 3) & (rates < 9)
        assert 4.0 < rates[inside][rhythm[inside].argmax()] < 6.5


def test_no_two_kinds_are_near_twins():
    """A nearest neighbour among long-term figures alone tells most sounds apart."""

    def figures(wave: np.ndarray) -> np.ndarray:
        power = np.log10(frames(wave).mean(0)[2:] + 1e-12)
        bands = [band.mean() for band in np.array_split(power[: 2**9], 16)]
        loud = np.sort(envelope(wave, 20))
        shape = np.log10(loud[:: len(loud) // 10] / loud[-5] + 1e-4)
        return np.array([*(np.array(bands) - max(bands)), *shape])

    known = np.array([[figures(made(kind, seed)) for seed in range(20, 30)] for kind in KINDS])
    spread = known.reshape(-1, known.shape[-1]).std(0)
    right = 0
    for i, kind in enumerate(KINDS):
        for seed in SEEDS:
            away = np.linalg.norm((known - figures(made(kind, seed))) / spread, axis=-1)
            right += i == away.min(1).argmin()
    assert right / len(KINDS) / len(SEEDS) >= THRESHOLDS["told_apart"]


# Mixtures and silence ------------------------------------------------------------------------


def test_a_mixture_holds_both_of_its_sounds():
    for seed in SEEDS:
        wave = mixture(np.random.default_rng(seed), ("moo", "birdsong"))
        power, frequencies = frames(wave).max(0), np.fft.rfftfreq(2048, 1 / RATE)
        low = power[(frequencies > 70) & (frequencies < 600)].max()
        high = power[(frequencies > 2000) & (frequencies < 7000)].max()
        middle = np.median(power[(frequencies > 8000) & (frequencies < 12000)])
        assert min(low, high) > 10 * middle
        assert abs(10 * np.log10(low / high)) < 25
    with pytest.raises(ValueError, match="name at least one"):
        mixture(np.random.default_rng(0), ())


def test_silence_is_faint_noise_in_which_nothing_happens():
    for seed in SEEDS:
        wave = silence(np.random.default_rng(seed))
        assert 0 < np.sqrt(np.mean(wave**2)) < 0.03
        assert steadiness(wave) > 0.6


# Words ---------------------------------------------------------------------------------------


def test_every_kind_has_many_wordings_and_some_are_kept_for_a_test():
    assert set(WORDS) == {"templates", *KINDS}
    for kind in KINDS:
        row = WORDS[kind]
        assert len({*row["phrases"], *row["clauses"]}) >= 11
        assert len(row["unseen"]) >= 3
        assert row["strange"]
    everything = [t for kind in KINDS for form in WORDS[kind].values() for t in form]
    assert len(everything) == len(set(everything)), "no wording is of two kinds or of two forms"
    assert len(set(LABELS.values())) == len(KINDS)


def test_captions_name_what_is_heard_in_words_for_training():
    rng, kept = np.random.default_rng(0), [t for k in KINDS for t in WORDS[k]["unseen"]]
    for kind in KINDS:
        for other in KINDS:
            kinds = (kind,) if kind == other else (kind, other)
            text = caption(rng, kinds)
            for name in kinds:
                row = WORDS[name]
                assert any(said in text for said in (*row["phrases"], *row["clauses"])), text
            assert text not in kept
    assert caption(rng, ()) in WORDS["templates"]["none"]
    with pytest.raises(ValueError, match="at most two kinds, not of 3"):
        caption(rng, KINDS[:3])
