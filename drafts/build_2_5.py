"""Builds 2.5. Text_to_Speech.ipynb (no outputs; then ruff format, then course.py --store 2.5).

# NUMBER: marks a sentence that depends on what the final checkpoints give: read it again then.
"""
import sys

sys.path.insert(0, "/work/tools")
from nbtool import code, md, setup, write

md("""
# 2.5. Text to Speech

[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ES7/Introduction-to-LLMs/blob/main/notebooks/2.5.%20Text_to_Speech.ipynb)

**One text goes in. Of the many right ways to say it, which one comes out, and is it any good?**

*65 minutes with the exercises, under 1 minute to run · 0.9 GB of memory · needs no account, no GPU, no network*

By the end you will be able to

- **speak** one text in several voices, rates and moods;
- **follow** it from characters through durations and latents to the waveform;
- **measure** how well speech is understood, and say what that number cannot hear;
- **prepare** figures, abbreviations and long texts, and save what is said;
- **decide** what a voice may be used for.
""")

md("""
## Setup

Run this first; you need not read it. It says what the session runs on. A *tier* is a size: micro needs no download, small and full fetch larger models. `checkpoint("speaker")` is the folder that holds the model of your tier.

Where the text says *in the stored run*, it speaks of the outputs that you see before you run anything.
""")
setup("speaker", "transcriber")

md("""
## First result: one sentence, several voices

A **speaker** turns text into sound: a **waveform**, a long row of numbers, so many a second. How many is its **sampling rate**, in hertz (Hz).

Read the sentence below aloud before you run the cell. Now say it again so that it answers *who* gave the box. And once more, so that it answers *who got it*. The letters stayed the same. Which of the three did the author mean?

The model has read the letters and nothing else. It chooses a way to say them, in each of its voices.
""")
code("""
from transformers import pipeline, set_seed

speak = pipeline("text-to-audio", model=checkpoint("speaker"), device=device)
rate, voices = speak.sampling_rate, range(max(1, speak.model.config.num_speakers))
sentence = "The postman gave a box to Zoe."
for voice in voices:
    set_seed(0)
    said = speak(sentence, forward_params={"speaker_id": voice})
    media.play(said["audio"], said["sampling_rate"], f"Voice {voice}: {sentence}")
print(f"the last: {said['audio'].size:,} samples at {rate:,} Hz")
""")

md("""
## One text, many right answers

In the stored run there are four voices: an American man and woman, a British woman and a Scottish man. They imitate a synthesiser, and sound like one. `speaker_id` chooses among them. It is a row of a table: each voice is a short list of numbers that the model learnt, and everything else they share. (On the small tier there is one voice.)

A picture of a dog has one right label (2.6). A recording has, nearly, one right transcript (2.4). A text has no one right sound. Voice, rate, melody, mood: most of what you hear is not in the letters, and somebody has to choose it. The task is **one-to-many**.

Four knobs choose:

- `speaker_id`, the voice;
- `speaking_rate`: 2 takes half as long;
- `noise_scale`: how far the sound may wander from what is most expected;
- `noise_scale_duration`: how far the rhythm may.

The last two scale random numbers. With the same **seed** (the start of the random numbers) they come out the same; with another seed it is another **take**.

(`noise=0.667` and `rhythm=0.8` below are what VITS models are shipped with.) The next cell varies one knob at a time and gives every version to the **transcriber** of 2.4. Predict: how many different waveforms, how many different transcripts?
""")
code("""
import numpy as np
from tqdm.auto import tqdm

hear = pipeline("automatic-speech-recognition", model=checkpoint("transcriber"), device=device)


def say(text, voice=0, pace=1.0, noise=0.667, rhythm=0.8, seed=0):
    \"\"\"One take: a waveform, float32 of shape (samples,).\"\"\"
    speak.model.noise_scale, speak.model.noise_scale_duration = noise, rhythm
    set_seed(seed)
    said = speak(text, forward_params={"speaker_id": voice, "speaking_rate": pace})
    return said["audio"].squeeze()


settings = {f"voice {voice}": {"voice": voice} for voice in voices}
settings |= {f"rate {pace}": {"pace": pace} for pace in (1.0, 0.75, 1.4)}
settings |= {f"noise {noise}": {"noise": noise} for noise in (0.667, 0.0, 1.2)}
settings |= {f"take {seed}": {"seed": seed} for seed in range(5)}
versions = {name: say(sentence, **how) for name, how in settings.items()}
heard = [hear({"raw": w, "sampling_rate": rate})["text"] for w in tqdm(versions.values())]
for (name, waveform), text in zip(versions.items(), heard, strict=True):
    print(f"{name:<12}{len(waveform) / rate:5.2f} s   {text.strip()}")
sounds = {waveform.tobytes() for waveform in versions.values()}
print(f"{len(sounds)} different waveforms, {len(set(heard))} different transcript(s)")
""")

# NUMBER: one transcript
md("""
In the stored run they are twelve waveforms, of 1.38 to 2.29 seconds; the first of each group is one and the same take. Where the transcriber does its work, it writes one sentence for all of them. Everything in which they differ, the letters never said. At a `noise_scale` of 0 the rhythm stays and the sound loses its small irregularities. (With `noise_scale_duration` at 0 every take has the same rhythm.)

Look at them. A **spectrogram** shows how much of each frequency a sound holds at each moment: time runs to the right, high tones are at the top. Five panels are versions from above. The sixth answers a question that you may have had: if many sounds are right, why not learn their average? It adds up five takes and divides by five. What will it sound like?
""")
code("""
import matplotlib.pyplot as plt

takes = [versions[f"take {seed}"] for seed in range(5)]
longest = max(map(len, takes))
average = np.mean([np.pad(take, (0, longest - len(take))) for take in takes], axis=0)
shown = ["take 0", "take 1", f"voice {voices[-1]}", "rate 0.75", "noise 0.0"]
figure, axes = plt.subplots(2, 3, figsize=(12, 5.4), layout="constrained", sharex=True)
for ax, name in zip(axes.flat, shown, strict=False):
    drawing.spectrogram(versions[name], rate, name, ax, 6_000)
drawing.spectrogram(average, rate, "average of five takes", axes.flat[5], 6_000)
for ax in axes.flat:
    ax.label_outer()
print("average of five takes:", hear({"raw": average, "sampling_rate": rate})["text"])
media.play(average, rate, "The average of five takes of the same sentence")
""")

# NUMBER: transcript of the average
md("""
*Figure: six spectrograms of the same sentence. Five show separate striped patches of voice with gaps between them, shifted and stretched against one another; in the sixth, the average, the patches run into one another.*

In the stored run the five takes begin together, and so their average begins as a voice. Then the rhythms drift apart, the last third is five people in a corridor, and above the figure stands what the transcriber makes of it.

**The average of right answers is no right answer.** It is why a speaker must not be trained to come as near as possible to every recording at once: it would learn the average. It must learn to *choose*: draw a few random numbers, and then commit itself. That is what the noise is for.

### From characters to sound

Our speaker is a **VITS** ([Kim et al., 2021](https://arxiv.org/abs/2106.06103), "Conditional Variational Autoencoder with Adversarial Learning for End-to-End Text-to-Speech"). It speaks in five steps:

1. the **tokenizer** makes numbers of characters, one each;
2. the **text encoder** (a transformer, as in 2.1) reads them all, and says for each token what sound to expect, and how much it may vary;
3. the **duration predictor** draws, for each token, how many **frames** it lasts; a frame is a short stretch of sound;
4. the **flow** turns what is expected, plus noise, into **latents**: a column of numbers for each frame, which hold the sound in the model's own code;
5. the **decoder** makes samples of the latents.

The voice's numbers go into steps 3 to 5. A *hook* is a function that PyTorch calls when a part of a model has answered; ours keep each answer. At which step does the table grow from one row a character to one a frame?
""")
code("""
model, tokenizer, answered = speak.model, speak.tokenizer, {}


def keep(name):
    return lambda part, given, answer: answered.update({name: answer})


stages = ("text_encoder", "duration_predictor", "flow", "decoder")
hooks = [getattr(model, name).register_forward_hook(keep(name)) for name in stages]
waveform = say(sentence)
for hook in hooks:
    hook.remove()
assert np.array_equal(waveform, versions["take 0"]), "one seed, one sound"
ids = tokenizer(sentence)["input_ids"]
durations = answered["duration_predictor"].exp().ceil().int().flatten().tolist()
print("tokens     ", (len(ids),), *tokenizer.convert_ids_to_tokens(ids))
print("expected   ", tuple(answered["text_encoder"].prior_means.shape))
print("frames each", (len(durations),), *durations)
print("latents    ", tuple(answered["flow"].shape), "of", sum(durations), "frames")
print("waveform   ", waveform.shape, "by", len(waveform) // sum(durations), "samples a frame")
""")

md("""
The duration predictor answers in logarithms, hence `exp`; `ceil` rounds up to whole frames. Their sum is the number of columns of the latents. Every column becomes a fixed number of samples. So the length of what you hear is decided in step 3, before a single sample exists.

Now all of it on one time axis. Which letters get hardly any time?
""")
code("""
edges = np.cumsum([0, *durations]) * len(waveform) / sum(durations) / rate  # in seconds
figure, axes = plt.subplots(4, 1, figsize=(12, 8.2), layout="constrained", sharex=True)
names = tokenizer.convert_ids_to_tokens(ids)
for name, start, end in zip(names, edges[:-1], edges[1:], strict=True):
    axes[0].axvspan(start, end, color=drawing.colour_of(name), alpha=0.5)
    axes[0].text((start + end) / 2, 0.5, name, ha="center", va="center", fontsize=13)
axes[0].set(title="Tokens, each as long as its frames", yticks=[])
latents = answered["flow"][0].cpu().numpy()
extent = (0, edges[-1], 0, len(latents))
axes[1].imshow(latents, "PuOr", aspect="auto", extent=extent, vmin=-1.5, vmax=1.5)
axes[1].set(title="Latents: orange below zero, purple above", ylabel="channel")
axes[2].plot(np.arange(len(waveform)) / rate, waveform, linewidth=0.4)
axes[2].set(title="Waveform", ylabel="pressure (no unit)")
drawing.spectrogram(waveform, rate, "Spectrogram", axes[3], 6_000)
for ax in axes[1:]:
    ax.vlines(edges, *ax.get_ylim(), color="black", linewidth=0.3)
    ax.label_outer()
""")

# NUMBER: which letters are short
md("""
*Figure: four rows over the same seconds. The sentence's characters as coloured bars, wide where they last; below them the latents, a striped orange and purple band; the waveform, loud in the vowels; and its spectrogram. Thin lines carry the borders of the characters through all rows.*

In the stored run the *h* of *the*, the *p* and the silent *e* of *gave* get one frame each, the least there is, and the *o* of *postman* gets ten. The hissing *s* and *x* are wide bright bands at the top of the spectrogram; the full stop is silence. Nobody wrote these rules down: the model learnt from speech how long each letter lasts in its company.

Knobs are easy to place now: `speaking_rate` divides the durations before they are rounded; `noise_scale_duration` scales the noise of step 3, `noise_scale` the noise of step 4.

### Understood is not liked

How good is a voice? The cheapest test is a **round trip**: speak a text, transcribe it, and count the words that come back wrong, missing or added, for each word that was said: the **word error rate**, WER (2.4). It needs no listener. That is its charm, and its flaw.

We take sentences that neither model was trained on, and spoil the waveforms in three ways:

- **robot**: each short stretch keeps its loudness at each frequency, but all waves start together; the melody is gone;
- **whisper**: the same, but each wave starts anywhere; the vocal cords are gone;
- **telephone**: only 300 to 3,000 Hz pass.

Listen first, and give each a mark from 1 (bad) to 5 (excellent). Then guess its WER.
""")
code("""
from scipy.signal import butter, istft, sosfilt, stft

chance = np.random.default_rng(0)


def retimed(waveform, phase, hop=0.01, window=0.032):
    \"\"\"The same loudness at each frequency and moment, with another start of each wave.\"\"\"
    size = round(window * rate)
    cut = {"fs": rate, "nperseg": size, "noverlap": size - round(hop * rate)}
    waves = np.abs(stft(waveform, **cut)[2])
    changed = istft(waves * np.exp(1j * phase(waves.shape)), **cut)[1]
    return changed / np.abs(changed).max() * np.abs(waveform).max()


band = butter(6, [300, 3_000], "bandpass", fs=rate, output="sos")
spoilt = {
    "as it is": lambda waveform: waveform,
    "robot": lambda waveform: retimed(waveform, np.zeros),
    "whisper": lambda waveform: retimed(waveform, lambda n: chance.uniform(0, 2 * np.pi, n)),
    "telephone": lambda waveform: sosfilt(band, waveform),
}
for name, spoil in spoilt.items():
    media.play(spoil(takes[0]), rate, f"{name}: {sentence}")
""")
md("""
Have you written down your marks? Here is the other judge. `jiwer` is a library that counts word errors.
""")
code("""
import re

import jiwer

rows = [row for row in media.examples("speech") if row["language"] == "en"]
texts = [row["text"] for row in rows if not re.search(r"\\d", row["text"])]
sentences = [text for text in texts if 5 <= len(text.split()) <= 10][:10]
spoken = [say(text, seed=number) for number, text in enumerate(sentences[:5])]


def plain(text):
    \"\"\"Its words, without case and punctuation.\"\"\"
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def round_trip(texts, waveforms):
    \"\"\"Word error rate of some waveforms against the texts that they were made of.\"\"\"
    transcripts = [hear({"raw": w, "sampling_rate": rate})["text"] for w in waveforms]
    return jiwer.wer(list(map(plain, texts)), list(map(plain, transcripts)))


for name, spoil in tqdm(spoilt.items()):
    changed = [spoil(waveform).astype(np.float32) for waveform in spoken]
    print(f"{name:<12}WER {round_trip(sentences[:5], changed):.2f}")
""")

# NUMBER: the robot's WER is as good as that of the voice as it is; telephone worse
md("""
Compare the robot with the voice as it is. **Perfect WER, ugly voice**: the two marks that you gave are further apart than the two error rates. Why? The transcriber never gets a waveform. It gets how loud each frequency is at each moment (2.4), and that is what the robot and the whisper kept. What they lost, the melody and the vocal cords, it does not look at.

The telephone shows the other side. You have understood telephones all your life; this transcriber was never taught by one. So a round trip does not measure a voice. It measures whether *this transcriber* finds the words:

- a low WER needs a good speaker *and* a good transcriber; a high one does not say which of the two failed;
- it cannot hear a wrong stress, a bored tone, a stranger's accent, or an hour of it;
- the number rests on five sentences here. One word more or less moves it visibly.

Whether people like a voice, only people can say (see *Limits*).

### Text that can be spoken

A speaker says characters. What it does with those that it does not know, it does not tell you. The remedy is **text normalisation**: write out what is said. The library inflect knows numbers in words; rules know the rest, and rules have gaps.

The cell gives a notice to the voice as it was written, and then normalised. We decode the tokens to see what the model reads. What will you hear of the fee the first time? And look for two mistakes in the last line.
""")
code("""
import inflect

ABBREVIATIONS = {"Dr.": "Doctor", "Mr.": "Mister", "e.g.": "for example", "km": "kilometres"}
english = inflect.engine()


def normalise(text):
    \"\"\"Figures, times, prices and four abbreviations, as one says them.\"\"\"
    for short, full in ABBREVIATIONS.items():
        text = re.sub(rf"(?<!\\w){re.escape(short)}(?!\\w)", full, text)
    text = re.sub(r"(\\d):00\\b", r"\\1 o'clock", text)
    text = re.sub(r"(\\d):0?(\\d+)", lambda m: m[1] + (" oh " if ":0" in m[0] else " ") + m[2], text)
    text = re.sub(r"€ ?(\\d+)", r"\\1 euros", text)
    return re.sub(r"\\d+", lambda match: english.number_to_words(match[0], andword=""), text)


notice = "Dr. Brown asks for €24 at 3:40."
for text in (notice, normalise(notice)):
    print("read:", tokenizer.decode(tokenizer(text)["input_ids"]))
    media.play(say(text), rate, f"The voice, given: {text}")
print(normalise("Dr. Brown, 12 Mill Dr., sold 1999 cakes in 1999."))
""")
md("""
In the stored run the first line has lost fee and time, and nothing complained: no error, no warning. Somebody who only listens cannot know that anything is missing. (Other tokenizers keep figures; what the voice then makes of them is luck.)

The two mistakes: *12 Mill Dr.* is a drive, no doctor, and a year is said *nineteen ninety-nine*. The letters are the same; the words around them decide. Speech systems have hundreds of rules for each language, or a model for it.

### A long text, saved

Long texts are spoken sentence by sentence, with a **pause** after each: a mistake stays in its sentence, and the first sentence can be heard while the next is made. A WAV file is the samples and, in its head, the sampling rate. Write the wrong rate there and nothing complains: the file plays, at the wrong speed and pitch. What would the same samples last at 24,000 Hz?
""")
code("""
import tempfile
from pathlib import Path

import soundfile


def read_aloud(text, path, pause=0.4, **how):
    \"\"\"Say a text by sentences, with pauses in seconds between them, into a WAV file.\"\"\"
    parts = []
    for sentence in re.split(r"(?<=[.!?])\\s+", normalise(text)):
        parts += [say(sentence, **how), np.zeros(round(pause * rate), np.float32)]
    soundfile.write(path, np.concatenate(parts[:-1]), rate)


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "notice.wav"
    read_aloud("The market opens at 4:10. It closes at 7:00. Bring your own box!", path)
    about, (samples, _) = soundfile.info(path), soundfile.read(path, dtype="float32")
print(f"{about.format}, {about.subtype}, {about.samplerate:,} Hz, {about.duration:.2f} s")
print(f"at 24,000 Hz it would last {about.frames / 24_000:.2f} s")
media.play(samples, about.samplerate, "The market opens at four ten. It closes at seven o'clock. …")
""")

md("""
`PCM_16` means 16 bits a sample, which every player reads. The `samplerate` came from the model, not from memory: write `speak.sampling_rate`, never a number. (On the full tier it is another one.)

### An app

Touch the knobs. The cell builds a page around `say`, asks it once as another program would, through its API, and closes it. To play with it, run `app.launch()` in a new cell below.
""")
code("""
import gradio as gr
from gradio_client import Client


def page(text, voice, pace, noise, rhythm):
    waveform = say(normalise(text[:200]), int(voice), pace, noise, rhythm)
    return rate, (waveform.clip(-1, 1) * 32_767).astype(np.int16)


text = gr.Textbox(sentence, label="Text", max_length=200)
voice = gr.Dropdown(list(voices), value=0, label="Voice (speaker_id)")
knobs = [gr.Slider(0.5, 2, 1, label="speaking_rate"), gr.Slider(0, 1.5, 0.667, label="noise_scale")]
knobs.append(gr.Slider(0, 1.5, 0.8, label="noise_scale_duration"))
app = gr.Interface(page, [text, voice, *knobs], gr.Audio(label="Said"), api_name="say")
_, address, _ = app.launch(prevent_thread_lock=True, quiet=True, inline=False, share=False)
file = Client(address, verbose=False).predict(sentence, 0, 1.0, 0.667, 0.8, api_name="/say")
samples, found = soundfile.read(file)
print(f"{len(samples) / found:.2f} s at {found:,} Hz from the page")
app.close(verbose=False)
""")

md("""
## The real one

What is real on this page: architecture, **yes**, it is VITS's own code in transformers; weights, **yes** in that they were trained and not written, **no** in that they are ours and small; data, **no**: the sentences are Toytown's, the voices a synthesiser's, espeak-ng.

The architecture is real and the training is real; the world is small, which is why you can see all of it. So here is text from outside it: three lines that you may know. Toytown has no whale, no Ishmael and no wisdom. Guess what comes back.
""")
code("""
famous = {
    "Melville, 1851": "Call me Ishmael.",
    "Dickens, 1859": "It was the age of wisdom, it was the age of foolishness.",
    "Carroll, 1865": "Why is a raven like a writing desk?",
}
for source, line in famous.items():
    waveform = say(line, voice=voices[-1])
    print(f"{source}: {line}\\n     heard: {hear({'raw': waveform, 'sampling_rate': rate})['text']}")
    media.play(waveform, rate, f"{line} ({source})")
""")
md("""
Listen before you blame the voice. It says words that it has never read by analogy with those that it has. The transcriber writes words that it knows. Where both are strangers to a word, the round trip has no judge: a wrong transcript may come from a right sound. In the small world of Toytown the measure looked better than it is.

For scale, the paper's VITS was judged by people, on recordings of one woman reading (LJ Speech): a mean opinion score of **4.43** ± 0.06 out of 5, where the recordings themselves got 4.46 ± 0.06 ([Kim et al., 2021](https://arxiv.org/abs/2106.06103), table 1). Our world is another; nobody has judged ours, and the numbers must not be compared.

Open models that do it well, each with its licence, which decides what you may build:

| model | licence | what it is good for |
|---|---|---|
| [facebook/mms-tts-eng](https://huggingface.co/facebook/mms-tts-eng), the small tier | CC-BY-NC-4.0: not for sale | a VITS; sister models for over a thousand languages |
| [kakao-enterprise/vits-ljs](https://huggingface.co/kakao-enterprise/vits-ljs), the full tier | MIT | the paper's VITS, one voice |
| [microsoft/speecht5_tts](https://huggingface.co/microsoft/speecht5_tts) | MIT | a voice by a vector, also one it never heard |
| [suno/bark](https://huggingface.co/suno/bark) | MIT | laughs, sighs, music; invents words too |
| [parler-tts/parler-tts-mini-v1](https://huggingface.co/parler-tts/parler-tts-mini-v1) | Apache-2.0 | a voice and style described in words |
| [hexgrad/Kokoro-82M](https://huggingface.co/hexgrad/Kokoro-82M) | Apache-2.0 | many voices from a small model |

`setup("speaker", "transcriber", tier="small")` in the setup cell runs this page on the first. The full tier reads phonemes, the sounds of a language, instead of letters: it needs the package phonemizer and the program espeak-ng. Where you cannot install the program, the package espeakng-loader brings it.
""")

md("""
## Limits

- **It reads letters, not meaning.** *I read it yesterday* and *I will read it* have one spelling and two sounds. It does not know who the sentence is about, so it stresses nobody on purpose.
- **What it cannot read it leaves out, without a word.** A wrong dose read aloud sounds as sure as a right one.
- **WER is no mean opinion score** (MOS): people rate how natural each recording sounds, from 1 to 5, and one takes the mean. No program replaces them; those that predict MOS were trained on people's marks, for voices like those that the people heard.
- **Bias.** Ours has four voices and one language. Whoever speaks otherwise is not in it, and many products answer the same way: with few accents, and a young woman's voice for the assistant. Names from elsewhere come out worst.
- **Licence.** Ours is Apache-2.0. The small tier's is CC-BY-NC-4.0: not for commercial use.
- **Memory** for the weights, 4, 2 or 1 byte each: ours with 2.8 million parameters 11 MB in fp32, 6 in bf16, 3 in int8; mms-tts-eng with 36.3 million 145, 73 and 36 MB.

### Before you give something a voice

- **Cloning.** Some models copy a voice from a recording of seconds. A voice belongs to a person: get consent, in writing, for this use, and let it be withdrawn. The same goes for the dead and their families. Nobody's voice was copied here.
- **Say that it is a machine**, at the start of the call and not in the small print. Do not build what only works if people are deceived.
- **Voice proves nothing.** Do not open an account, or send money, because a voice sounded right.
- **Watermarks**, a quiet signal that only a detector hears, can mark what a model said (AudioSeal, [San Roman et al., 2024](https://arxiv.org/abs/2401.17264)). They help the honest: whoever runs an open model can leave the mark out, and some changes wash it away. *Deeper* D builds one and breaks it.
""")

md("""
## Exercises

### 1. The announcement

Platform 3 has a loudspeaker with noise, 10 decibels below the voice:

`noisy = waveform + np.random.default_rng(0).normal(0, 0.32 * waveform.std(), len(waveform))`

Choose a voice, a rate and a noise scale for its announcements. The railway pays 1 for each second of speech and 1 for each word that the transcriber gets wrong. Today it uses voice 0 at rate 0.5 with a noise scale of 1.2. Choose on `sentences[:5]`; you are charged on five others, and must save at least a fifth of what is paid today. `answer = (voice, rate, noise)`.
""")
code("answer = ...", "exercise", slide="skip")
code("check.announcement(answer)", "self-check", slide="skip")
md("""
<details><summary>Solution</summary>

```python
def cost(voice, pace, noise):
    total = 0
    for text in sentences[:3]:
        waveform = say(text, voice, pace, noise)
        loud = 0.32 * waveform.std()
        noisy = waveform + np.random.default_rng(0).normal(0, loud, len(waveform))
        wrong = round_trip([text], [noisy.astype(np.float32)]) * len(text.split())
        total += wrong + len(waveform) / rate
    return total


choices = [(voice, 1.15, 0.333) for voice in voices]
answer = min(choices, key=lambda choice: cost(*choice))
```

Slow is not the same as clear. Both models learnt from speech of ordinary rates, and far from those the one speaks and the other hears worse, while the bill runs on. Most of the saving is time. Which voice is best on three sentences is partly luck: choose on more when more depends on it.

</details>

### 2. Your own text

Take a text of your own, with at least one figure and one abbreviation: a recipe, a timetable, a doctor's note. Write it a second time as it should be *spoken*, with no character that the speaker drops. You may call `normalise` and mend the rest by hand. `answer = (written, spoken)`. The check prints what it looked at, says the second text and prints what the transcriber hears.
""", slide="skip")
code("answer = ...", "exercise", slide="skip")
code("check.own_text(answer)", "self-check", slide="skip")
md("""
<details><summary>Solution</summary>

```python
written = "Mix 200 g of flour with 3 eggs, approx. 5 min, then wait until 6:30."
spoken = normalise(written.replace(" g ", " grams ").replace("approx.", "about"))
spoken = spoken.replace(" min,", " minutes,")
answer = (written, spoken)
```

Would your rules survive another recipe? *1/2 tsp*, *180 °C* and *2-3 min* each need one more. It is why speech systems have many hundreds of such rules, or a model of their own for it.

</details>

### 3. Build: a dialogue

Write `dialogue(lines, path)`: `lines` is a list of pairs, a voice and what it says; `path` is where the WAV file goes. Half a second of silence lies between lines (the check asks for 0.3 at least), the figures are said as words, and the file's rate is the speaker's. `answer` is the function itself.
""", slide="skip")
code("answer = ...", "exercise", slide="skip")
code("check.dialogue(answer)", "self-check", slide="skip")
md("""
<details><summary>Solution</summary>

```python
def dialogue(lines, path):
    parts = []
    for voice, text in lines:
        parts += [say(normalise(text), voice), np.zeros(rate // 2, np.float32)]
    soundfile.write(path, np.concatenate(parts[:-1]), rate)


answer = dialogue
```

Two voices in turn sound like a conversation, but nobody answers anybody: each line is spoken as if it were the first. Humans take up the other's melody and rate. What would the model have to be given to do that?

</details>
""", slide="skip")

md("""
## The Narrator

The Narrator has seen, counted and answered. Now it **speaks**: text in, waveform and sampling rate out. Figures become words first, and a fixed seed makes it say the same thing the same way tomorrow. A guide that changed its voice at every picture would be a poor one: here, out of many right answers, you want one.

Listen to *perhaps*. The word will be there, but the voice is as sure of it as of the dogs: the doubt that 2.6 put into words is not in the melody. `python assets/apps/narrator/app.py` opens the app as far as it has come; what it says of a picture now has a player.
""")
code("""
def speaks(text: str, voice: int = 0, seed: int = 0) -> tuple[np.ndarray, int]:
    \"\"\"Say a text: its waveform, float32 of shape (samples,) in [-1, 1], and its rate in Hz.\"\"\"
    import re

    import inflect
    from helpers import checkpoint
    from transformers import pipeline, set_seed

    in_words = inflect.engine().number_to_words
    text = re.sub(r"\\d+", lambda figure: f" {in_words(figure[0], andword='')} ", text)
    speak = pipeline("text-to-audio", model=checkpoint("speaker"))
    set_seed(seed)
    said = speak(text, forward_params={"speaker_id": voice})
    return said["audio"].squeeze().clip(-1, 1), said["sampling_rate"]


media.play(*speaks("I see 2 dogs and perhaps a bus."), "I see two dogs and perhaps a bus.")
""", "narrator")
md("""
## Recap

- You **spoke** one text in several voices, rates and takes, and it stayed the same text.
- You **followed** it through tokens, durations and latents to the waveform.
- You **measured** how well it is understood, and heard what that number leaves out.
- You **prepared** figures, abbreviations and long texts, and saved a WAV at the right rate.
- You **decided** what a voice may be used for.

What to keep: *one text has many right voices; a speaker must choose, and so must you.*

Before it on the path of sound: 2.3 names noises, and 2.4 writes down speech. Next: 2.6 gives the Narrator its eyes.
""")

md("""
## Deeper (optional)

### A. The stages, by hand

The hooks only watched. Here each part is called by us, in order, with the same seed. Two places draw random numbers: the duration predictor, and the noise around what the text encoder expects. Draw them in another order and the take is another. (With one voice there is no table of voices, hence the condition.)
""")
code("""
import torch

speak.model.noise_scale, speak.model.noise_scale_duration = 0.667, 0.8
inputs = tokenizer(sentence, return_tensors="pt").to(model.device)
mask = inputs["attention_mask"].unsqueeze(-1).float()  # (1, tokens, 1)
with torch.inference_mode():
    many = model.config.num_speakers > 1
    voice = model.embed_speaker.weight[0].reshape(1, -1, 1) if many else None
    set_seed(0)
    read = model.text_encoder(**inputs, padding_mask=mask)
    seen = read.last_hidden_state.transpose(1, 2), mask.transpose(1, 2), voice
    predict, wander = model.duration_predictor, {"noise_scale": model.noise_scale_duration}
    frames = predict(*seen, reverse=True, **wander).exp().ceil().long().flatten()
    means = read.prior_means.repeat_interleave(frames, dim=1).transpose(1, 2)
    deviations = read.prior_log_variances.repeat_interleave(frames, dim=1).transpose(1, 2).exp()
    drawn = means + torch.randn_like(means) * deviations * model.noise_scale
    found = model.flow(drawn, torch.ones_like(drawn[:, :1]), voice, reverse=True)
    by_hand = model.decoder(found, voice).squeeze().cpu().numpy()
np.testing.assert_allclose(by_hand, say(sentence), atol=1e-4)
print(f"{len(by_hand):,} samples, equal to the pipeline's")
""")
md("""
Note what the names hide: `prior_log_variances` is used as the logarithm of a *deviation* (it is not halved). Reading the code beats reading the names.

### B. How long is a letter?

The duration predictor alone is quick, so we can ask it twenty times. A box spans the middle half of twenty draws for a character. Where would you expect the widest?
""")
code("""
draws = []
with torch.inference_mode():
    for seed in range(20):
        set_seed(seed)
        draws.append(predict(*seen, reverse=True, **wander).exp().ceil().flatten().tolist())
milliseconds = 1000 * np.array(draws) * len(by_hand) / frames.sum().item() / rate
figure, (left, right) = plt.subplots(
    1, 2, figsize=(12, 3.8), layout="constrained", width_ratios=(3, 1)
)
left.boxplot(milliseconds, showfliers=False)
left.set_xticks(range(1, len(names) + 1), ["␣" if name == " " else name for name in names])
left.set(title="Twenty takes: each character", xlabel="character", ylabel="milliseconds")
totals = milliseconds.sum(axis=1) / 1000
right.hist(totals, bins=8)
right.set(title="The whole sentence", xlabel="seconds", ylabel="takes")
print(f"from {totals.min():.2f} to {totals.max():.2f} s, mean {totals.mean():.2f} s")
""")
md("""
*Figure: on the left one box for each character of the sentence, low for silent and short letters, tall and wide for a few others; on the right a histogram of how long the twenty takes of the sentence last.*

In the stored run the *h* of *the* lasts 16 milliseconds, one frame, every time, and the *e* of *Zoe* anything from one frame to 256 milliseconds. Some letters have no choice. Others, the vowels at the end most of all, carry the rhythm of a take, and the whole sentence lasts between 1.58 and 2.00 seconds. A model with one duration a letter would have had to take one of these for right and all others for wrong.

### C. How it was trained

`assets/recipes/speaker.py` made this speaker from random numbers in four stages, each with a loss of its own; the kept log has them one after the other.

1. **sound**: with a *posterior encoder*, which only training needs, the model learns a code for speech: waveform in, waveform out.
2. **read**: the text encoder learns to expect that code from letters.
3. **time**: the duration predictor learns how long each letter lasts.
4. **polish**: two networks compete. One learns to tell our speech from the real; the decoder learns to deceive it.
""")
code("""
import json

from helpers.checkpoints import ASSETS

log = json.loads((ASSETS / "checkpoints/speaker/training.json").read_text())
ends = (1_500, 3_100, 3_700, log[-1]["step"])  # the recipe's STAGES, added up
losses = {"sound": "sound + KL", "read": "KL, nats", "time": "nats a letter", "polish": "sum"}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for ax, (stage, loss), start, end in zip(axes, losses.items(), (0, *ends), ends, strict=False):
    rows = [row for row in log if start < row["step"] <= end]
    for kind, line in (("loss", "-"), ("eval_loss", "o--")):
        points = [(row["step"], row[kind]) for row in rows if kind in row]
        ax.plot(*zip(*points, strict=True), line, label=kind)
    ax.set(title=stage, xlabel="step", ylabel=loss)
axes[0].legend()
print(f"{log[-1]['step']:,} steps, {log[-1]['seconds'] / 60:.0f} minutes on one core")
""")
md("""
*Figure: four panels, one for each stage, with the loss on training sentences as a line and on validation sentences (eval_loss) as dots; each falls within its stage, in the first three steeply at first.*

Each loss measures something else, so do not compare the panels' heights. A last step is not in the curves. transformers runs VITS but does not train it (it answers *Training of VITS is not supported yet*), and its duration predictor draws along another path than the one on which it says how likely a duration is. What had been trained was not what was drawn: the first speaker gabbled, with a fine loss. `sampling` in the recipe mends it. A loss that falls proves that something was learnt; only listening proves what.

### D. A watermark, and how it dies

Add very quiet noise that looks random but comes from a secret key. Whoever has the key can look for it: multiply the sound by the key's noise and add up. For any other sound the sum stays near 0. We give it in standard deviations: beyond 5 is no accident. (First each sample's neighbour is subtracted, which weakens speech much more than noise.)

Guess which change kills the mark: half the loudness, an MP3, or playing 1 % faster?
""")
code("""
import io

import soxr


def chips(key, length):
    return np.random.default_rng(key).choice([-1.0, 1.0], length)


def evidence(waveform, key):
    \"\"\"How surely the mark of a key is there, in standard deviations.\"\"\"
    rest, wanted = np.diff(waveform), np.diff(chips(key, len(waveform)))
    return rest @ wanted / (np.linalg.norm(rest) * wanted.std())


clean = takes[0]
marked = clean + 0.02 * clean.std() * chips(2026, len(clean))
soundfile.write(file := io.BytesIO(), marked, rate, format="MP3")
file.seek(0)
mp3 = soundfile.read(file)[0]
changed = {"unmarked": clean, "marked": marked, "half as loud": marked / 2, "through MP3": mp3}
changed["1 % faster"] = soxr.resample(marked, 101, 100)
for name, waveform in changed.items():
    print(f"{name:<14}{evidence(waveform, 2026):6.1f}   other key {evidence(waveform, 7):5.1f}")
""")
md("""
In the stored run the mark is found beyond doubt (9.0), also at half the loudness, and after an MP3 still (6.6). Without the key there is nothing to see. Played 1 % faster it is gone: the key's noise no longer lies on the marked samples. Real watermarks are trained networks that survive much more, and for each of them somebody looks for the change that it does not survive. A mark that is found proves something. A mark that is not found proves nothing.
""")
write("2.5. Text_to_Speech")
