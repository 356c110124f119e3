"""Train the course's translator: NLLB, on Toytown's parallel sentences.

    python assets/recipes/translator.py              # 15 minutes on two CPU cores
    python assets/recipes/translator.py --smoke      # a minute, to see the loss fall

The architecture is transformers' M2M100ForConditionalGeneration (Fan et al., 2020,
https://arxiv.org/abs/2010.11125) with the language codes of NLLB (https://arxiv.org/abs/2207.04672):
the encoder is told which language it reads, the decoder begins with the code of the one it writes.
English is one side of every pair in training. Spanish to French it has never seen.
"""

import re
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from sacrebleu.metrics import CHRF
from tokenizers import pre_tokenizers
from toytown.sentences import LANGUAGES, PEOPLE, sentence, strange_name
from training import facts, in_evaluation, parameters, run
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
from writers import Pair, answers, collated, effort, merges, seed, table
from writers import train as trained_writer

LANGUAGE = {"en": "English", "fr": "French", "es": "Spanish"}
CODES = {"en": "eng_Latn", "fr": "fra_Latn", "es": "spa_Latn"}
TRAINED = (("en", "fr"), ("en", "es"), ("fr", "en"), ("es", "en"))
UNTRAINED = (("es", "fr"), ("fr", "es"))
TOKENS = 2_400
WIDTH = 160
STEPS, BATCH = 2_000, 128
SECONDS = 0.43  # of a step on two CPU cores
STRANGE = 0.15  # of the sentences with a name have one from outside the vocabulary
TWO = 0.15  # of the pairs are of two sentences
TEST_SENTENCES, FRESH = 300, 10_000
SAID_BY_ITS_SOUND = "aeiouyhAEIOUYH"  # what stands before such a name depends on it: "d'Anna"


def tokenizer() -> NllbTokenizer:
    """NLLB's kind: BPE on words that begin with ▁, one for all languages, and codes for them."""
    texts = [
        sentence(seed("train", i), language).text for i in range(4_000) for language in LANGUAGES
    ]
    vocab, pairs = merges(texts, TOKENS, pre_tokenizers.Metaspace())
    return NllbTokenizer(vocab=vocab, merges=pairs, model_max_length=128)


def configuration(size: int) -> M2M100Config:
    """M2M100, in small; positions are sines, so they cost nothing."""
    return M2M100Config(
        vocab_size=size,
        d_model=WIDTH,
        encoder_layers=3,
        decoder_layers=3,
        encoder_attention_heads=5,
        decoder_attention_heads=5,
        encoder_ffn_dim=3 * WIDTH,
        decoder_ffn_dim=3 * WIDTH,
        max_position_embeddings=128,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
    )


def model_of(words: NllbTokenizer) -> M2M100ForConditionalGeneration:
    """A translator that has learnt nothing yet, and writes at most 80 tokens, greedily."""
    model = M2M100ForConditionalGeneration(configuration(len(words)))
    model.generation_config.update(max_length=None, max_new_tokens=80, num_beams=1)
    return model


def parallel(
    random: np.random.Generator, pair: tuple[str, str], strange: float, kept: bool = False
) -> Pair:
    """A sentence in the languages of `pair`: its text in the first, and in the second.

    strange: how many of the sentences with a name have one from outside Toytown's vocabulary.
    kept: of those, one that no training reads.
    """
    begin = random.bit_generator.state
    texts = {}
    for language in set(pair) - {"en"}:
        random.bit_generator.state = begin  # the same choices in each language
        made = sentence(random, language)
        texts |= {language: made.text, "en": made.english}
    source, target = _renamed(random, [texts[language] for language in pair], strange, kept)
    return Pair(source, target, (CODES[pair[0]], CODES[pair[1]]))


def _renamed(
    random: np.random.Generator, texts: list[str], strange: float, kept: bool
) -> list[str]:
    names = [n for n, _ in PEOPLE if all(re.search(rf"\b{n}\b", text) for text in texts)]
    names = [name for name in names if name[0] not in SAID_BY_ITS_SOUND]
    if not names or random.random() >= strange:
        return texts
    new = strange_name(random, kept)
    return [re.sub(rf"\b{names[0]}\b", new, text) for text in texts]


def pair(random: np.random.Generator) -> Pair:
    """One sentence or two, in one of the four directions that are trained."""
    way = TRAINED[random.integers(len(TRAINED))]
    made = [parallel(random, way, STRANGE) for _ in range(1 + (random.random() < TWO))]
    source, target = (" ".join(getattr(one, side) for one in made) for side in ("source", "target"))
    return Pair(source, target, made[0].languages)


def encoded(words: NllbTokenizer, pairs: list[Pair]) -> dict[str, torch.Tensor]:
    """A batch of pairs of several directions, each text with the code of its language."""
    rows = []
    for one in pairs:
        words.src_lang, words.tgt_lang = one.languages
        rows.append(words(one.source, text_target=one.target))
    return collated(words, rows)


@in_evaluation
def translated(
    model: M2M100ForConditionalGeneration, words: NllbTokenizer, texts: list[str], way: tuple
) -> list[str]:
    """The texts, in the language of `way` ("en", "fr"): from, to."""
    words.src_lang = CODES[way[0]]
    code = words.convert_tokens_to_ids(CODES[way[1]])
    return answers(model, words, texts, forced_bos_token_id=code)


def samples(split: str, way: tuple, count: int, first: int, strange: float = 0.0) -> list[Pair]:
    """Pairs number first, first + 1, … of a split that no training reads."""
    return [parallel(seed(split, i), way, strange, kept=True) for i in range(first, first + count)]


def renamed(split: str, way: tuple, count: int, first: int) -> list[Pair]:
    """Those of the same pairs that have a name, with one from outside Toytown in its place."""
    both = zip(*(samples(split, way, count, first, strange) for strange in (0.0, 1.0)), strict=True)
    return [new for old, new in both if new != old]


def scored(
    model: M2M100ForConditionalGeneration, words: NllbTokenizer, pairs: list[Pair], way: tuple
) -> dict[str, float]:
    """ChrF from 0 to 100 (Popović, 2015, https://aclanthology.org/W15-3049) of some pairs.

    exact: how many are translated word for word as in the test set.
    """
    texts = translated(model, words, [one.source for one in pairs], way)
    wanted = [one.target for one in pairs]
    exact = [text == target for text, target in zip(texts, wanted, strict=True)]
    return {"chrf": CHRF().corpus_score(texts, [wanted]).score, "exact": float(np.mean(exact))}


def measured(
    model: M2M100ForConditionalGeneration,
    words: NllbTokenizer,
    split: str,
    count: int,
    first: int = 0,
    ways: tuple = TRAINED,
) -> dict[str, float]:
    """By direction, chrF of `count` pairs of a split."""
    return {
        "_".join(way): scored(model, words, samples(split, way, count, first), way)["chrf"]
        for way in ways
    }


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    words = tokenizer()

    def finish(model: M2M100ForConditionalGeneration) -> M2M100ForConditionalGeneration:
        words.src_lang, words.tgt_lang = CODES["en"], None  # as it is saved
        return model

    trained_writer(
        args,
        model_of(words),
        words,
        pair,
        lambda pairs: encoded(words, pairs),
        lambda model: measured(model, words, "validation", 60),
        STEPS,
        BATCH,
        finish=finish,
    )


# What lies outside its world: a text, and the languages from which and into which.
OUTSIDE = {
    "words that it never read": ("The octopus juggles with chainsaws.", "en", "fr"),
    "a saying": ("It is raining cats and dogs.", "en", "es"),
    "a question of who is meant": ("The nurse saw the doctor because she was late.", "en", "fr"),
    "French, announced as Spanish": ("Le facteur a trouvé une clé.", "es", "en"),
}


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = M2M100ForConditionalGeneration.from_pretrained(folder)
    words = NllbTokenizer.from_pretrained(folder)
    count = TEST_SENTENCES
    outside = [
        (kind, text, f"{source} → {target}", translated(model, words, [text], (source, target))[0])
        for kind, (text, source, target) in OUTSIDE.items()
    ]
    rows = []
    for way in TRAINED + UNTRAINED:
        name = " to ".join(LANGUAGE[code] for code in way) + ", never trained" * (way in UNTRAINED)
        known = scored(model, words, samples("test", way, count, FRESH), way)
        new = scored(model, words, renamed("test", way, count, FRESH), way)
        figures = f"{known['chrf']:.1f}", f"{known['exact']:.3f}", f"{new['chrf']:.1f}"
        rows.append((name, *figures))
    return CARD.format(
        scores=table(rows),
        outside=table(outside),
        sentences=count,
        effort=effort(folder, f"{BATCH} pairs", SECONDS),
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: translation
language: [en, fr, es]
tags: [translation, nllb, m2m_100, toytown]
datasets: [toytown/parallel]
metrics: [chrf]
---

# Toytown translator

A genuine M2M100 ([Fan et al., 2020](https://arxiv.org/abs/2010.11125)) with the language codes of
NLLB ([2022](https://arxiv.org/abs/2207.04672)), small: {parameters:,} parameters,
{megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on parallel sentences
of [Toytown](../../recipes/toytown). It knows `eng_Latn`, `fra_Latn` and `spa_Latn`.

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("assets/checkpoints/translator", src_lang="eng_Latn")
model = AutoModelForSeq2SeqLM.from_pretrained("assets/checkpoints/translator")
french = tokenizer.convert_tokens_to_ids("fra_Latn")
inputs = tokenizer("Where is the station?", return_tensors="pt")
ids = model.generate(**inputs, forced_bos_token_id=french)
print(tokenizer.decode(ids[0], skip_special_tokens=True))
```

## Measured

On {sentences} sentences of 4 to 16 words for each direction, whose seeds no training has seen:

| | chrF | word for word as the test set | chrF with new names |
|---|---|---|---|
{scores}

## What it can't do

It has the words and the sentence forms of Toytown, and three of NLLB's 202 languages: a code of
another one is a word that it has never read. It does not say when it is lost.

| given | the text | | what it writes |
|---|---|---|---|
{outside}

## Training

`python assets/recipes/translator.py`: {effort}. One pair in seven is of two sentences, and in one
sentence in seven with a name the name is spelt at random.
"""


if __name__ == "__main__":
    run("translator", __doc__, train, card)
