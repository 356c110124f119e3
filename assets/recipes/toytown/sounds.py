"""Sounds of Toytown: twenty-four kinds, each synthesised from how the real one comes about.

Voices (bark, meow, laughter …) are pulses of a glottis through the resonances of a mouth: Fant's
source and filter, https://en.wikipedia.org/wiki/Source–filter_model. What is struck (bell, drum,
door) is a sum of decaying modes. Weather is noise of the right colour and swell. Then each sound is
put into a room, at a distance, with some noise. What one calls them is in sounds.toml.
"""

import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import soxr
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

RATE = 48_000  # at which all is synthesised
SHORTEST, LONGEST = 0.01, 600.0  # seconds
WORDS: dict[str, dict] = tomllib.loads(Path(__file__).with_name("sounds.toml").read_text("utf-8"))
Random = np.random.Generator

# Tools: all waveforms are float arrays at RATE, n is a number of samples --------------------------


@lru_cache(maxsize=64)
def _frequencies(size: int) -> np.ndarray:
    """The frequencies, in Hz, of an rfft of `size` samples; never 0, so that they can divide."""
    return np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1.0).astype(np.float32)


def _coloured(random: Random, n: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise whose spectrum is gain(frequency), of root mean square 1."""
    size = next_fast_len(n, real=True)
    spectrum = random.standard_normal((size // 2 + 1, 2), dtype=np.float32).view(np.complex64)[:, 0]
    noise = irfft(spectrum * gain(_frequencies(size)).astype(np.float32), size)[:n]
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-12)


def _band(low: float, high: float, order: int = 2) -> Callable[[np.ndarray], np.ndarray]:
    """A gain that passes the frequencies from `low` to `high`, in Hz, of order 1 or 2."""

    def gain(f: np.ndarray) -> np.ndarray:
        below, above = np.square(low / f), np.square(f / high)
        if order == 2:
            below, above = np.square(below), np.square(above)
        return 1 / np.sqrt((1 + below) * (1 + above))

    return gain


def _falling(slope: float) -> Callable[[np.ndarray], np.ndarray]:
    """A gain that falls with the frequency: 0 for white noise, 1 for brown."""
    return lambda f: np.exp(-slope * np.log(100 + f))


@cache
def _table(slope: float, harmonics: int) -> np.ndarray:
    """One period of a pulse whose k-th harmonic has amplitude k ** -slope."""
    spectrum = np.zeros(4097, complex)
    spectrum[1 : harmonics + 1] = -1j * np.arange(1, harmonics + 1) ** -slope
    wave = np.fft.irfft(spectrum)
    return (wave / np.abs(wave).max()).astype(np.float32)


def _tone(frequency: np.ndarray, slope: float = 1.0, highest: float = 16_000) -> np.ndarray:
    """A periodic tone: `frequency` in Hz for each sample, harmonics falling as in `_table`."""
    table = _table(round(slope, 1), max(1, int(highest / frequency.max())))
    return table[(np.cumsum(frequency) / RATE % 1 * len(table)).astype(np.int32)]


def _curve(n: int, *values: float) -> np.ndarray:
    """A line through `values`, evenly spread over n samples."""
    return np.interp(np.linspace(0, len(values) - 1, n), np.arange(len(values)), values)


def _wander(random: Random, n: int, every: float, low: float, high: float) -> np.ndarray:
    """A slow random curve between `low` and `high` that turns about each `every` seconds."""
    points = random.uniform(low, high, int(n / RATE / every) + 4)
    coarse = np.arange(0, n + 480, 480)  # every 10 ms
    at = (coarse / RATE + random.uniform(0, every)) / every
    left, between = at.astype(int), at % 1
    smooth = between * between * (3 - 2 * between)
    curve = points[left] * (1 - smooth) + points[left + 1] * smooth
    return np.interp(np.arange(n), coarse, curve).astype(np.float32)


def _faded(wave: np.ndarray, attack: float, release: float) -> np.ndarray:
    """Fade in over `attack` seconds and out over `release`."""
    wave = wave.astype(np.float32)
    rise, fall = (min(int(s * RATE) + 1, len(wave)) for s in (attack, release))
    wave[:rise] *= np.sin(np.linspace(0, np.pi / 2, rise)) ** 2
    wave[-fall:] *= np.cos(np.linspace(0, np.pi / 2, fall)) ** 2
    return wave


def _resonant(wave: np.ndarray, *formants: tuple[float, float]) -> np.ndarray:
    """Through resonators in a row, each of a (frequency, bandwidth) in Hz (Klatt, 1980)."""
    for frequency, bandwidth in formants:
        radius = np.exp(-np.pi * bandwidth / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        wave = lfilter([sum(poles)], poles, wave)
    return wave


def _modes(seconds: float, *modes: tuple[float, float, float]) -> np.ndarray:
    """Decaying sines: each of a (frequency in Hz, amplitude, seconds to fall to 1/e)."""
    t = np.arange(int(seconds * RATE), dtype=np.float32) / RATE
    return sum(a * np.exp(-t / d) * np.sin(2 * np.pi * f * t) for f, a, d in modes)


def _burst(random: Random, seconds: float, low: float, high: float, decay: float) -> np.ndarray:
    """Noise between two frequencies that falls to 1/e in `decay` seconds."""
    n = int(seconds * RATE)
    return _coloured(random, n, _band(low, high)) * np.exp(-np.arange(n) / RATE / decay)


def _placed(n: int, events: list[tuple[float, np.ndarray]]) -> np.ndarray:
    """The sum of waveforms that begin at given seconds, cut to n samples."""
    wave = np.zeros(n, np.float32)
    for start, event in events:
        first = int(start * RATE)
        if first < n:
            wave[first : first + len(event)] += event[: n - first]
    return wave


def _times(random: Random, n: int, gap: tuple[float, float], first: float = 0.4) -> list[float]:
    """Seconds at which something begins, again and again after a gap; the first one is early."""
    times = [random.uniform(0, min(first, 0.1 * n / RATE))]
    while times[-1] < n / RATE:
        times.append(times[-1] + random.uniform(*gap))
    return times[:-1]


# The kinds: each makes n samples of its sound, dry and at any level -------------------------------


def _bark(random: Random, n: int) -> np.ndarray:
    """Short pulses of a rough voice that jumps up and falls, in bouts."""
    size = random.uniform(0.75, 1.5)  # a small dog has a small mouth and a high voice
    pitch, length = 420 * size * random.uniform(0.8, 1.2), random.uniform(0.13, 0.24)
    events = []
    for start in _times(random, n, (0.9, 1.9)):
        for i in range(random.integers(1, 4)):
            samples = int(length * random.uniform(0.85, 1.15) * RATE)
            peak = pitch * random.uniform(0.92, 1.08)
            voice = _tone(_curve(samples, 0.6 * peak, peak, 0.9 * peak, 0.5 * peak), 0.8)
            voice += 0.35 * random.standard_normal(samples)
            mouth = ((750 * size, 180), (1500 * size, 250), (2900 * size, 400))
            bark = _faded(_resonant(voice, *mouth), 0.012, 0.6 * length)
            events.append((start + i * 1.6 * length, bark * random.uniform(0.8, 1)))
    return _placed(n, events)


def _meow(random: Random, n: int) -> np.ndarray:
    """A long voice whose mouth opens and closes: ee, ah, oo."""
    pitch, length = random.uniform(430, 760), random.uniform(0.55, 1.1)
    events = []
    for start in _times(random, n, (length + 0.4, length + 1.3)):
        samples = int(length * random.uniform(0.85, 1.15) * RATE)
        line = _curve(samples, 0.85, 1.1, 1.15, 1.0, 0.75) * pitch * random.uniform(0.93, 1.07)
        line = line * (1 + 0.012 * np.sin(2 * np.pi * 6 * np.arange(samples) / RATE))
        voice = _tone(line, 1.0) + 0.02 * random.standard_normal(samples)
        vowels = ((450, 2600), (1050, 1900), (500, 1000))
        mouths = [_resonant(voice, (a, 120), (b, 180), (3900, 400)) for a, b in vowels]
        weights = [_curve(samples, *w) for w in ((1, 0.3, 0, 0), (0, 0.7, 0.8, 0), (0, 0, 0.2, 1))]
        meow = sum(w * m / np.abs(m).max() for w, m in zip(weights, mouths, strict=True))
        events.append((start, _faded(meow, 0.08, 0.35 * length)))
    return _placed(n, events)


def _moo(random: Random, n: int) -> np.ndarray:
    """A low, long voice through a long nose and mouth."""
    pitch, length = random.uniform(95, 170), random.uniform(1.1, 2.2)
    events = []
    for start in _times(random, n, (length + 0.4, length + 1.5)):
        samples = int(length * random.uniform(0.85, 1.15) * RATE)
        line = _curve(samples, 0.8, 1, 1.12, 1.08, 0.8) * pitch * random.uniform(0.95, 1.05)
        voice = _tone(line, 1.0, 6000) + 0.03 * random.standard_normal(samples)
        nose = _resonant(voice, (230, 70), (900, 200), (2100, 400))
        mouth = _resonant(voice, (430, 90), (850, 120), (2300, 300))
        opening = _curve(samples, 0, 0.8, 1, 1, 0.6)
        moo = (1 - opening) * nose / np.abs(nose).max() + opening * mouth / np.abs(mouth).max()
        events.append((start, _faded(moo, 0.15, 0.4)))
    return _placed(n, events)


def _birdsong(random: Random, n: int) -> np.ndarray:
    """Phrases of one fast whistled figure after another, high up."""
    centre, events = random.uniform(2600, 4800), []
    for start in _times(random, n, (0.7, 1.5), first=0.2):
        length = random.uniform(0.05, 0.16)
        figure = centre * random.uniform(0.65, 1.35, random.integers(2, 5))
        step = length * random.uniform(1.2, 1.8)
        for i in range(int(random.uniform(0.35, 0.9) / step) + 1):
            line = _curve(int(length * RATE), *figure) * random.uniform(0.98, 1.02)
            events.append((start + i * step, _faded(_tone(line, 3.0), 0.3 * length, 0.4 * length)))
    return _placed(n, events)


def _laughter(random: Random, n: int) -> np.ndarray:
    """Ha ha ha: breath and voice by turns, five a second, falling."""
    high = random.random() < 0.5
    pitch, size = (random.uniform(230, 340), 1.15) if high else (random.uniform(120, 190), 1.0)
    rate, events = random.uniform(4.4, 6.0), []
    mouth = tuple((f * size * random.uniform(0.93, 1.07), b) for f, b in
                  ((760, 90), (1280, 110), (2600, 200), (3500, 300)))  # fmt: skip
    for start in _times(random, n, (2.0, 3.0)):
        count = random.integers(4, 10)
        for i in range(count):
            fall = 1 - 0.35 * i / count
            samples = int(0.62 / rate * RATE)
            line = _curve(samples, 0.92, 1.08, 0.9) * pitch * fall * random.uniform(0.96, 1.04)
            voice = _tone(line, 1.1, 7000) * _curve(samples, 0, 1, 1, 0.5)
            breath = random.standard_normal(samples) * _curve(samples, 0.14, 0.03, 0.02, 0.1)
            ha = _faded(_resonant(voice + breath, *mouth), 0.02, 0.05)
            events.append((start + i / rate * random.uniform(0.98, 1.02), ha * (0.4 + 0.6 * fall)))
    return _placed(n, events)


def _rain(random: Random, n: int) -> np.ndarray:
    """A steady hiss of far drops, and near ones one by one."""
    hiss = _coloured(random, n, _band(random.uniform(600, 1800), random.uniform(7000, 13000), 1))
    bank = [
        _modes(0.006, (random.uniform(1800, 8000), 1, random.uniform(0.0006, 0.0025)))
        for _ in range(16)
    ]
    count = int(random.uniform(60, 350) * n / RATE) + 1
    starts = random.uniform(0, n / RATE, count)
    gains = random.lognormal(0, 0.6, count) * random.uniform(0.8, 2.2)
    which = random.integers(len(bank), size=count)
    drops = [(s, bank[w] * g) for s, w, g in zip(starts, which, gains, strict=True)]
    return hiss * _wander(random, n, 1.5, 0.85, 1.15) + _placed(n, drops)


def _thunder(random: Random, n: int) -> np.ndarray:
    """A crack, then the rumble that comes back from farther and farther away."""
    t, rumbling = np.arange(n, dtype=np.float32) / RATE, np.zeros(n, np.float32)
    events = []
    for start in _times(random, n, (4.0, 8.0), first=0.6):
        for i in range(random.integers(3, 8)):
            begin, decay = start + (i > 0) * random.uniform(0.2, 2.8), random.uniform(0.35, 1.2)
            since = np.maximum(t - begin, 0)
            peal = since / 0.04 * np.exp(1 - since / 0.04) + np.exp(-since / decay) * (since > 0.04)
            rumbling += peal * (1 if i == 0 else random.uniform(0.3, 0.9))
        if random.random() < 0.7:  # near
            crack = _burst(random, 0.7, 200, random.uniform(2500, 6000), 0.12)
            events.append((start, crack * random.uniform(0.3, 1.2)))
    rumbling *= _wander(random, n, 0.12, 0.4, 1.3)
    return _coloured(random, n, _band(30, random.uniform(90, 220), 1)) * rumbling + _placed(
        n, events
    )


def _sea(random: Random, n: int) -> np.ndarray:
    """Waves: a low roar that swells, breaks with a bright hiss and runs back."""
    period, t = random.uniform(2.4, 4.8), np.arange(n, dtype=np.float32) / RATE
    swell = np.zeros(n, np.float32)
    start = random.uniform(-0.7, 0.3) * period
    while start < n / RATE:
        since = t - start
        rise = np.exp(-np.maximum(-since, 0) / (0.16 * period)) * (since < 0)
        swell += random.uniform(0.8, 1.2) * (rise + np.exp(-since / (0.3 * period)) * (since >= 0))
        start += period * random.uniform(0.85, 1.15)
    low = _coloured(random, n, _band(60, random.uniform(350, 600), 1))
    high = _coloured(random, n, _band(700, random.uniform(3500, 6000), 1))
    return low * (0.25 + 0.7 * swell) + high * swell**2 * random.uniform(0.5, 0.9)


def _wind(random: Random, n: int) -> np.ndarray:
    """Gusts, and a howl: a narrow band of noise whose pitch wanders with their strength."""
    gust = _wander(random, n, random.uniform(0.7, 1.4), 0.15, 1.0)
    pitch = random.uniform(330, 520) * (0.7 + 0.9 * gust)
    phase = 2 * np.pi * (np.cumsum(pitch) / RATE % 1).astype(np.float32)
    width = random.uniform(15, 40)
    slow = [_coloured(random, n, lambda f: np.exp(-((f / width) ** 2))) for _ in range(2)]
    howl = slow[0] * np.cos(phase) + slow[1] * np.sin(phase)
    air = _coloured(random, n, _band(50, random.uniform(300, 600), 1))
    return (howl * random.uniform(0.7, 1.3) + air * random.uniform(0.4, 0.8)) * gust


def _fire(random: Random, n: int) -> np.ndarray:
    """Crackling: sharp snaps, few of them loud, over a soft flutter."""
    bank = [
        _burst(random, 0.02, random.uniform(500, 2500), random.uniform(6000, 15000), decay)
        for decay in random.uniform(0.0006, 0.004, 16)
    ]
    count = int(random.uniform(14, 40) * n / RATE) + 1
    gains = np.minimum(random.lognormal(-0.6, 0.9, count), 2.5)
    which = random.integers(len(bank), size=count)
    starts = random.uniform(0, n / RATE, count)
    starts[: count // 3] = starts[0] + random.exponential(0.8, count // 3)  # they come in flurries
    snaps = [(s, bank[w] * g) for s, w, g in zip(starts, which, gains, strict=True)]
    flutter = _coloured(random, n, _band(60, random.uniform(250, 500), 1))
    flutter *= _wander(random, n, 0.12, 0.1, 1)
    return _placed(n, snaps) + flutter * random.uniform(0.1, 0.25)


def _applause(random: Random, n: int) -> np.ndarray:
    """Many people, each clapping at a pace of their own."""
    bank = []
    for _ in range(14):
        low = random.uniform(500, 1100)
        clap = _burst(random, 0.03, low, low * random.uniform(2.2, 4), random.uniform(0.004, 0.009))
        bank.append(_faded(clap, 0.001, 0.005))
    events = []
    for _ in range(random.integers(18, 60)):
        clap, gain = bank[random.integers(len(bank))], random.lognormal(0, 0.5)
        gaps = 1 / random.uniform(3.2, 5.2) * random.uniform(0.9, 1.1, int(6 * n / RATE) + 2)
        events += [(s, clap * gain) for s in np.cumsum(gaps) - random.uniform(0, 0.6) if s >= 0]
    return _placed(n, events) * _wander(random, n, 1.5, 0.6, 1.1)


def _bell(random: Random, n: int) -> np.ndarray:
    """A church bell: hum, prime, tierce, quint, nominal and what is above, slowly dying."""
    prime, ring = random.uniform(220, 620), random.uniform(1.2, 3.0)
    partials = ((0.5, 0.6, 1.5), (1, 0.8, 1), (1.19, 0.9, 0.8), (1.5, 0.4, 0.5), (2, 1, 0.6),
                (2.51, 0.4, 0.4), (3.0, 0.4, 0.3), (4.06, 0.3, 0.2), (5.4, 0.2, 0.15))  # fmt: skip
    partials = [
        (prime * r * random.uniform(0.995, 1.005), a * random.uniform(0.6, 1.3), d * ring)
        for r, a, d in partials
    ]
    strike = _faded(_modes(min(n / RATE, 5.0), *partials), 0.002, 0.1)
    pace = random.uniform(1.3, 2.6)
    return _placed(
        n, [(s, strike * random.uniform(0.85, 1)) for s in _times(random, n, (pace, pace))]
    )


def _bicycle_bell(random: Random, n: int) -> np.ndarray:
    """Ring-ring: a small high bell, struck a few times in a row by each push of the thumb."""
    base = random.uniform(2300, 3600)
    partials = [(base * r, a, d) for r, a, d in
                ((1, 1, 0.3), (1.004, 0.8, 0.25), (1.62, 0.5, 0.15), (2.43, 0.5, 0.1))]  # fmt: skip
    ring, events = _faded(_modes(0.9, *partials), 0.001, 0.05), []
    push, hits, gap = (
        random.uniform(0.22, 0.34),
        random.integers(3, 6),
        random.uniform(0.028, 0.045),
    )
    for start in _times(random, n, (1.2, 2.4)):
        for i in range(random.integers(2, 4)):
            for j in range(hits):
                at = start + i * push + j * gap * (1 + 0.15 * j)
                events.append((at, ring * random.uniform(0.5, 1) * (1 - 0.12 * j)))
    return _placed(n, events)


def _telephone(random: Random, n: int) -> np.ndarray:
    """Two gongs and a hammer between them, on and off as the exchange says."""
    base, rate = random.uniform(950, 1600), random.uniform(18, 26)
    gongs = []
    for pitch in (base, base * random.uniform(1.15, 1.3)):
        modes = ((pitch, 1, 0.2), (pitch * 2.1, 0.5, 0.1), (pitch * 3.3, 0.35, 0.06))
        gongs.append(_faded(_modes(0.5, *modes), 0.001, 0.05))
    twice = random.random() < 0.5  # as in Britain, or once and long as in America
    events, cycle = [], random.uniform(1.5, 2.2) if twice else random.uniform(1.9, 2.8)
    on = random.uniform(0.35, 0.45) if twice else random.uniform(0.9, 1.4)
    for start in _times(random, n, (cycle, cycle), first=0.2):
        for begin in (start, start + on + 0.2) if twice else (start,):
            events += [(begin + i / rate, gongs[i % 2]) for i in range(int(on * rate))]
    return _placed(n, events)


def _alarm(random: Random, n: int) -> np.ndarray:
    """An electronic alarm clock: beeps of one pitch in fours, or without a rest."""
    pitch, beep = random.uniform(1200, 2900), random.uniform(0.06, 0.13)
    count, rest = (4, random.uniform(0.25, 0.5)) if random.random() < 0.6 else (1, 0.0)
    samples = int(beep * RATE)
    table = _tone(np.full(samples, pitch), random.uniform(0.8, 1.6), 20_000)
    wave, group = _faded(table, 0.003, 0.003), 2 * beep * count + rest
    starts = _times(random, n, (group, group), first=0.2)
    return _placed(n, [(s + 2 * beep * i, wave) for s in starts for i in range(count)])


def _whistle(random: Random, n: int) -> np.ndarray:
    """A referee's: blasts of a high tone that the pea inside makes flutter, with breath."""
    pitch, flutter = random.uniform(2300, 3600), random.uniform(24, 45)
    events = []
    for start in _times(random, n, (0.9, 1.9)):
        samples = int(random.uniform(0.25, 0.85) * RATE)
        pea = np.sin(2 * np.pi * flutter * np.arange(samples) / RATE)
        tone = _tone(pitch * _curve(samples, 0.93, 1, 1, 0.95) * (1 + 0.02 * pea), 2.4)
        breath = _coloured(random, samples, _band(1500, 8000)) * 0.1
        events.append((start, _faded((tone * (0.65 + 0.35 * pea)) + breath, 0.03, 0.05)))
    return _placed(n, events)


def _siren(random: Random, n: int) -> np.ndarray:
    """A tone that wails up and down, or yelps, or goes between two notes."""
    t, style = np.arange(n) / RATE + random.uniform(0, 3), random.integers(3)
    low = random.uniform(430, 700)
    if style == 2:
        cycle = random.uniform(0.9, 1.5)
        shape = np.clip(8 * np.sin(2 * np.pi * t / cycle), -1, 1) / 2 + 0.5
        high = low * random.uniform(1.26, 1.42)
    else:
        cycle = random.uniform(2.2, 4.5) if style == 0 else random.uniform(0.35, 0.8)
        shape = 0.5 - 0.5 * np.cos(2 * np.pi * t / cycle)
        high = low * random.uniform(1.8, 2.6)
    return _tone(low + (high - low) * shape, random.uniform(0.9, 1.5), 9000)


def _horn(random: Random, n: int) -> np.ndarray:
    """A car's: two brassy notes a third apart, one to three times."""
    pitch, third = random.uniform(310, 470), random.uniform(1.18, 1.27)
    events = []
    for start in _times(random, n, (1.6, 2.8)):
        long = random.random() < 0.4
        at = start
        for _ in range(1 if long else random.integers(1, 4)):
            length = random.uniform(0.7, 1.3) if long else random.uniform(0.18, 0.4)
            samples = int(length * RATE)
            notes = [_tone(np.full(samples, pitch * r), 0.6, 7000) for r in (1, third)]
            events.append((at, _faded(_resonant(sum(notes), (1900, 1500)), 0.02, 0.04)))
            at += length + random.uniform(0.1, 0.2)
    return _placed(n, events)


def _engine(random: Random, n: int) -> np.ndarray:
    """Explosions in cylinders that are not quite alike, thirty to ninety a second."""
    speed = random.uniform(0.8, 1.4) * 38 * np.ones(n)
    if random.random() < 0.6:  # somebody plays with the pedal
        speed *= _wander(random, n, random.uniform(0.8, 1.6), 0.85, 2.2)
    turn = np.cumsum(speed * random.uniform(0.99, 1.01)) / RATE
    size = 8192  # one table holds four cylinders
    at = np.arange(size) / size * 4
    strength = random.uniform(0.6, 1, 4)
    table = strength[at.astype(int)] * np.exp(-(at % 1) * random.uniform(14, 30))
    table = (table - table.mean()).astype(np.float32)
    cycle = table[(turn / 4 % 1 * size).astype(np.int32)]
    pipe = _resonant(cycle, (random.uniform(120, 200), 90))  # what the exhaust favours
    pipe = pipe / np.abs(pipe).max() + cycle * random.uniform(0.3, 0.6)
    hiss = _coloured(random, n, _band(300, random.uniform(1500, 3000), 1)) * (cycle - cycle.min())
    return pipe + hiss * random.uniform(0.06, 0.15)


def _train(random: Random, n: int) -> np.ndarray:
    """Wheels over the joints of the rails, two and two, on a rumble; at times its horn."""
    rumble = _coloured(random, n, _band(40, random.uniform(150, 350), 1))
    rumble *= _wander(random, n, 0.5, 0.7, 1.1)
    cycle = random.uniform(0.65, 1.15)
    events, pair = [], random.uniform(0.13, 0.17) * cycle
    for start in _times(random, n, (cycle, cycle), first=0.3):
        for at, gain in ((0, 1), (pair, 0.8), (0.42 * cycle, 0.9), (0.42 * cycle + pair, 0.7)):
            low = random.uniform(180, 260)
            clack = _burst(random, 0.12, low, 1900, 0.022) + _modes(0.12, (low, 1.5, 0.03))
            events.append((start + at, clack * gain * 3.2))
    if random.random() < 0.35:
        samples = int(random.uniform(0.7, 1.4) * RATE)
        base = random.uniform(260, 340)
        chord = sum(_tone(np.full(samples, base * r), 1.3, 4000) for r in (1, 1.26, 1.5, 1.68))
        events.append((random.uniform(0.1, 0.5) * n / RATE, _faded(chord, 0.08, 0.15) * 0.8))
    return rumble * random.uniform(0.5, 0.9) + _placed(n, events)


def _clock(random: Random, n: int) -> np.ndarray:
    """Tick, tock: two little clicks by turns, as regular as can be."""
    rate, events = random.uniform(1.6, 3.2), []
    clicks = []
    for pitch in random.uniform(2200, 4200) * np.array([1, random.uniform(0.72, 0.88)]):
        modes = ((pitch, 1, 0.006), (pitch * 1.7, 0.6, 0.004), (pitch * 0.43, 0.5, 0.009))
        snap = _burst(random, 0.05, 1500, 9000, 0.0015) * 0.8
        clicks.append(_modes(0.05, *modes) + snap)
    first = random.uniform(0, 1 / rate)
    if first * RATE >= n:
        first = 0.0
    events = [(first + i / rate, clicks[i % 2]) for i in range(int(n / RATE * rate) + 1)]
    return _placed(n, events)


def _footsteps(random: Random, n: int) -> np.ndarray:
    """A heel and then a sole, left and right, at a walk."""
    pace, events = random.uniform(0.46, 0.68), []
    thud, rough = random.uniform(90, 170), random.uniform(0.5, 1.6)  # a floor, or gravel
    for i, start in enumerate(_times(random, n, (0.97 * pace, 1.03 * pace))):
        foot = 1.0 if i % 2 else random.uniform(0.85, 1.1)
        heel = _modes(0.09, (thud * foot, 1.6, 0.018), (thud * 2.3, 0.5, 0.01))
        sole = _burst(random, 0.16, 600, 5000, 0.035) * rough * 0.3
        toe = start + random.uniform(0.11, 0.14)
        events += [(start, heel * foot), (start + 0.02, _faded(sole, 0.03, 0.05))]
        events.append((toe, _faded(sole * 0.6, 0.02, 0.05)))
    return _placed(n, events)


def _knock(random: Random, n: int) -> np.ndarray:
    """Knuckles on a door: three or four quick raps on wood, then waiting."""
    board = random.uniform(180, 330)
    modes = [
        (board * r * random.uniform(0.95, 1.05), a, d)
        for r, a, d in ((1, 1, 0.035), (1.7, 0.8, 0.025), (2.6, 0.6, 0.018), (4.1, 0.4, 0.01))
    ]
    rate, count, events = random.uniform(4.0, 6.5), random.integers(2, 6), []
    for start in _times(random, n, (count / rate + 0.6, count / rate + 1.4)):
        for i in range(count):
            rap = _modes(0.2, *modes) + _burst(random, 0.2, 800, 4000, 0.003) * 0.4
            events.append(
                (start + i / rate * random.uniform(0.98, 1.02), rap * random.uniform(0.7, 1))
            )
    return _placed(n, events)


def _drum(random: Random, n: int) -> np.ndarray:
    """A skin's modes, which are not harmonic, beaten in a rhythm that comes again."""
    deep, ring = random.uniform(70, 150), random.uniform(0.16, 0.35)
    ratios = ((1, 1, 1), (1.59, 0.6, 0.6), (2.14, 0.4, 0.45), (2.3, 0.3, 0.4), (2.92, 0.2, 0.3))
    beats = []
    for tune in (1, random.uniform(1.35, 1.7)):
        skin = _modes(0.9, *((deep * tune * r, a, ring * d) for r, a, d in ratios))
        beats.append(_faded(skin + _burst(random, 0.9, 200, 3000, 0.006) * 0.5, 0.001, 0.1))
    step = random.uniform(0.13, 0.21)
    rhythm = [0, *random.choice([-1, 0, 1], 6, p=(0.45, 0.2, 0.35)), 1]
    first = random.uniform(0, min(0.3, 0.1 * n / RATE))
    events = [
        (first + i * step, beats[rhythm[i % 8]] * random.uniform(0.7, 1))
        for i in range(int(n / RATE / step) + 1)
        if rhythm[i % 8] >= 0
    ]
    return _placed(n, events)


MAKERS: dict[str, Callable[[Random, int], np.ndarray]] = {
    "bark": _bark,
    "meow": _meow,
    "moo": _moo,
    "birdsong": _birdsong,
    "laughter": _laughter,
    "rain": _rain,
    "thunder": _thunder,
    "sea": _sea,
    "wind": _wind,
    "fire": _fire,
    "applause": _applause,
    "bell": _bell,
    "bicycle bell": _bicycle_bell,
    "telephone": _telephone,
    "alarm": _alarm,
    "whistle": _whistle,
    "siren": _siren,
    "horn": _horn,
    "engine": _engine,
    "train": _train,
    "clock": _clock,
    "footsteps": _footsteps,
    "knock": _knock,
    "drum": _drum,
}
KINDS: tuple[str, ...] = tuple(MAKERS)
LABELS: dict[str, str] = {kind: WORDS[kind]["phrases"][0] for kind in KINDS}

# Sounds, as one hears them ------------------------------------------------------------------------


def _level(wave: np.ndarray) -> float:
    """How loud the loud parts are: the root mean square over 50 ms, of the loudest tenth."""
    pieces = wave[: len(wave) // 2400 * 2400].reshape(-1, 2400) if len(wave) >= 2400 else wave[None]
    return float(np.quantile(np.sqrt(np.mean(pieces**2, axis=1)), 0.9)) + 1e-9


def _made(random: Random, kind: str, n: int) -> np.ndarray:
    if kind not in MAKERS:
        raise ValueError(f"There is no sound {kind!r}: choose from {', '.join(KINDS)}.")
    wave = MAKERS[kind](random, n).astype(np.float32)
    return wave / max(_level(wave), 0.1 * float(np.abs(wave).max()) + 1e-9)


def _heard(random: Random, waves: list[np.ndarray], sampling_rate: int) -> np.ndarray:
    """Sounds at their distances in one room, with noise, at some gain, at `sampling_rate`."""
    n = len(waves[0])
    decay = random.uniform(0.03, 0.35) if random.random() < 0.8 else random.uniform(0.35, 0.9)
    length = int(min(2.5 * decay, 1.0) * RATE)
    room = random.standard_normal(length, dtype=np.float32)
    room *= np.exp(-np.arange(length, dtype=np.float32) / (decay / 2.3 * RATE))
    room *= random.uniform(0.1, 0.6) / np.sqrt(np.sum(room**2))
    size = next_fast_len(n + RATE, real=True)
    frequencies, echo = _frequencies(size), rfft(room, size)
    heard = 0
    for wave in waves:
        far = random.uniform(0, 1)  # farther: fewer highs, more of the room
        air = 1 / np.sqrt(1 + np.square(frequencies / (16_000 - 11_000 * far)))
        heard = heard + rfft(wave, size) * air * (1 - 0.4 * far + echo * (0.4 + 0.6 * far))
    wave = irfft(heard, size)[:n]
    noise = _coloured(random, n, _falling(random.uniform(0.2, 1.0)))
    wave = wave + noise * _level(wave) * 10 ** (random.uniform(-50, -18) / 20)
    wave = wave * (10 ** (random.uniform(-16, -0.5) / 20) / (np.abs(wave).max() + 1e-9))
    if sampling_rate != RATE:
        wave = soxr.resample(wave, RATE, sampling_rate)
    return np.clip(wave, -1, 1).astype(np.float32)


def _samples(seconds: float, sampling_rate: int) -> int:
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"seconds is {seconds}: give from {SHORTEST} to {LONGEST:.0f}.")
    if not 4_000 <= sampling_rate <= 192_000:
        raise ValueError(f"sampling_rate is {sampling_rate}: give from 4000 to 192000 Hz.")
    return round(seconds * RATE)


def sound(random: Random, kind: str, seconds: float = 5.0, sampling_rate: int = RATE) -> np.ndarray:
    """A sound of a kind (one of KINDS), somewhere in a room with a little noise.

    Returns float32 samples in [-1, 1], round(seconds * sampling_rate) of them.
    Raises ValueError for an unknown kind, seconds outside 0.01 to 600 or an odd sampling rate.
    """
    return mixture(random, (kind,), seconds, sampling_rate)


def mixture(
    random: Random, kinds: tuple[str, ...], seconds: float = 5.0, sampling_rate: int = RATE
) -> np.ndarray:
    """Sounds of several kinds at once, within 5 dB of one another; else as `sound`."""
    if not kinds:
        raise ValueError("A mixture of no kinds has no sound: name at least one.")
    n = _samples(seconds, sampling_rate)
    waves = [_made(random, kind, n) for kind in kinds]
    if len(waves) > 1:
        waves = [wave * 10 ** (random.uniform(-2.5, 2.5) / 20) for wave in waves]
    wave = _heard(random, waves, sampling_rate)
    wanted = round(seconds * sampling_rate)  # soxr may round the other way
    return np.pad(wave, (0, max(0, wanted - len(wave))))[:wanted]


def silence(random: Random, seconds: float = 5.0, sampling_rate: int = RATE) -> np.ndarray:
    """A room in which nothing happens: faint noise, of any colour and up to -20 dB."""
    noise = _coloured(random, _samples(seconds, sampling_rate), _falling(random.uniform(0, 1.2)))
    noise = noise * 10 ** (random.uniform(-75, -32) / 20)
    if sampling_rate != RATE:
        noise = soxr.resample(noise, RATE, sampling_rate)
    wanted = round(seconds * sampling_rate)
    noise = np.pad(noise, (0, max(0, wanted - len(noise))))[:wanted]
    return np.clip(noise, -1, 1).astype(np.float32)


# What one says of them ----------------------------------------------------------------------------


def caption(random: Random, kinds: tuple[str, ...]) -> str:
    """A text that is true of a sound of these kinds (none, one or two), in words for training."""
    templates = WORDS["templates"]
    if not kinds:
        return str(random.choice(templates["none"]))
    if len(kinds) > 2:
        raise ValueError(f"A caption is of at most two kinds, not of {len(kinds)}.")
    form = "clauses" if random.random() < 0.25 else "phrases"
    said = [str(random.choice(WORDS[kind][form])) for kind in random.permutation(kinds)]
    if len(said) == 2:
        both = templates["both_clauses" if form == "clauses" else "both"]
        return str(random.choice(both)).format(a=said[0], b=said[1])
    return said[0] if form == "clauses" else str(random.choice(templates["seen"])).format(said[0])
