"""The self-checks of 2.3. Zero-Shot Audio Classification."""

import functools

import numpy as np

from helpers import media
from helpers.check.verdict import Verdict, checklist, pipeline_of, self_check

_listener = functools.partial(pipeline_of, "zero-shot-audio-classification", "listener")


@functools.cache
def _cosines_in_noise() -> tuple[np.ndarray, np.ndarray]:
    """Cosines of sounds of all kinds with the first twelve labels, and the sounds' true kinds.

    The sounds are not those on which 2.3 draws its line, and the noise is another; it is as loud.
    """
    from torch import inference_mode
    from torch.nn.functional import cosine_similarity

    listen, rows = _listener(), list(media.examples("sounds"))
    rate = listen.feature_extractor.sampling_rate
    kinds = list(dict.fromkeys(row["label"] for row in rows))
    by_kind = [[row for row in rows if row["label"] == kind] for kind in kinds]
    chosen = [row for some in by_kind for row in some[4:6] or some[-2:]]
    random, waveforms = np.random.default_rng(1), []
    for row in chosen:
        waveform, _ = media.audio(row["audio"], rate)
        noise = random.standard_normal(len(waveform), dtype=np.float32)
        waveforms.append(waveform + 2**0.5 * waveform.std() * noise)
    texts = [f"This is a sound of {kind}." for kind in kinds[:12]]
    with inference_mode():
        tokens = listen.tokenizer(texts, padding=True, return_tensors="pt")
        told = listen.model.get_text_features(**tokens).pooler_output
        cosines = []
        for waveform in waveforms:
            features = listen.feature_extractor(waveform, sampling_rate=rate, return_tensors="pt")
            heard = listen.model.get_audio_features(**features).pooler_output
            cosines.append(cosine_similarity(heard, told).numpy())
    return np.stack(cosines), np.array([kinds.index(row["label"]) for row in chosen])


def _charged(line: float, of_silence: int, of_wrong: int) -> int:
    """What the sounds in noise cost at a line: silence about one of the twelve, a wrong name."""
    cosines, truth = _cosines_in_noise()
    near, named = cosines.max(1), cosines.argmax(1)
    silent, wrong = (near < line) & (truth < 12), (near >= line) & (named != truth)
    return of_silence * int(silent.sum()) + of_wrong * int(wrong.sum())


@self_check("For each customer add up the costs at every line from 0 to 1; take the cheapest.")
def two_lines(answer: object) -> Verdict:
    """Two thresholds for two price lists, charged on sounds and noise not used to choose them."""
    paid, limits = [], []
    for line, of_silence, of_wrong in zip(answer, (5, 1), (1, 5), strict=True):
        if not -1 <= float(line) <= 1:
            return Verdict(False, "two cosines", answer, "A cosine lies between -1 and 1.")
        costs = [
            _charged(cut, of_silence, of_wrong) for cut in (float(line), *np.linspace(0, 1, 201))
        ]
        paid.append(costs[0])
        limits.append(round(1.25 * min(costs[1:])))
    late = [name for name, cost, most in zip("AB", paid, limits, strict=True) if cost > most]
    hint = f"{' and '.join(late)} can be served cheaper: what does silence cost there, what a name?"
    expected = f"A pays at most {limits[0]} and B {limits[1]}"
    return Verdict(not late, expected, f"A {paid[0]}, B {paid[1]}", hint)


@self_check('answer = ("sound.wav", ["a label", "another", …], "the right one").')
def own_sound(answer: object) -> Verdict:
    """A sound of the reader's and labels for it, beside what the listener says."""
    source, labels, right = answer
    rate = _listener().feature_extractor.sampling_rate
    waveform, _ = media.audio(source, sampling_rate=rate)
    found = _listener()(waveform, candidate_labels=list(labels))
    for one in found[:3]:
        print(f"{one['score']:.2f} {one['label']}")
    agrees = "as you said" if found[0]["label"] == right else "not what you said: why not?"
    print(f"It says: {found[0]['label']}, {agrees}")
    done = {
        "your labels are a list of three or more": isinstance(labels, list) and len(labels) > 2,
        "the right one is among them": right in labels,
        "it lasts at least a second": len(waveform) >= rate,
        "it is louder than silence": float(np.abs(waveform).max()) > 0.01,
    }
    return checklist(done)


@self_check("answer is your function itself: from a text to a row of tests, or None.")
def sound_search(answer: object) -> Verdict:
    """A search that brings a fitting sound, and nothing where no sound is near."""
    kinds = {"a dog barks": "a dog barking", "it is raining": "rain falling"}
    kinds |= {"somebody laughs": "a person laughing", "a cow moos": "a cow mooing"}
    nowhere = ("a piano playing", "frying an egg", "silence")
    found = {text: answer(text) for text in (*kinds, *nowhere)}
    labels = {text: row and row["label"] for text, row in found.items()}
    wrong = [text for text, kind in kinds.items() if labels[text] != kind]
    taken = [text for text in nowhere if labels[text]]
    hint = None
    if wrong:
        hint = f"{wrong[0]!r} brings {labels[wrong[0]]}: take the largest cosine, and a lower line."
    elif taken:
        hint = f"{taken[0]!r} brings {labels[taken[0]]}: answer None below the line, or raise it."
    yours = f"{4 - len(wrong)} found, {3 - len(taken)} None"
    return Verdict(not wrong + taken, "4 found, 3 None", yours, hint)
