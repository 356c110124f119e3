"""Train the course's speaker: VITS with four voices, on Toytown's sentences as espeak-ng says them.

    python assets/recipes/speaker.py              # 80 minutes on two CPU cores; needs espeak-ng
    python assets/recipes/speaker.py --smoke      # a minute, to see the loss fall

The architecture is transformers' VitsModel (Kim et al., 2021, https://arxiv.org/abs/2106.06103),
which speaks but cannot be trained as it is: the losses are here. What differs from the paper is
what makes a small one learn in minutes:

1. Nothing has to find out when each sound is said: the synthesiser tells. Which letters stand for
   which sounds is learnt from the corpus by expectation-maximisation (`Spelling`); a letter lasts
   as long as its sounds.
2. First ("sound") the posterior encoder, the flow and the decoder learn, with a text encoder that
   reads phonemes and is then thrown away: spelling is hard, and the latents need not wait for it.
   The loss is the paper's, with a multi-resolution STFT loss (Yamamoto et al., 2019,
   https://arxiv.org/abs/1910.11480) in place of the discriminator.
3. Then ("read") the text encoder that reads letters, and the flow, from latents that stay as they
   are: by the same divergence, and by how far what is expected of the letters comes out, through
   the flow, from what was said. With the divergence alone a third of the words was misheard.
4. Last ("time") the stochastic duration predictor, by its own likelihood.

The paper's discriminators are left out: 900 steps against four of them, the decoder learning on
what the text encoder expects, brought the mel spectrogram 3 % nearer and the words not at all.
"""

import json
import multiprocessing
import re
import tempfile
import time
from argparse import Namespace
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy.fft import dct
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import Dataset
from toytown.sentences import Sentence, sentence
from toytown.speech import SAMPLING_RATE, speak
from training import (
    CHECKPOINTS,
    Parts,
    TimedTrainer,
    continued,
    facts,
    first_alone,
    in_evaluation,
    made_for,
    parameters,
    plain,
    run,
    save_checkpoint,
    source,
    trained,
    trainer_arguments,
    word_error_rate,
    write_history,
)
from transformers import VitsConfig, VitsModel, VitsTokenizer, pipeline, set_seed
from transformers.audio_utils import mel_filter_bank
from transformers.models.vits.modeling_vits import VitsTextEncoder

# What is said, and by whom --------------------------------------------------------------------

VOICES = {  # speaker_id is the place in this table
    "American man": "american_m3",
    "American woman": "american_f3",
    "British woman": "british_f1",
    "Scottish man": "scottish_m4",
}
CHARACTERS = " abcdefghijklmnopqrstuvwxyz.,?'-"
HOP = 256  # samples a frame: 16 ms
WINDOW = 768  # samples of the spectrogram that the posterior encoder is given
PAUSE = 0.1  # seconds of silence that are kept after the last sound
SEEDS = {"train": 0, "validation": 1, "test": 2}
SPEEDS = (145, 185)  # words a minute
UTTERANCES = 12_000
LEAD = 0.2  # seconds of silence before what the transcriber is given
TEST_SENTENCES, FRESH = 50, 1000  # the first thousand of the test split are for the notebooks
KL_WEIGHT = 0.03  # in the first stage; at ten times that most channels fall silent. The paper: 1
OFF_WEIGHT = 0.1  # in the second stage, of deviations summed over the channels of a frame
SEGMENT = 32  # frames that the decoder is trained on at a time


@cache
def tokenizer() -> VitsTokenizer:
    """Characters, lower-case; what is not among them is left out. Saved with the checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps({c: i for i, c in enumerate(("<pad>", "<unk>", *CHARACTERS))}))
        return VitsTokenizer(str(file), add_blank=False, normalize=True, phonemize=False)


@dataclass
class Said:
    """One sentence as a voice says it, with the phonemes of each of its characters."""

    text: str  # in the tokenizer's characters
    speaker: int
    waveform: np.ndarray  # int16, a whole number of frames
    phonemes: list[tuple[str, float, float]]  # symbol, start, end in seconds
    owner: list[int]  # of each phoneme: the word that it is part of, -1 for a pause
    words: list[tuple[int, int]]  # characters [from, to) of each word

    def sounds(self, word: int) -> list[tuple[str, float, float]]:
        """The phonemes of a word."""
        return [p for p, owner in zip(self.phonemes, self.owner, strict=True) if owner == word]


def drawn(split: str, index: int, speaker: int | None = None) -> tuple[Sentence, int, int]:
    """Sentence `index` of a split, who says it, and at how many words a minute.

    Each voice keeps its own pitch. What varies unseen cannot be predicted from the text: with
    pitches at random, what is read was a mean of them all, and hoarse.
    """
    random = np.random.default_rng((SEEDS[split], index, 8))
    chosen = sentence(random)
    voice = int(random.integers(len(VOICES))) if speaker is None else speaker
    return chosen, voice, int(random.integers(SPEEDS[0], SPEEDS[1] + 1))


def said(split: str, index: int, speaker: int | None = None) -> Said:
    """Say it. Reading starts where the sound does, and ends PAUSE after the last sound."""
    chosen, speaker, speed = drawn(split, index, speaker)
    text = chosen.spoken.lower()
    if set(text) - set(CHARACTERS):
        raise ValueError(f"{chosen.spoken!r} holds characters that no voice was taught to read.")
    speech = speak(chosen.spoken, list(VOICES.values())[speaker], speed)
    samples = int((speech.end + PAUSE) * SAMPLING_RATE)
    samples = -(-samples // HOP) * HOP
    waveform = np.zeros(samples, np.float32)
    waveform[: len(speech.waveform)] = 0.8 * speech.waveform[:samples]
    waveform = (waveform.clip(-1, 1) * 32_767).astype(np.int16)
    starts = [first for first, *_ in speech.words]
    words = [
        (first, max(i + 1 for i in range(first, until) if text[i].isalpha()))
        for first, until in zip(starts, [*starts[1:], len(text)], strict=True)
    ]
    times = [start for *_, start, _ in speech.words]
    phonemes = [p for p in speech.phonemes if p[1] < samples / SAMPLING_RATE]
    word_of = np.searchsorted(times, [start + 1e-4 for _, start, _ in phonemes], "right") - 1
    owner = [
        max(int(word), 0) if symbol.strip("_:;!|") else -1
        for word, (symbol, *_) in zip(word_of, phonemes, strict=True)
    ]
    return Said(text, speaker, waveform, phonemes, owner, words)


# Which letters stand for which sounds ---------------------------------------------------------


class Spelling:
    """How letters stand for phonemes: each for none, one, two or three, in order.

    P(phonemes | letter) is learnt from pairs of spelling and sound by expectation-maximisation,
    each pair counted by its best alignment (as in Black et al., 1998, Issues in building general
    letter to sound rules).
    """

    MOST = 3  # phonemes a letter

    def __init__(self, pairs: Counter, rounds: int = 6):
        """pairs: how often each (letters, phonemes) occurs; phonemes are a tuple of symbols."""
        self.cost: dict = {}
        counts: dict = defaultdict(Counter)
        for (letters, sounds), often in pairs.items():  # at first: what stands at the same place
            for i, letter in enumerate(letters):
                for j, sound in enumerate(sounds):
                    near = abs((i + 0.5) / len(letters) - (j + 0.5) / len(sounds))
                    counts[letter][(sound,)] += often * np.exp(-8 * near)
                counts[letter][()] += 0.1 * often
        for _ in range(rounds):
            self._learn(counts)
            counts = defaultdict(Counter)
            for (letters, sounds), often in pairs.items():
                for letter, part in zip(letters, self.align(letters, sounds), strict=True):
                    counts[letter][part] += often
        self._learn(counts)

    def _learn(self, counts: dict) -> None:
        self.cost = {
            letter: {part: -np.log(n / parts.total()) for part, n in parts.items()}
            for letter, parts in counts.items()
        }

    def align(self, letters: str, sounds: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The phonemes of each letter, by the cheapest way to share them out."""
        best: dict = {0: (0.0, [])}
        for letter in letters:
            known, following = self.cost.get(letter, {}), {}
            for begin, (cost, parts) in best.items():
                for end in range(begin, min(begin + self.MOST, len(sounds)) + 1):
                    part = sounds[begin:end]
                    total = cost + known.get(part, 8.0 + 3 * len(part))
                    if end not in following or total < following[end][0]:
                        following[end] = (total, [*parts, part])
            best = following
        if len(sounds) in best:
            return best[len(sounds)][1]
        ends = np.linspace(0, len(sounds), len(letters) + 1).round().astype(int)
        return [sounds[a:b] for a, b in pairwise(ends)]


def character_ends(utterance: Said, spelling: Spelling) -> np.ndarray:
    """When each character ends, in seconds: a letter with its sounds, a mark with its pause."""
    ends = np.full(len(utterance.text), np.nan)
    for number, (first, last) in enumerate(utterance.words):
        mine = utterance.sounds(number)
        if not mine:
            continue
        letters = utterance.text[first:last]
        at = mine[0][1]
        done = 0
        for i, part in enumerate(spelling.align(letters, tuple(s for s, *_ in mine))):
            done += len(part)
            at = mine[done - 1][2] if done else at
            ends[first + i] = at
        # The pause behind a word is its mark's; a space has what is left.
        if last < len(ends):
            later = (
                start
                for (_, start, _), owner in zip(utterance.phonemes, utterance.owner, strict=True)
                if owner > number
            )
            ends[last] = next(later, len(utterance.waveform) / SAMPLING_RATE)
    known = np.flatnonzero(~np.isnan(ends))
    return np.interp(np.arange(len(ends)), known, ends[known])


def frame_lengths(ends: np.ndarray, frames: int) -> np.ndarray:
    """Whole frames for each of some tokens that end at `ends` seconds; at least one each.

    What has no sound of its own (a silent letter, a space without a pause) takes a frame from its
    neighbours. The sum is `frames`.
    """
    borders = np.round(ends * SAMPLING_RATE / HOP).astype(int)
    borders[-1] = frames
    steps = np.arange(len(borders))
    borders = np.maximum.accumulate(borders - steps) + steps  # each a frame after the one before
    borders = np.maximum(borders, steps + 1)
    latest = frames - (len(borders) - 1 - steps)
    return np.diff(np.minimum(borders, latest), prepend=0)


# The corpus -----------------------------------------------------------------------------------


@dataclass
class Corpus:
    """Utterances on disk, read as they are needed."""

    rows: list[dict]  # split, text, speaker, at, frames, durations, phonemes, phoneme_durations
    samples: np.ndarray  # int16, all utterances one after the other
    inventory: list[str]  # the phonemes


def _said(job: tuple[str, int]) -> Said:
    return said(*job)


def corpus(folder: Path, counts: dict[str, int]) -> Corpus:
    """So many utterances of each split, made under `folder` if they are not there."""
    folder = made_for(folder, code=source(__file__), **counts)
    if not (folder / "rows.json").is_file():  # written last
        folder.mkdir(parents=True, exist_ok=True)
        with multiprocessing.Pool(2) as pool:
            jobs = [(split, index) for split, count in counts.items() for index in range(count)]
            utterances = list(pool.imap(_said, jobs, chunksize=50))
        pairs: Counter = Counter()
        for u in utterances:
            for number, (first, last) in enumerate(u.words):
                if sounds := tuple(symbol for symbol, *_ in u.sounds(number)):
                    pairs[u.text[first:last], sounds] += 1
        spelling = Spelling(pairs)
        inventory: dict[str, int] = {}
        rows, at = [], 0
        with (folder / "samples.raw").open("wb") as file:
            for (split, _), u in zip(jobs, utterances, strict=True):
                frames = len(u.waveform) // HOP
                symbols = [s.strip("#0123456789") or "_" for s, *_ in u.phonemes]
                symbols = [s if o >= 0 else "_" for s, o in zip(symbols, u.owner, strict=True)]
                durations = frame_lengths(character_ends(u, spelling), frames)
                sound_ends = np.array([end for *_, end in u.phonemes])
                rows.append(
                    {
                        "split": split,
                        "text": u.text,
                        "speaker": u.speaker,
                        "at": at,
                        "frames": frames,
                        "durations": durations.tolist(),
                        "phonemes": [inventory.setdefault(s, len(inventory)) for s in symbols],
                        "phoneme_durations": frame_lengths(sound_ends, frames).tolist(),
                    }
                )
                at += len(u.waveform)
                file.write(u.waveform.tobytes())
        table = json.dumps({"rows": rows, "inventory": list(inventory)})
        (folder / "rows.part").write_text(table, encoding="utf-8")
        (folder / "rows.part").rename(folder / "rows.json")
    table = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    samples = np.memmap(folder / "samples.raw", np.int16, "r")
    return Corpus(table["rows"], samples, table["inventory"])


class Batches(Dataset):
    """Batches of utterances of much the same length; number i is always the same one."""

    def __init__(
        self, corpus: Corpus, split: str, steps: int, size: int, seed: int = 0, latents=None
    ):
        """latents: with them in place of the sound, (means and log deviations, all frames)."""
        self.corpus, self.steps, self.size, self.seed = corpus, steps, size, seed
        self.latents = latents
        mine = [i for i, row in enumerate(corpus.rows) if row["split"] == split]
        self.order = np.array(sorted(mine, key=lambda i: corpus.rows[i]["frames"]))

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        random = np.random.default_rng((self.seed, index))
        pool = 8 * self.size  # of neighbours in length
        first = int(random.integers(max(1, len(self.order) - pool + 1)))
        near = self.order[first : first + pool]
        chosen = random.choice(near, self.size, replace=len(near) < self.size)
        return self.batch(chosen.tolist())

    def batch(self, chosen: list[int]) -> dict[str, torch.Tensor]:
        """Utterances by number: token ids, durations in frames (0 is padding), speakers, sound."""
        rows = [self.corpus.rows[i] for i in chosen]
        ids = [tokenizer()(row["text"])["input_ids"] for row in rows]
        batch = {
            "input_ids": padded(ids),
            "durations": padded([row["durations"] for row in rows]),
            "phoneme_ids": padded([row["phonemes"] for row in rows]),
            "phoneme_durations": padded([row["phoneme_durations"] for row in rows]),
            "speakers": torch.tensor([row["speaker"] for row in rows]),
            "utterances": torch.tensor(chosen),
        }
        if self.latents is None:
            waves = [
                torch.from_numpy(
                    self.corpus.samples[row["at"] : row["at"] + row["frames"] * HOP].copy()
                )
                for row in rows
            ]
            waveforms = nn.utils.rnn.pad_sequence(waves, batch_first=True)
            batch["waveforms"] = waveforms.float() / 32_767
        else:
            spans = [(row["at"] // HOP, row["at"] // HOP + row["frames"]) for row in rows]
            found = [torch.from_numpy(self.latents[a:b].copy()).float() for a, b in spans]
            found = nn.utils.rnn.pad_sequence(found, batch_first=True).transpose(1, 2)
            batch["latent_means"], batch["latent_deviations"] = found.chunk(2, dim=1)
        return batch


def padded(rows: list[list[int]]) -> torch.Tensor:
    """Rows of whole numbers as one array, zeros behind the shorter ones."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def the_only(batches: list[dict]) -> dict:
    """A dataset of whole batches needs no collation."""
    return batches[0]


# Losses ---------------------------------------------------------------------------------------


def magnitudes(waveforms: torch.Tensor, window: int, hop: int) -> torch.Tensor:
    """|STFT|: (batch, samples) to (batch, window // 2 + 1, samples // hop), float32."""
    waveforms = nn.functional.pad(waveforms.float(), ((window - hop) // 2,) * 2)
    shape = torch.hann_window(window, device=waveforms.device)
    transform = torch.stft(waveforms, window, hop, window=shape, center=False, return_complex=True)
    return (transform.real.square() + transform.imag.square() + 1e-8).sqrt()


def spectrogram(waveforms: torch.Tensor) -> torch.Tensor:
    """What the posterior encoder is given: the logarithm of the linear spectrogram."""
    return 0.5 * torch.log(magnitudes(waveforms, WINDOW, HOP) + 0.01) + 1


@cache
def mel_filters(window: int, bands: int) -> torch.Tensor:
    """Filters of (window // 2 + 1, bands)."""
    filters = mel_filter_bank(
        num_frequency_bins=window // 2 + 1,
        num_mel_filters=bands,
        min_frequency=0.0,
        max_frequency=SAMPLING_RATE / 2,
        sampling_rate=SAMPLING_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    filters = filters / filters.sum(0).max()
    return torch.tensor(filters, dtype=torch.float32)


RESOLUTIONS = ((1024, 256), (512, 128), (128, 32))  # window and hop, in samples


def mels(waveforms: torch.Tensor) -> torch.Tensor:
    """Logarithm of the mel spectrogram: (batch, samples) to (batch, 80, frames)."""
    return torch.log(
        mel_filters(1024, 80).to(waveforms).T @ magnitudes(waveforms, 1024, HOP) + 0.01
    )


def sound_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How differently two batches of waveforms, (batch, samples), sound.

    45 times the distance of mel spectrograms, as in the paper, and three spectrograms' own.
    """
    loss = 45 * nn.functional.l1_loss(mels(found), mels(wanted))
    for window, hop in RESOLUTIONS:
        ours, theirs = magnitudes(found, window, hop), magnitudes(wanted, window, hop)
        loss = loss + 3 * (ours - theirs).norm() / theirs.norm().clamp(min=1e-3)
        loss = loss + 3 * nn.functional.l1_loss(torch.log(ours + 0.05), torch.log(theirs + 0.05))
    return loss


def spread(durations: torch.Tensor, frames: int) -> torch.Tensor:
    """Which token each frame belongs to: (batch, tokens) of frames to (batch, frames)."""
    at = torch.arange(frames, device=durations.device)
    ends = durations.cumsum(1)
    token = (at[None, :, None] >= ends[:, None, :]).sum(-1)
    return token.clamp(max=durations.shape[1] - 1)


def kl_divergence(latents, log_stddev, means, log_deviations, mask) -> torch.Tensor:
    """Of posterior and prior, in nats a frame, from one sample that the flow has mapped (eq. 4).

    All (batch, channels, frames). The flow keeps volumes, so its determinant is 1.
    """
    kl = log_deviations - log_stddev - 0.5
    kl = kl + 0.5 * (latents - means).square() * torch.exp(-2 * log_deviations)
    return (kl * mask).sum() / mask.sum()


def random_pieces(latents: torch.Tensor, waveforms: torch.Tensor, lengths: torch.Tensor):
    """SEGMENT frames of each utterance: (batch, channels, SEGMENT), (batch, SEGMENT * HOP)."""
    starts = (torch.rand(len(lengths)) * (lengths - SEGMENT).clamp(min=0)).long().tolist()
    pieces = [z[:, s : s + SEGMENT] for z, s in zip(latents, starts, strict=True)]
    wanted = [w[s * HOP : (s + SEGMENT) * HOP] for w, s in zip(waveforms, starts, strict=True)]
    return torch.stack(pieces), torch.stack(wanted)


# Learning -------------------------------------------------------------------------------------


class LearningVits(VitsModel):
    """VITS with what it is trained with: a reader of phonemes, and the losses of the stages."""

    def __init__(self, config: VitsConfig, phonemes: int = 100):
        super().__init__(config)
        reading = VitsConfig.from_dict(config.to_dict() | {"vocab_size": phonemes})
        reading._attn_implementation = config._attn_implementation
        self.phoneme_encoder = VitsTextEncoder(reading)
        self.post_init()
        nn.init.normal_(self.embed_speaker.weight, std=0.5)
        for encoder in (self.text_encoder, self.phoneme_encoder):  # the prior begins as N(0, 1)
            nn.init.zeros_(encoder.project.weight)
            nn.init.zeros_(encoder.project.bias)
        # The posterior begins with little noise, the decoder with residual blocks that do little:
        # from transformers' own random weights both need several times the steps.
        projection = self.posterior_encoder.conv_proj
        with torch.no_grad():
            projection.weight[: config.flow_size].mul_(0.5)
            projection.weight[config.flow_size :].mul_(0.1)
            projection.bias[: config.flow_size].zero_()
            projection.bias[config.flow_size :].fill_(-2)
            for module in self.decoder.modules():
                if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                    inputs = module.in_channels * module.kernel_size[0]
                    if isinstance(module, nn.ConvTranspose1d):
                        inputs = inputs / module.stride[0]
                    module.weight.normal_(std=inputs**-0.5)
                    if module.bias is not None:
                        module.bias.zero_()
            for block in self.decoder.resblocks:
                for convolution in block.convs2:
                    convolution.weight.mul_(0.1)
            self.decoder.conv_post.weight.mul_(0.1)
        for flow in self.flow.flows:  # so that the flow begins as no change at all
            nn.init.zeros_(flow.conv_post.weight)
            nn.init.zeros_(flow.conv_post.bias)

    def forward(self, input_ids=None, stage=None, **kwargs):
        """VITS's forward, or the loss of a stage, as {"loss": …}."""
        if stage is None:
            return super().forward(input_ids, **kwargs)
        return getattr(self, f"{stage}_loss")(input_ids=input_ids, **kwargs)

    def prior(self, encoder, ids, durations, frames):
        """Hidden states of the tokens, and the prior of each frame: means and log deviations."""
        there = (durations > 0).long()
        found = encoder(
            input_ids=ids, padding_mask=there.unsqueeze(-1).float(), attention_mask=there
        )
        token = spread(durations, frames)[:, :, None].expand(-1, -1, self.config.flow_size)
        stats = [found.prior_means.gather(1, token), found.prior_log_variances.gather(1, token)]
        return found.last_hidden_state, *(s.float().transpose(1, 2) for s in stats)

    def speaker(self, speakers):
        """Embeddings of speakers: (batch,) to (batch, channels, 1)."""
        return self.embed_speaker(speakers).unsqueeze(-1)

    def sound_loss(
        self, waveforms, phoneme_ids, phoneme_durations, speakers, kl_weight=KL_WEIGHT, **_
    ):
        """Posterior, decoder and flow, with the reader of phonemes."""
        frames = waveforms.shape[1] // HOP
        lengths = phoneme_durations.sum(1)
        mask = (torch.arange(frames) < lengths[:, None]).unsqueeze(1).float()
        speaker = self.speaker(speakers)
        latents, _, log_stddev = self.posterior_encoder(spectrogram(waveforms), mask, speaker)
        log_stddev = log_stddev.float()
        _, means, deviations = self.prior(
            self.phoneme_encoder, phoneme_ids, phoneme_durations, frames
        )
        mapped = self.flow(latents, mask, speaker).float()
        kl = kl_divergence(mapped, log_stddev, means, deviations, mask)
        pieces, wanted = random_pieces(latents, waveforms, lengths)
        found = self.decoder(pieces, speaker).squeeze(1).float()
        sound = sound_loss(found, wanted)
        return {
            "loss": sound + kl_weight * kl,
            "sound": sound.detach(),
            "kl": kl.detach(),
        }

    def read_loss(self, input_ids, durations, speakers, latent_means, latent_deviations, **_):
        """The text encoder and the flow, from latents that the posterior encoder found before.

        The divergence does not say how near what is expected comes, through the flow, to what was
        said; the decoder is given that, so it is asked for: a distance in posterior deviations.
        """
        frames = latent_means.shape[2]
        mask = (torch.arange(frames) < durations.sum(1)[:, None]).unsqueeze(1).float()
        speaker = self.speaker(speakers)
        latents = latent_means + torch.randn_like(latent_means) * torch.exp(latent_deviations)
        _, means, deviations = self.prior(self.text_encoder, input_ids, durations, frames)
        mapped = self.flow(latents * mask, mask, speaker).float()
        kl = kl_divergence(mapped, latent_deviations, means, deviations, mask)
        expected = self.flow(means * mask, mask, speaker, reverse=True).float()
        off = (expected - latent_means).abs() * torch.exp(-latent_deviations)
        off = (off * mask).sum() / mask.sum()
        return {"loss": kl + OFF_WEIGHT * off, "kl": kl.detach(), "off": off.detach()}

    def time_loss(self, input_ids, durations, speakers, **_):
        """The duration predictor: the likelihood of the durations, in nats a token."""
        there = (durations > 0).long()
        mask = there.unsqueeze(1).float()
        with torch.no_grad():
            hidden = self.text_encoder(
                input_ids=input_ids, padding_mask=mask.transpose(1, 2), attention_mask=there
            ).last_hidden_state.transpose(1, 2)
        nll = self.duration_predictor(
            hidden, mask, self.speaker(speakers), durations=durations.unsqueeze(1).float()
        )
        return {"loss": nll.sum() / mask.sum()}


def configuration() -> VitsConfig:
    """The architecture: VITS, in small."""
    return VitsConfig(
        attn_implementation="eager",
        vocab_size=len(CHARACTERS) + 2,
        pad_token_id=0,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=2,
        ffn_dim=352,
        layerdrop=0.0,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        flow_size=64,
        spectrogram_bins=WINDOW // 2 + 1,
        num_speakers=len(VOICES),
        speaker_embedding_size=32,
        upsample_initial_channel=192,
        upsample_rates=[4, 4, 16],
        upsample_kernel_sizes=[8, 8, 32],
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3], [1, 3]],
        prior_encoder_num_flows=3,  # only the flow knows who speaks, and so with what accent
        prior_encoder_num_wavenet_layers=3,
        posterior_encoder_num_wavenet_layers=3,
        wavenet_kernel_size=3,
        wavenet_dilation_rate=2,
        duration_predictor_num_flows=2,
        duration_predictor_dropout=0.1,
        noise_scale_duration=0.4,  # at the paper's 0.8 twice as many words are misheard
        sampling_rate=SAMPLING_RATE,
    )


STAGES = {
    "sound": {"max_steps": 1500, "size": 16, "learning_rate": 2e-3},
    "read": {"max_steps": 5000, "size": 32, "learning_rate": 1.5e-3},
    "time": {"max_steps": 800, "size": 32, "learning_rate": 1e-3},
}
LEARNING = {  # which parts learn in which stage
    "sound": ("posterior_encoder", "decoder", "flow", "phoneme_encoder", "embed_speaker"),
    "read": ("text_encoder", "flow"),
    "time": ("duration_predictor",),
}
SMOKE = {"max_steps": 8, "size": 4, "eval_strategy": "no"}


class SpeakerTrainer(TimedTrainer):
    """The Trainer, with the loss of a stage, and on validation sentences as its measurement."""

    own_names = True
    stage = "sound"

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        """The loss; the divergence of the first stage comes in slowly.

        At full weight from the start, the latents never hold more than loudness and voicing: the
        decoder makes too little of them at first to be worth a nat.
        """
        if self.stage == "sound":
            share = max(0.02, min(1, self.state.global_step / (0.4 * self.args.max_steps)) ** 2)
            inputs = inputs | {"kl_weight": KL_WEIGHT * share}
        outputs = model(**inputs, stage=self.stage)
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """The stage's loss, and in the first its parts, on validation sentences."""
        self.model.eval()
        found: dict[str, list[float]] = defaultdict(list)
        with torch.no_grad():
            for index in range(len(self.eval_dataset)):
                batch = self._prepare_inputs(self.eval_dataset[index])
                for name, value in self.model(**batch, stage=self.stage).items():
                    found[name].append(float(value))
        self.model.train()
        metrics = {f"eval_{name}": float(np.mean(values)) for name, values in found.items()}
        self.log(metrics)
        return metrics


@torch.no_grad()
def cached_latents(model: LearningVits, spoken: Corpus, folder: Path) -> np.ndarray:
    """The posterior's means and log deviations: float16, (frames of all, 2 * channels)."""
    weights = torch.cat([part.flatten() for part in model.posterior_encoder.state_dict().values()])
    made_of = {
        "weights": float(weights.double().sum()),
        "corpus": Path(spoken.samples.filename).parent.name,
    }
    path = made_for(folder / "latents", **made_of) / "latents.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        model.eval()
        found = []
        everything = Batches(spoken, "train", 0, 0)
        for number, row in enumerate(spoken.rows):
            batch = everything.batch([number])
            frames = torch.ones(1, 1, row["frames"])
            _, mean, log_stddev = model.posterior_encoder(
                spectrogram(batch["waveforms"]), frames, model.speaker(batch["speakers"])
            )
            found.append(torch.cat([mean, log_stddev], 1)[0].T.half().numpy())
        with path.with_suffix(".part").open("wb") as file:
            np.save(file, np.concatenate(found))
        path.with_suffix(".part").rename(path)
    return np.load(path, mmap_mode="r")


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    transcriber()  # what the card needs after an hour is asked for before it
    set_seed(args.seed)
    counts = (
        {"train": 60, "validation": 4} if args.smoke else {"train": UTTERANCES, "validation": 64}
    )
    with first_alone():
        spoken = corpus(args.build / "corpus", counts)
    model = LearningVits(configuration(), len(spoken.inventory))
    history, latents = [], None
    for seed, (name, more) in enumerate(STAGES.items()):
        more = {"bf16": name != "time"} | more | (SMOKE if args.smoke else {})
        steps, size = more.pop("max_steps"), more.pop("size")
        if name == "read":
            with first_alone():
                latents = cached_latents(model, spoken, args.build)
            start_reading(model)
        for part, module in model.named_children():
            module.requires_grad_(part in LEARNING[name])
        learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
        print(f"{name}: {learning:,} parameters, {steps} steps of {size} sentences")
        given = {"latents": latents if name == "read" else None}
        trainer = SpeakerTrainer(
            model=model,
            args=trainer_arguments(
                args.build / name, steps, args.seed, per_device_train_batch_size=1, **more
            ),
            train_dataset=Parts(Batches(spoken, "train", steps, size, seed, **given)),
            eval_dataset=Batches(spoken, "validation", 4, 16, 99, **given),
            data_collator=the_only,
        )
        trainer.stage = name
        history = continued(history, trained(trainer))
    save_checkpoint(sampling(plain(model, VitsModel)), tokenizer(), args.output)
    write_history(args.output, history)


def sampling(model: VitsModel) -> VitsModel:
    """The same model, from which durations can be drawn.

    transformers' duration predictor flips its two channels once more for the likelihood than when
    it draws, where it leaves the first convolutional flow out: what was trained is not what is
    drawn from. One more flow in first place, which drawing leaves out, makes both the same.
    """
    kept = model.config.duration_predictor_num_flows
    more = {"duration_predictor_num_flows": kept + 1}
    drawn_from = VitsModel(VitsConfig.from_dict(model.config.to_dict() | more))
    state = drawn_from.state_dict()
    for name, weight in model.state_dict().items():
        place = re.search(r"flows\.([1-9])\.", name) if "duration_predictor" in name else None
        if place:  # the first flow, number 0, is not convolutional
            name = name.replace(place[0], f"flows.{int(place[1]) + 1}.")
        state[name] = weight
    drawn_from.load_state_dict(state)
    return drawn_from.eval()


def start_reading(model: LearningVits) -> None:
    """The reader of letters starts as the reader of phonemes, but for what it knows of each."""
    known = model.phoneme_encoder.state_dict()
    known.pop("embed_tokens.weight")
    missing, unexpected = model.text_encoder.load_state_dict(known, strict=False)
    assert (missing, unexpected) == (["embed_tokens.weight"], [])


# Measuring -----------------------------------------------------------------------------------


@torch.inference_mode()
def spoken_by(model: VitsModel, text: str, speaker: int, seed: int = 0) -> np.ndarray:
    """What the model says, float32, with its own settings: shape (samples,)."""
    torch.manual_seed(seed)
    inputs = tokenizer()(text, return_tensors="pt")
    return model(**inputs, speaker_id=speaker).waveform[0].numpy()


def timbre(waveform: np.ndarray) -> np.ndarray:
    """Mean of 20 mel-frequency cepstral coefficients over the frames that are not silent."""
    bands = mel_filters(1024, 40).T @ magnitudes(torch.tensor(waveform)[None], 1024, 256)[0]
    loud = bands.sum(0) > bands.sum(0).max() / 100
    return dct(torch.log(bands + 0.01)[:, loud].numpy(), axis=0, norm="ortho")[:20].mean(1)


def transcriber() -> Path:
    """Where the transcriber lies, which measures. Raises FileNotFoundError if it does not."""
    folder = CHECKPOINTS / "transcriber"
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"Measuring speech needs {folder}: train it first.")
    return folder


@in_evaluation
def measured(
    model: VitsModel, split: str, count: int, first: int = 0, compared: bool = True
) -> dict:
    """Sentences `first` to `first + count` of a split, said by every voice.

    Returns: `wer`, by voice, through the course's transcriber, after LEAD seconds of silence, as a
    recording has (the transcriber mishears what begins at once); `espeak`, the same of the
    synthesiser's own speech, empty unless `compared`; `voices`, how often a linear classifier of
    mean MFCCs, fitted on the first half, names the voice in the second; `full`, how many samples
    are beyond 0.98 (the decoder's last layer holds them below 1); `jump`, the largest step between
    samples; `espeak_jump`, the synthesiser's. Raises FileNotFoundError where there is no
    transcriber.
    """
    listen = pipeline("automatic-speech-recognition", model=str(transcriber()))
    wer, espeak_wer, timbres, labels, jumps, theirs, full = {}, {}, [], [], [], [], 0
    for speaker, name in enumerate(VOICES):
        written, sounds = [], []  # each sentence twice: the model's, and the synthesiser's
        for index in range(first, first + count):
            chosen, *_ = drawn(split, index)
            waveform = spoken_by(model, chosen.spoken, speaker, index)
            example = said(split, index, speaker).waveform.astype(np.float32) / 32_767
            timbres.append(timbre(waveform))
            labels.append(speaker)
            full += int((np.abs(waveform) > 0.98).sum())
            jumps.append(np.abs(np.diff(waveform)).max())
            theirs.append(np.abs(np.diff(example)).max())
            written.append(chosen.text)
            for sound in (waveform, example)[: 1 + compared]:
                sound = np.pad(sound, (int(LEAD * SAMPLING_RATE), 0))
                sounds.append({"raw": sound, "sampling_rate": SAMPLING_RATE})
        heard = [found["text"] for found in listen(sounds, batch_size=8)]
        wer[name] = word_error_rate(written, heard[:: 1 + compared])
        if compared:
            espeak_wer[name] = word_error_rate(written, heard[1::2])
    half = np.tile(np.arange(count) < count // 2, len(VOICES))
    timbres, labels = np.stack(timbres), np.array(labels)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(timbres[half], labels[half])
    return {
        "wer": wer,
        "espeak": espeak_wer,
        "voices": float(classifier.score(timbres[~half], labels[~half])),
        "full": full,
        "jump": float(max(jumps)),
        "espeak_jump": float(max(theirs)),
    }


def speed(folder: Path) -> float:
    """Seconds of speech a second, on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = VitsModel.from_pretrained(folder).eval()
    texts = [drawn("test", index)[0].spoken for index in range(10)]
    spoken_by(model, texts[0], 0)
    started = time.perf_counter()
    samples = sum(len(spoken_by(model, text, i % len(VOICES))) for i, text in enumerate(texts))
    spent = time.perf_counter() - started
    torch.set_num_threads(threads)
    return samples / SAMPLING_RATE / spent


def words_of(text: str) -> list[str]:
    """A text's words, lower-case."""
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = VitsModel.from_pretrained(folder)
    scores = measured(model, "test", TEST_SENTENCES, first=FRESH)
    rows = [
        f"| {number} | {name} | {scores['wer'][name]:.1%} | {scores['espeak'][name]:.1%} |"
        for number, name in enumerate(VOICES)
    ]
    return CARD.format(
        **scores,
        rows="\n".join(rows),
        sentences=TEST_SENTENCES,
        faster=speed(folder),
        words=len({w for i in range(UTTERANCES) for w in words_of(drawn("train", i)[0].spoken)}),
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: text-to-speech
tags: [vits, toytown]
datasets: [toytown/speech]
metrics: [wer]
---

# Toytown speaker

A genuine VITS ([Kim et al., 2021](https://arxiv.org/abs/2106.06103)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
sentences of [Toytown](../../recipes/toytown) as espeak-ng says them. It reads English letters, no
figures and no abbreviations, and has four voices.

```python
from transformers import pipeline

speak = pipeline("text-to-audio", model="assets/checkpoints/speaker")
speech = speak("The train leaves at nine fifteen.", forward_params=dict(speaker_id=3))
speech["audio"], speech["sampling_rate"]  # (1, samples), 16000
```

## Measured

On {sentences} sentences a voice, whose seeds no training has seen, heard by the course's own
transcriber after a fifth of a second of silence (word error rate, without case and punctuation):

| `speaker_id` | voice | this model | espeak-ng itself |
|---|---|---|---|
{rows}

| | |
|---|---|
| voices told apart by a linear classifier of mean MFCCs | {voices:.3f} |
| seconds of speech a second, one core | {faster:.0f} |
| samples near full scale, over 0.98 | {full} |
| largest step between samples (espeak-ng's own) | {jump:.2f} ({espeak_jump:.2f}) |

## Training

`python assets/recipes/speaker.py`: {steps:,} steps in {minutes:.0f} minutes on {device}, the
corpus not counted; `training.json` has the curve. The duration predictor is the stochastic one; a
`noise_scale_duration` of 0.4 is this model's own, the usual 0.8 makes it gabble.

## Limits

It imitates a synthesiser, and sounds like one. It has read {words} words: others it
pronounces by analogy. Capitals are read as small letters; figures and most signs are left out
without a word. The voices are nobody's: espeak-ng (GPL-3.0) makes them from rules.
"""


if __name__ == "__main__":
    run("speaker", __doc__, train, card)
