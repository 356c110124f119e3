"""Builds 2.4. Automatic_Speech_Recognition.ipynb (no outputs).

# NUMBER: marks a sentence that depends on what the final checkpoint gives: read it again then.
"""
import sys

sys.path.insert(0, "/work/tools")
from nbtool import code, md, setup, write

md("""
# 2.4. Automatic Speech Recognition

[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ES7/Introduction-to-LLMs/blob/main/notebooks/2.4.%20Automatic_Speech_Recognition.ipynb)

**Speech goes in, text comes out. Is a transcript with few mistakes a good one?**

*70 minutes with the exercises, under 1 minute to run · 1.3 GB of memory · needs no account, no GPU, no network*

By the end you will be able to

- **transcribe** speech, and do it by hand: from the waveform to the last token;
- **steer** a recogniser with tokens for language, task and time;
- **measure** it by word error rate, and say what that number hides;
- **write** the notes of a meeting: who said when, and who does what by when.
""")

md("""
## Setup

Run this first; you need not read it. It says what the session runs on. A *tier* is a size: micro needs no download, small and full fetch larger models. `checkpoint("transcriber")` is the folder that holds the model of your tier.

Where the text says *in the stored run*, it speaks of the outputs that you see before you run anything.
""", "skip")
setup("transcriber")

# ------------------------------------------------------------------------------- first result
md("""
## First result: what was said?

**Automatic speech recognition**, ASR for short, writes down what is said. A **pipeline** is the whole way from sound to text in one call. A sound is a **waveform**: numbers, here 16,000 a second, that say how far the membrane of a microphone moves.

Listen first, and write down what you hear, with its punctuation. (Whisper's own code sets off a warning about itself at its first call; the second line of the cell keeps such messages quiet.)
""")
code('''
from transformers import pipeline
from transformers.utils import logging

logging.set_verbosity_error()
transcribe = pipeline(
    "automatic-speech-recognition", model=checkpoint("transcriber"), device=device
)
waveform, sampling_rate = media.audio("greeting", sampling_rate=16_000)
media.play(waveform, sampling_rate, transcript="Hello, this is the Toytown course.")
print(len(waveform), "numbers,", len(waveform) / sampling_rate, "seconds")
print(transcribe(waveform)["text"])
''')

# ------------------------------------------------------------------------------- by hand
md("""
## Recognition is generation

Tens of thousands of numbers became one line of text, with a capital letter, a comma and a full stop that nobody pronounced. Where do they come from? Hold on to that question: it is the idea of this page.

The model is a **Whisper** ([Radford et al., 2022](https://arxiv.org/abs/2212.04356), "Robust Speech Recognition via Large-Scale Weak Supervision"), in small. It has two halves. An **encoder** listens to 30 seconds at once. A **decoder** writes, one **token** (a word or a piece of one) after the other, and before each it looks at what the encoder heard *and* at what it has written so far. It is a language model that can hear. The comma comes from there: it wrote many sentences in training, and learnt where commas go.

### By hand 1: from waveform to log-mel

The encoder gets no waveform but a picture of it. Four steps:

1. lay the sound into 30 seconds of silence, and cut it into **frames** of 25 ms, a new one every 10 ms;
2. ask of each frame how much of every frequency it holds (a Fourier transform);
3. add neighbouring frequencies up into 80 **mel** bands, narrow for low notes and wide for high ones, as the ear does;
4. take the logarithm, because the ear hears ratios, and cut off what is 80 decibels below the loudest.

Before you run it: a vowel rings in a few frequencies, an *s* hisses. How will each look?
""")
code('''
import matplotlib.pyplot as plt
import numpy as np

hearing = transcribe.feature_extractor
tape = np.zeros(30 * sampling_rate, dtype=np.float32)
tape[: len(waveform)] = waveform
padded = np.pad(tape, 200, mode="reflect")  # a frame is centred on its moment
frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:3000]
power = np.abs(np.fft.rfft(frames * np.hanning(401)[:-1])) ** 2  # (3000 frames, 201 frequencies)
by_hand = np.log10(np.maximum(power @ hearing.mel_filters, 1e-10)).T  # (80 bands, 3000 frames)
by_hand = (np.maximum(by_hand, by_hand.max() - 8) + 4) / 4

library = hearing(waveform, sampling_rate=sampling_rate, return_tensors="pt").input_features
np.testing.assert_allclose(by_hand, library[0], atol=1e-4)
print("frames", frames.shape, " power", power.shape, " log-mel", by_hand.shape)
figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
image = {"origin": "lower", "aspect": "auto", "cmap": "magma", "extent": (0, 3, 0, 80)}
shown = axes.imshow(by_hand[:, :300], **image)
axes.set(title="The first 3 of 30 seconds", xlabel="seconds", ylabel="mel band")
figure.colorbar(shown, label="log power, scaled");
''')
md("""
*Figure: mel bands against time for three seconds. Bright, nearly level stripes in the lower bands are vowels; brief columns of light in the upper bands are hisses; dark gaps are silence.*

The assertion holds: your picture is the library's, number for number. The model never sees anything else. Whatever the picture loses, such as all that lies above 8 kHz, no later step can bring back.

### By hand 2: token by token

The encoder turns 3,000 frames into 1,500 vectors, one for every 20 ms, each of which has listened to all the others. The decoder begins with four **special tokens** that nobody says: *start of transcript*, the language, the task, *no timestamps*. Then a loop: ask the decoder how probable every token of its vocabulary is as the next one, take the most probable (that is called **greedy**), append it, ask again; until the most probable is *end of text*.

Guess where it will be least sure: at the first piece of a word, or at the last?
""")
code('''
import torch

model, tokenizer = transcribe.model, transcribe.tokenizer
known = tokenizer.convert_tokens_to_ids
special = ("startoftranscript", "en", "transcribe", "notimestamps")
tokens = prompt = [known(f"<|{name}|>") for name in special]
with torch.inference_mode():
    heard = model.model.encoder(library.to(model.device)).last_hidden_state
    while tokens[-1] != tokenizer.eos_token_id and len(tokens) < 100:
        ids = torch.tensor([tokens], device=model.device)
        states = model.model.decoder(input_ids=ids, encoder_hidden_states=heard).last_hidden_state
        shares = model.proj_out(states[0, -1]).softmax(dim=-1)
        tokens = [*tokens, shares.argmax().item()]
        print(f"{tokenizer.decode(tokens[-1])!r} {shares.max():.2f}", end="  ")

generated = model.generate(library.to(model.device), language="en", task="transcribe")
assert generated[0].tolist() == tokens[len(prompt) : -1]
print(f"\\nencoder {tuple(heard.shape)}, {shares.numel():,} tokens to choose from; as `generate`")
''')
# NUMBER: "look at the first" (are there words of several pieces, and are they less sure there?)
md("""
Where a word takes several pieces, look at the first: there it chooses, and the rest follows from the spelling. And the end is a token, too: it stops because it finds *end of text* the most probable.

The tokens are the library's own, and there is no more to `generate` than that: **recognition is generation**. It has three consequences, and the rest of this page is about them.

- Text is *written*, not copied from sound. Nothing forces a word in the transcript to have been said.
- What comes before decides what comes next. That makes *two* or *too* right. It also makes a wrong word sound right in its sentence.
- You can steer it: put other tokens at the start.

### Language and task are tokens

Which language is it? Ask the decoder what should follow *start of transcript*, and look at the language tokens alone. That is **language detection**, one step long. And what follows if the third token is *translate*? Whisper writes English, whatever it hears.

The next cell takes the first example in each language of our set. First come the three most probable languages, then what it writes with either task, then what was said.
""")
code('''
speech, one_each = media.examples("speech"), {}
for row in speech:
    one_each.setdefault(row["language"], row)
start = torch.tensor([[known("<|startoftranscript|>")]], device=model.device)
languages = model.generation_config.lang_to_id  # "<|en|>" and so on: the token's number
for language, row in one_each.items():
    sound, _ = media.audio(row["audio"], sampling_rate=16_000)
    features = hearing(sound, sampling_rate=16_000, return_tensors="pt").input_features
    features = features.to(model.device)
    with torch.inference_mode():
        logits = model(features, decoder_input_ids=start).logits[0, -1]
    shares = logits[list(languages.values())].softmax(dim=0)
    best = [list(languages)[place] for place in shares.argsort(descending=True)[:3]]
    assert languages[best[0]] == model.detect_language(features)[0]
    print(*(f"{name} {shares[list(languages).index(name)]:.2f} " for name in best))
    for task in ("transcribe", "translate"):
        ids = model.generate(features, language=language, task=task)
        print(f"{task:10}", tokenizer.decode(ids[0], skip_special_tokens=True))
    print("said      ", row["text"], "\\n")
media.play(sound, 16_000, transcript=row["text"])
''')
# NUMBER: "sure of the language"; "translation" quality
md("""
The language is the first thing that it writes, so it can be wrong like any other word, and everything after it follows. Try it: give `language="es"` with a French clip. It does not refuse. It writes what it can, in Spanish.

Translation is the same model and the same loop with one other token. There is no French sentence in between that you could read: if the English is wrong, you cannot see whether it misheard or mistranslated. Ours can do three languages and one direction, into English, as Whisper can.

### Word error rate

A transcript can be nearly right. To count, align it with what was said: which words were replaced (**substituted**), left out (**deleted**) or added (**inserted**)?

> word error rate, **WER** = (substitutions + deletions + insertions) / words said

The same count on characters is the **CER**. Both are computed by the library jiwer. Before counting we make both texts plain, lower-case and without punctuation: nobody wants to pay for a comma.

Half of our sentences are by voices that training held, half by voices that it never heard. All voices are synthetic. Guess the WER of each half. And can a WER be above 100 %?
""")
code('''
import jiwer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer


def written(waveforms, **options):
    """What the model writes for each waveform, all of them in one batch."""
    batch = hearing(waveforms, sampling_rate=16_000, return_tensors="pt").input_features
    ids = model.generate(batch.to(model.device), **options)
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


english = [row for row in speech if row["language"] == "en"]
rows, plain = english[:10] + english[-10:], BasicTextNormalizer()
texts = written([media.audio(row["audio"], 16_000)[0] for row in rows], language="en")
pairs = [(plain(row["text"]), plain(text)) for row, text in zip(rows, texts, strict=True)]
for known_voice in sorted({row["known_voice"] for row in rows}, reverse=True):
    part = [p for p, r in zip(pairs, rows, strict=True) if r["known_voice"] == known_voice]
    said, got = map(list, zip(*part, strict=True))
    print("known" if known_voice else "new  ", f"voices: WER {jiwer.wer(said, got):5.1%}", end="")
    exact = sum(jiwer.wer(*pair) == 0 for pair in part)
    print(f"  CER {jiwer.cer(said, got):5.1%}  {exact} of {len(part)} without a mistake")
''')
# NUMBER: known better than new
md("""
New voices cost it more than known ones: what a recogniser has heard in training is what it hears best. And yes, a WER can exceed 100 %: whoever writes ten words where one was said has made nine insertions.

A rate says how many. It does not say which. So let us look at the alignment, for the sentences with the highest WER. Which mistakes would you forgive?
""")
code('''
from itertools import zip_longest

blue, orange, _, pink, *_ = drawing.PALETTE
colours = {"equal": "black", "substitute": orange, "delete": pink, "insert": blue}
ranked = sorted(pairs, key=lambda pair: -jiwer.wer(*pair))[:4]
figure, axes = plt.subplots(4, 1, figsize=(11, 4.6), layout="constrained")
for ax, (said, got) in zip(axes, ranked, strict=True):
    found, column = jiwer.process_words(said, got), 0
    for part in found.alignments[0]:
        above = found.references[0][part.ref_start_idx : part.ref_end_idx]
        below = found.hypotheses[0][part.hyp_start_idx : part.hyp_end_idx]
        for words in zip_longest(above, below, fillvalue="*"):
            for height, word in zip((1, 0), words, strict=True):
                style = {"family": "monospace", "color": colours[part.type]}
                ax.text(column, height, word, **style)
            column += max(map(len, words)) + 1
    ax.set(xlim=(-2, max(column, 90)), ylim=(-0.5, 1.8), xticks=[], frame_on=False)
    ax.set_yticks([0.2, 1.2], ["heard", "said"])
    ax.set_title(f"WER {found.wer:.0%}", loc="left", fontsize=10)
''')
# NUMBER: what the worst sentences show
md("""
*Figure: the four sentences with the highest WER, said above, heard below, word under word. Black words agree, orange ones are substituted, pink ones deleted and blue ones inserted; an asterisk marks the gap.*

Look at what stands in the place of a lost word. It is hardly ever noise. It is another word that fits: a place for a place, a number for a number. That is the language model in the decoder, filling in what the ear did not catch. A typist who mishears writes nonsense, and you notice. This one writes sense.

### Low WER, wrong number

Now the job that people buy recognisers for: the minutes of a meeting. Three people, under a minute. This time we leave out the token *no timestamps*. The decoder may then write times too, which are tokens like any other, in steps of 20 ms: when a phrase begins, and when it ends.

Listen, and note three things: how much money, how many gloves, when the concert begins.
""")
code('''
from pathlib import Path

recordings = {Path(row["audio"]).stem: row for row in media.examples("recordings")}
meeting, _ = media.audio("meeting", sampling_rate=16_000)
truth = recordings["meeting"]["text"]
minutes = transcribe(meeting, return_timestamps=True, generate_kwargs={"language": "en"})
chunks = [chunk for chunk in minutes["chunks"] if chunk["text"].strip()]
times = [chunk["timestamp"] for chunk in chunks]
spans = [(begin, end or len(meeting) / 16_000) for begin, end in times]
for chunk, (begin, end) in zip(chunks, spans, strict=True):
    print(f"{begin:5.2f} to {end:5.2f} {chunk['text']}")
print(f"WER {jiwer.wer(plain(truth), plain(minutes['text'])):.1%}")
media.play(meeting, 16_000, transcript=truth)
''')
# NUMBER: quality of the meeting
md("""
The recording is longer than the 30 seconds that Whisper hears at once. It wrote down the first window, saw from its own time tokens where the last complete sentence ended, and began the next window there.

That was a quiet room. Now somebody opens a window on the street: we add **white noise**, all frequencies alike, at a given **signal-to-noise ratio** (SNR, in decibels: at 20 the speech has 100 times the power of the noise, at 10 ten times, at 0 as much).

To save time the meeting is cut in two between two phrases, and all ten halves go through in one batch. For each level the cell prints the WER of the whole meeting, then which numbers and days got lost, and which were written instead. Where do you think the first number breaks: at a WER of 5 %, 20 %, 50 %?
""")
code('''
import re
from collections import Counter


def noisy(waveform, decibels, seed=0):
    """The waveform in white noise, at a signal-to-noise ratio in decibels."""
    noise = np.random.default_rng(seed).normal(size=len(waveform))
    noise *= np.sqrt(np.mean(waveform**2) / np.mean(noise**2) / 10 ** (decibels / 10))
    return (waveform + noise).astype(np.float32)


def facts(text):
    """The numbers, times of day and weekdays in a text, counted."""
    return Counter(re.findall(r"\\d[\\d:]*\\d|\\d|(?:Mon|Tues|Wednes|Thurs|Fri)day", text))


levels, begins = (25, 20, 15, 10, 5), [round(16_000 * begin) for begin, _ in spans]
cut = min(begins, key=lambda begin: abs(begin - len(meeting) / 2))  # between two phrases
halves = [noisy(half, level) for level in levels for half in (meeting[:cut], meeting[cut:])]
in_noise = written(halves, language="en")
for level, first, second in zip(levels, in_noise[::2], in_noise[1::2], strict=True):
    text = f"{first} {second}"
    print(f"{level:2} dB  WER {jiwer.wer(plain(truth), plain(text)):5.1%}", end="  ")
    lost, instead = facts(truth) - facts(text), facts(text) - facts(truth)
    print("lost:", *lost.elements(), " written instead:", *instead.elements())
''')
# NUMBER: all of this
md("""
Go down the list to the first line that lost a number. Its WER may look like a good mark. Yet the minutes of that meeting order the wrong things or send everybody home on the wrong day. **Low WER, wrong number, and the meeting is ruined.** WER counts *the* like *352*. It also cannot see that a wrong number reads as well as a right one: no reader will stumble.

So measure what your job depends on. For minutes that is a second rate beside the WER: of the numbers, days and names that were said, how many are right?

### Who said when?

Timestamps say *when*, not *who*. To find the speakers is called **diarisation**. A simple way: each phrase gets a fingerprint, here the mean of its log-mel picture over time (how bright or dull, high or low a voice is). Then k-means, a **clustering**, sorts the fingerprints into heaps of similar ones. You have to say how many heaps: 3. It gives numbers, never names: who speaker 2 is, a person must say.

The recording's own list of turns tells how much of the speaking time comes out right.
""")
code('''
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

whole = {"truncation": False, "padding": "longest", "return_tensors": "np"}
picture = hearing(meeting, sampling_rate=16_000, **whole).input_features[0]  # 100 frames a second
places = [slice(round(100 * begin), round(100 * max(end, begin + 0.1))) for begin, end in spans]
prints = np.array([picture[:, place].mean(axis=1) for place in places])
prints = StandardScaler().fit_transform(prints - prints.mean(axis=1, keepdims=True))
speakers = KMeans(3, n_init=10, random_state=0).fit_predict(prints)

turns, frame = recordings["meeting"]["turns"], np.full(picture.shape[1], -1)
for place, speaker in zip(places, speakers, strict=True):
    frame[place] = speaker
names = sorted({turn["name"] for turn in turns})
seconds = np.zeros((3, len(names)))
for turn in turns:
    heard_as = frame[round(100 * turn["start"]) : round(100 * turn["end"])]
    seconds[:, names.index(turn["name"])] += [(heard_as == n).sum() / 100 for n in range(3)]
''')
md("""
The matrix `seconds` now holds for each speaker number and each name the time that they share. Give each number the name that makes the sum largest (the same assignment as the detector's in 2.6), and print the notes. And since every task was spoken as *somebody will do something by some day*, a pattern finds the **action items**, in the transcript and in the truth.
""")
code('''
from scipy.optimize import linear_sum_assignment

numbers, columns = linear_sum_assignment(-seconds)
who = {number: names[column] for number, column in zip(numbers, columns, strict=True)}
for chunk, speaker in zip(chunks, speakers, strict=True):
    print(f"{chunk['timestamp'][0]:5.1f} s  {who[speaker]:6}{chunk['text']}")
total = sum(turn["end"] - turn["start"] for turn in turns)
print(f"speaker right for {seconds[numbers, columns].sum() / total:.0%} of the time\\n")

task = re.compile(r"([A-Z]\\w+) (?:has to|will) ([^.?]+?) ((?:by|before|on) [^.?]+)")
for source, text in (("said", truth), ("heard", minutes["text"])):
    for person, what, when in task.findall(text):
        print(f"{source:5}  {person}: {what}, {when}")
''')
# NUMBER: diarisation, action items
md("""
Compare the two lists of tasks line by line. Each name, thing and day is a chance to be wrong, and a task is right only if all of them are.

Be honest about the speakers, too. This recording makes it easy: three synthetic voices, in one room, one after the other. With people who interrupt each other, sit at different distances and sound alike, a mean spectrum fails, and a phrase that two people share gets one name here whatever you do. And the names came from the truth.
""")
md("""
## The real one

What is real on this page: architecture, **yes**, it is Whisper's own code; weights, **yes** in that they were trained and not written, **no** in that they are ours and small; data, **no**, the voices are synthetic and they speak of one small town.

The architecture is real and the training is real; the world is small, which is why you can see all of it. The edge of that world is close: **your own voice** lies beyond it. In exercise 2 you bring it, and the failure is data. Ours will write a sentence about Toytown, because it knows nothing else to write.

The real Whisper heard 680,000 hours from the web, 117,000 of them not English, in 96 further languages. The paper's largest model reaches a WER of **2.7 %** on LibriSpeech test-clean, read audiobooks, without having trained on them; tiny, the small tier here, has 7.6 % and small, the full tier, 3.4 % ([Radford et al., 2022](https://arxiv.org/abs/2212.04356), table 2 and appendix D). That is another world than our town, so the numbers must not be compared. `setup("transcriber", tier="small")` in the setup cell runs this page on it: 151 MB to download.
""")

# ------------------------------------------------------------------------------- limits
# NUMBER: our parameters
md("""
## Limits

- **It writes even when nobody speaks.** A decoder that is asked for text gives text (*Deeper C*). In one study about 1 % of real Whisper transcripts held phrases that nobody had said, some of them violent ([Koenecke et al., 2024](https://arxiv.org/abs/2402.08021)).
- **It mends what it does not catch.** A wrong number reads as well as a right one. Keep the sound beside the text, so that somebody can listen again.
- **Bias.** It hears best who was in its training data. In the paper the WER of a language follows the hours of training that it had; accents, children, people with a speech impairment have few. Measure by group before you rely on it; the same study found more invented text for speakers with longer pauses.
- **Not for** evidence, diagnoses or grades without a person who listens. Recording somebody needs their consent, in many countries by law.
- **Licence.** Ours is Apache-2.0, and so are [openai/whisper-tiny](https://huggingface.co/openai/whisper-tiny) and whisper-small. You may sell what you build.
- **Memory** for the weights, 4, 2 or 1 byte each: ours with 3.7 million parameters 15 MB in fp32, 7 in bf16, 4 in int8; whisper-tiny with 37.8 million 151, 76 and 38 MB; whisper-small with 242 million 967, 483 and 242 MB.
""")

# ------------------------------------------------------------------------------- exercises
md("""
## Exercises

### 1. What may differ?

Whoever normalises before counting decides what counts. Write `normalise`, from a text to a text: *Dr*, *Dr.* and *doctor* must agree, so must capitals and punctuation. But *fifteen* and *fifty*, or *3.50* and *350*, must still count as an error. `answer` is the function itself.
""")
code("answer = ...", "exercise", slide="skip")
code("check.normalised(answer)", "self-check", slide="skip")
md("""
<details><summary>Solution</summary>

```python
def normalise(text):
    text = re.sub(r"\\bdr\\b\\.?", "doctor", text.lower())
    # A mark between two digits is part of the number: 3.50, 3:40
    text = re.sub(r"(?<!\\d)[^\\w\\s']|[^\\w\\s'](?!\\d)", " ", text)
    return " ".join(text.split())


answer = normalise
```

Every such rule is a choice about money. If you also mapped *fifteen* to *15*, a recogniser that writes digits would no longer be punished for it; is that fair to one that writes words?

</details>

### 2. Your own voice

Record a sentence of yours, of at most 30 seconds, with your phone or on your computer, as WAV, FLAC, OGG or MP3. Before you run it, guess the WER. `answer = ("me.wav", "what I said")`: a path, an address or a name of ours such as `"greeting"`, and your words. The check prints what was heard.
""", "skip")
code("answer = ...", "exercise", slide="skip")
code("check.own_voice(answer)", "self-check", slide="skip")
md("""
<details><summary>Solution</summary>

```python
answer = ("greeting", "Hello, this is the Toytown course.")
```

With your own voice the micro tier will most likely write a sentence about Toytown that you never said. Look at it closely: has it the right length? The right rhythm? Then try `tier="small"` in the setup cell, with the same file.

</details>

### 3. Build: subtitles

A subtitle has at most two lines of at most 42 characters, because nobody reads faster. Write `subtitles(text, start, end)`, from a phrase and its times in seconds to a list of `(start, end, text)`, lines parted by `"\\n"`. No word may be cut or lost. Where a phrase needs several subtitles, share its time out by their length; the first starts at `start`, the last ends at `end`.
""", "skip")
code("answer = ...", "exercise", slide="skip")
code("check.subtitles(answer)", "self-check", slide="skip")
md("""
<details><summary>Solution</summary>

```python
import textwrap


def subtitles(text, start, end):
    lines = textwrap.wrap(text, 42, break_on_hyphens=False)
    shown = ["\\n".join(lines[i : i + 2]) for i in range(0, len(lines), 2)]
    captions, begin = [], start
    for caption in shown:
        finish = begin + (end - start) * len(caption) / sum(map(len, shown))
        captions.append((begin, finish, caption))
        begin = finish
    return captions


answer = subtitles
```

Sharing time out by length is a guess: people pause. *Deeper H* shows where each word really is.

</details>
""", "skip")

# ------------------------------------------------------------------------------- narrator
md("""
## The Narrator

The Narrator ties the course together: your photograph in, a true spoken description out, with its doubts. On this page it learns to take your **question** by ear: the questions that it answers in 2.8 can now be spoken, and in any language that the transcriber knows, because what is not English it translates. Try it on a question in English and on one in French.
""")
code('''
def asked(waveform: np.ndarray, sampling_rate: int) -> str:
    """Write down a spoken question, in English whatever language it is asked in."""
    import soxr
    from helpers import checkpoint
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    name = checkpoint("transcriber")
    model = WhisperForConditionalGeneration.from_pretrained(name)
    processor = WhisperProcessor.from_pretrained(name)
    heard = soxr.resample(waveform, sampling_rate, 16_000)
    inputs = processor(heard, sampling_rate=16_000, return_tensors="pt").input_features
    english = model.generation_config.lang_to_id["<|en|>"]
    task = "transcribe" if model.detect_language(inputs)[0] == english else "translate"
    written = model.generate(inputs, task=task)
    return processor.batch_decode(written, skip_special_tokens=True)[0].strip()


questions = {row["language"]: row for row in speech if row["text"].endswith("?")}
for language, row in list(questions.items())[:2]:
    print(f"{language}  {row['text']}\\n    {asked(*media.audio(row['audio'], 48_000))}")
''', "narrator")
# NUMBER
md("""
It hands on what it heard without a doubt, unlike the counting of 2.6. You know by now what that is worth: the text reads well whether it is right or not. So the app shows you the question before it answers, and lets you correct it.

`python assets/apps/narrator/app.py` opens the app as far as it has come: on the page *Ask*, speak into the microphone.
""")
md("""
## Recap

- You **transcribed** speech, and wrote it by hand: waveform, log-mel, encoder, then one token after the other, equal to `generate`.
- You **steered** the recogniser by its first tokens: language, translation, time.
- You **measured** WER and CER, drew the alignment, and counted the numbers that a good WER had lost.
- You **wrote** the notes of a meeting, with speakers, times and tasks, and said how far they can be trusted.

What to keep: *recognition is generation. A recogniser does not fall silent where it fails; it goes on in good English.*

Next on the path of sound: 2.5 turns the arrow round, from text to speech. 2.3 listens to what is not speech.
""")

# ------------------------------------------------------------------------------- deeper
md("""
## Deeper (optional)

### A. Noise and voices

How does WER rise with noise, for voices that training held and for new ones? To save time, the sentences of each half are laid one after the other, five to a window.
""")
code('''
def window(rows):
    """Sentences one after the other, with pauses: the waveform, and its text."""
    pause = np.zeros(6_400, dtype=np.float32)
    parts = [part for row in rows for part in (media.audio(row["audio"], 16_000)[0], pause)]
    return np.concatenate(parts), plain(" ".join(row["text"] for row in rows))


levels = (20, 10, 0)
axes = plt.subplots(figsize=(7, 3.8), layout="constrained")[1]
for name, part, style in (("known voices", rows[:10], "o-"), ("new voices", rows[10:], "s--")):
    sounds, said = zip(window(part[:5]), window(part[5:]), strict=True)
    rates = []
    for level in levels:
        got = written([noisy(sound, level) for sound in sounds], language="en")
        rates.append(jiwer.wer(list(said), [plain(text) for text in got]))
    axes.plot(levels, np.multiply(rates, 100), style, label=name)
axes.set(title="WER against noise", xlabel="SNR (dB)", ylabel="WER (%)", xticks=levels)
axes.set(xlim=(21, -1), ylim=(0, None))
axes.legend();
''')
# NUMBER
md("""
*Figure: WER in per cent against the signal-to-noise ratio, from 20 decibels on the left down to 0 on the right, one line for known voices and one for new ones; both rise to the right.*

There is no cliff in the output to warn you. At 0 dB, where the WER is at its worst, the text is still made of well-formed sentences.

### B. What normalising does to the WER

The same 20 transcripts, five ways of making them comparable, one after the other. The last is a cheat: it keeps words of four letters or more, and no digit. Which step will change most?
""")
code('''
steps = {
    "as written": str,
    "lower case": str.lower,
    "no punctuation": plain,
    "every digit apart": lambda text: re.sub(r"(\\\\d)", r" \\\\1 ", plain(text)),
    "long words alone": lambda text: " ".join(re.findall(r"[^\\\\W\\\\d]{4,}", plain(text))),
}
for name, step in steps.items():
    said, got = [step(row["text"]) for row in rows], [step(text) for text in texts]
    print(f"{name:17} WER {jiwer.wer(said, got):5.1%}  CER {jiwer.cer(said, got):5.1%}")
'''.replace("\\\\", "\\"))
# NUMBER
md("""
Nothing was recognised better or worse from line to line. The last line's WER can never see a wrong number, because it has none left. So a WER without its normalisation says nothing, and two that were normalised differently must not be compared. Whisper's paper devotes an appendix to its own normaliser, and `BasicTextNormalizer`, our `plain`, is the part of it that works in any language.

### C. Silence, music and noise

What does it write when nobody speaks? Five sounds: digital silence, white noise, **speech-shaped noise** (the frequencies of the meeting in random order: it murmurs like a room full of people, with no word in it), a little melody, the farm of 2.3 with its dog and its cow; and, for comparison, a real sentence, clean and in noise.

Beside the text stand two numbers that a guard can use: how probable the decoder finds the token *no speech* as its very first word, and the mean logarithm of its tokens' probabilities (0 is certain; the lower, the more it guessed).
""")
code('''
def judged(waveforms):
    """For each waveform the text, the probability of no speech and the mean log-probability."""
    batch = hearing(waveforms, sampling_rate=16_000, return_tensors="pt").input_features
    batch = batch.to(model.device)
    ids = model.generate(batch, language="en", task="transcribe")
    whole = torch.cat([torch.tensor([prompt] * len(ids), device=model.device), ids], dim=1)
    with torch.inference_mode():
        shares = model(batch, decoder_input_ids=whole[:, :-1]).logits.log_softmax(dim=-1)
    steps = shares.gather(2, whole[:, 1:, None])[:, len(prompt) - 1 :, 0]
    real = ids != tokenizer.eos_token_id
    certain = (steps * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
    silent = shares[:, 0, model.generation_config.no_timestamps_token_id - 1].exp()
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return zip(texts, silent.tolist(), certain.tolist(), strict=True)
''')
md("""
The last special token but one, just before *no timestamps*, is *no speech*. Now the sounds:
""")
code('''
random, moments = np.random.default_rng(0), np.arange(5 * 16_000) / 16_000
spectrum = np.fft.rfft(meeting[: len(moments)])
murmur = np.fft.irfft(spectrum * np.exp(2j * np.pi * random.random(len(spectrum))))
notes = 440 * 2 ** (np.array([0, 4, 7, 12, 7, 4, 0, 4, 7, 12]) / 12)[(moments * 2).astype(int)]
clip = media.audio(rows[0]["audio"], 16_000)[0]
sounds = {
    "silence": np.zeros(len(moments), dtype=np.float32),
    "white noise": 0.1 * random.normal(size=len(moments)),
    "murmur": murmur,
    "melody": 0.3 * np.sin(2 * np.pi * np.cumsum(notes) / 16_000),
    "farm": media.audio("farm", 16_000)[0],
    "speech": clip,
    "speech, 5 dB": noisy(clip, 5),
}
for name, (text, silent, certain) in zip(sounds, judged(list(sounds.values())), strict=True):
    print(f"{name:13} no speech {silent:.2f}  certain {certain:5.2f} {text}")
''')
# NUMBER: what it prints
md("""
Read the texts: they are printed as they came. Where the third column holds words beside a sound in which nobody speaks, the model made them up. That is called **hallucination**, and it is the first of the consequences from above, nothing else: a decoder that is asked for text gives text.

A guard is a rule in front: drop the text where *no speech* is likely, and mark it where the certainty is lower than real speech usually has. Whisper's own combines both (no speech above 0.6 *and* a mean below −1; `generate` takes `no_speech_threshold` and `logprob_threshold`) and adds a third sign: a text that repeats itself, which shows in how well it can be compressed. Choose your limits on sounds of your own, and count both errors, as for the detector in 2.6: inventions that pass, and true speech that is thrown away. Another guard stands before the model: a detector of voices cuts out what is not speech.

### D. Two minutes

Whisper hears 30 seconds. What about two minutes? The obvious way: cut every 20 seconds, transcribe the pieces, join them. The bulletin is a recording of two minutes; we look at the places where the cuts fell. What will become of a word that a cut goes through?
""")
code('''
from itertools import pairwise

bulletin, _ = media.audio("bulletin", sampling_rate=16_000)
told = recordings["bulletin"]
pieces = [bulletin[first : first + 320_000] for first in range(0, len(bulletin), 320_000)]
cut = written([piece for piece in pieces if len(piece) > 16_000], language="en")
for number, (before, after) in enumerate(pairwise(cut), start=1):
    across = [t["text"] for t in told["turns"] if t["start"] < 20 * number < t["end"]]
    print(f"at {20 * number:3} s said: {' '.join(across) or '(a pause)'}")
    print(f"        heard: … {before[-45:]} | {after[:45]} …")
''')
# NUMBER
md("""
The cut goes where the clock says, not where a word ends. Each half of a cut word is a sound that no word has, and each half of a sentence lacks what comes before or after it. The decoder repairs both sides as well as it can, each for itself.

There are two remedies. **Chunks with a stride**: let neighbouring pieces overlap, here by 5 seconds on both sides, and where the two transcripts agree, sew them together; what was cut in one piece is whole in the other. The pieces can run side by side. Or Whisper's **own way**: one window after the other, each beginning where the timestamps say that the last complete sentence ended. The seams then lie in pauses, but a mistake in a timestamp moves all that follows.
""")
code('''
transcribe.tokenizer.pad_token = transcribe.tokenizer.eos_token  # a batch needs one
said, sewn = plain(told["text"]), {"chunk_length_s": 30, "stride_length_s": 5, "batch_size": 8}
options = {"generate_kwargs": {"language": "en"}}
ways = {
    "cut every 20 s": " ".join(cut),
    "30 s, stride 5 s": transcribe(bulletin, **sewn, **options)["text"],
    "one after the other": transcribe(bulletin, return_timestamps=True, **options)["text"],
}
for way, text in ways.items():
    counts = jiwer.process_words(said, plain(text))
    three = f"{counts.substitutions} replaced, {counts.deletions} lost, {counts.insertions} added"
    print(f"{way:20} WER {counts.wer:5.1%}: {three}")
''')
# NUMBER
md("""
Compare the three columns on the right rather than the WER alone: cutting tends to replace and lose words at the seams, sewing tends to add some twice. Which way wins depends on the recording; measure on yours.

### E. Subtitles

A subtitle file is text and times, nothing else. **SRT** numbers its captions and writes `00:00:01,500`; **WebVTT**, the form of browsers, begins with a line `WEBVTT` and writes a point where SRT has a comma. The cell writes the meeting in both forms and, as one should with any format, reads them back with a parser that knows nothing of the writer.
""")
code('''
import tempfile


def clock(seconds, point):
    """12.5 becomes 00:00:12.500, with the point that the format wants."""
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"


folder = Path(tempfile.mkdtemp())
for ending, head, point in ((".srt", "", ","), (".vtt", "WEBVTT\\\\n\\\\n", ".")):
    blocks = [
        f"{n}\\\\n{clock(begin, point)} --> {clock(end, point)}\\\\n{chunk['text'].strip()}\\\\n"
        for n, (chunk, (begin, end)) in enumerate(zip(chunks, spans, strict=True), start=1)
    ]
    (folder / f"meeting{ending}").write_text(head + "\\\\n".join(blocks), encoding="utf-8")
print((folder / "meeting.vtt").read_text(encoding="utf-8")[:150])
'''.replace("\\\\", "\\"))
md("""
The parser asks of each caption: a number that counts on, a beginning before its end, not before the last one's end, and text. Then it compares both files with what we meant to write.
""")
code('''
MOMENT = r"(\\d\\d):(\\d\\d):(\\d\\d)[,.](\\d{3})"
for name in ("meeting.srt", "meeting.vtt"):
    captions = (folder / name).read_text(encoding="utf-8").removeprefix("WEBVTT\\n\\n")
    parsed, last = [], 0.0
    for number, block in enumerate(captions.strip().split("\\n\\n"), start=1):
        count, times, text = block.split("\\n", maxsplit=2)
        parts = re.fullmatch(f"{MOMENT} --> {MOMENT}", times).groups()
        begin, end = (np.dot([3600, 60, 1, 0.001], list(map(int, p))) for p in (parts[:4], parts[4:]))
        parsed.append((begin, end, text))
        faulty = int(count) != number or not last <= begin < end
        last = end
        print(f"{name} {number}: {'overlaps or ends too early' if faulty else 'ok'}")
    assert [text for *_, text in parsed] == [chunk["text"].strip() for chunk in chunks]
''')
# NUMBER
md("""
The exercise above asks for what is still missing: lines that fit the screen.

### F. How fast?

The **real-time factor** (RTF) is computing time divided by the length of the sound: below 1 a recogniser keeps up with a speaker. The cell times one short sentence, the same sentence four times in one batch, then half a minute of the meeting. Your figures will differ from the stored ones. Which of the three will have the worst factor?
""")
code('''
import time

jobs = {"one sentence": [clip], "four at once": [clip] * 4, "half a minute": [meeting[:480_000]]}
for name, sounds_now in jobs.items():
    begun = time.perf_counter()
    written(sounds_now, language="en")
    took, length = time.perf_counter() - begun, sum(map(len, sounds_now)) / 16_000
    print(f"{name:15} {length:5.1f} s of sound in {took:5.2f} s: RTF {took / length:.2f}")
''', "volatile")
md("""
A short sentence costs the encoder as much as half a minute: it always gets 30 seconds, silence included. So the factor is worst where there is least to hear. The decoder's share grows with the number of words, and it cannot run ahead: each token waits for the one before.

### G. An app

Gradio makes a web page of a function. This one takes a microphone or a file and gives back the text, with what its guard thinks. The cell starts it, asks it once as a browser would, and closes it again. To play with it, run the cell without its last line and open `address`.
""")
code('''
import gradio as gr
from gradio_client import Client, handle_file


def listen(file):
    sound, _ = media.audio(file, sampling_rate=16_000)
    ((text, silent, certain),) = judged([sound])
    doubt = silent > 0.6 or certain < -1
    return f"Perhaps nobody spoke: {text}" if doubt else text.strip()


recorder = gr.Audio(sources=["microphone", "upload"], type="filepath", label="Speak")
app = gr.Interface(listen, recorder, gr.Textbox(label="What it heard"), api_name="listen")
_, address, _ = app.launch(prevent_thread_lock=True, quiet=True, inline=False, share=False)
greeting = handle_file(recordings["greeting"]["audio"])
print(Client(address, verbose=False).predict(greeting, api_name="/listen"))
app.close(verbose=False)
''')
md("""
An app meets what no test set holds: a cough, a bus outside, somebody who says nothing. That is what the guard is for.

### H. Where it listens

The decoder's **cross-attention** says for each token which of the encoder's 1,500 moments it looks at. Some heads do it so exactly that Whisper takes the times of single words from them. Here is one of those heads, for the greeting; `eager` makes the model keep its attention. What shape should it have, if the words are written in the order in which they are said?
""")
code('''
model.set_attn_implementation("eager")
layer, head = model.generation_config.alignment_heads[-1]
with torch.inference_mode():
    outputs = model(
        library.to(model.device),
        decoder_input_ids=torch.tensor([tokens[:-1]], device=model.device),
        output_attentions=True,
    )
looks = outputs.cross_attentions[layer][0, head, len(prompt) - 1 :, :150].float().cpu()
model.set_attn_implementation("sdpa")
figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
axes.imshow(looks, aspect="auto", cmap="magma", extent=(0, 3, len(looks), 0))
names = [repr(tokenizer.decode(token)) for token in tokens[len(prompt) :]]
axes.set_yticks(np.arange(len(looks)) + 0.5, names)
axes.set(title="Where each token listens", xlabel="seconds", ylabel="token to be written");
''')
# NUMBER: the figure
md("""
*Figure: one row for each token of the greeting from the top down, time from left to right; the bright spots run from the upper left to the lower right.*

A staircase: each token looks at the moment where its word is said. `return_timestamps="word"` makes the pipeline read such a staircase and give a time for each word. It is exact to a tenth of a second or so at best, and a word that was never said has a time as well.

### I. How it was trained

`assets/recipes/transcriber.py` made this model from random numbers and kept its log. Toytown's sentences were spoken by the synthesiser espeak-ng, which can say to the millisecond when each sound and each word was. So our encoder was taught to name the sounds beside the decoder's text, and some heads where to look. The real Whisper had only sound and text, and learnt the rest from 680,000 hours of them.
""")
code('''
import json

from helpers.checkpoints import ASSETS

log = json.loads((ASSETS / "checkpoints/transcriber/training.json").read_text())
losses = [(row["step"], row["loss"]) for row in log if "loss" in row]
scored = [row for row in log if "eval_wer_en" in row]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.plot(*zip(*losses, strict=True))
left.set(xlabel="step", ylabel="loss", title="The loss")
for language, style in (("en", "o-"), ("fr", "s--"), ("es", "^:")):
    rates = [100 * row[f"eval_wer_{language}"] for row in scored]
    right.plot([row["step"] for row in scored], rates, style, label=language)
right.set(xlabel="step", ylabel="WER (%)", title="On validation sentences", ylim=(0, None))
right.legend();
''')
# NUMBER: the figure
md("""
*Figure: on the left the loss against training steps, falling; on the right the WER on validation sentences in three languages, falling from near or above 100 per cent.*

The WER stays near 100 % for a while and then falls quickly. Before that moment the decoder is a language model that does not listen: it writes good sentences about Toytown, whatever is said. It learns to write first, and to hear second. You have met what is left of that order all over this page.
""")
write("2.4. Automatic_Speech_Recognition")
import subprocess

ruff, made = "/work/main/.venv/bin/ruff", "/work/main/notebooks/2.4. Automatic_Speech_Recognition.ipynb"
subprocess.run([ruff, "format", "--quiet", made], check=True, cwd="/work/main")
subprocess.run([ruff, "check", made], check=True, cwd="/work/main")
