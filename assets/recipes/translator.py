"""Train the course's translator: NLLB, on Toytown's parallel sentences.

    python assets/recipes/translator.py              # 25 minutes on two CPU cores
    python assets/recipes/translator.py --smoke      # a minute, to see the loss fall

The architecture is transformers' M2M100ForConditionalGeneration (Fan et al., 2020,
https://arxiv.org/abs/2010.11125) with the language codes of NLLB (https://arxiv.org/abs/2207.04672):
the encoder is told which language it reads, the decoder begins with the code of the one it writes.
English is one side of every pair in training. Spanish to French it has never seen.
"""

import re
from argparse import Namespace

import numpy as np
import torch
from sacrebleu.metrics import CHRF
from tokenizers import pre_tokenizers
from toytown.sentences import LANGUAGES, PEOPLE, sentence, strange_name
from training import in_evaluation, save_checkpoint, write_history
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
from writers import Pair, answers, collated, merges, seed
from writers import train as trained_writer

CODES = {"en": "eng_Latn", "fr": "fra_Latn", "es": "spa_Latn"}
TRAINED = (("en", "fr"), ("en", "es"), ("fr", "en"), ("es", "en"))
UNTRAINED = (("es", "fr"), ("fr", "es"))
TOKENS = 2_400
WIDTH = 160
STEPS, BATCH = 2_600, 128
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


def parallel(random: np.random.Generator, pair: tuple[str, str], strange: float) -> Pair:
    """A sentence in the languages of `pair`: its text in the first, and in the second.

    strange: how many of the sentences with a name have one from outside Toytown's vocabulary.
    """
    begin = random.bit_generator.state
    texts = {}
    for language in set(pair) - {"en"}:
        random.bit_generator.state = begin  # the same choices in each language
        made = sentence(random, language)
        texts |= {language: made.text, "en": made.english}
    source, target = _renamed(random, [texts[language] for language in pair], strange)
    return Pair(source, target, (CODES[pair[0]], CODES[pair[1]]))


def _renamed(random: np.random.Generator, texts: list[str], strange: float) -> list[str]:
    names = [n for n, _ in PEOPLE if all(re.search(rf"\b{n}\b", text) for text in texts)]
    names = [name for name in names if name[0] not in SAID_BY_ITS_SOUND]
    if not names or random.random() >= strange:
        return texts
    new = strange_name(random)
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
    """Pairs number first, first + 1, … of a split."""
    return [parallel(seed(split, i), way, strange) for i in range(first, first + count)]


def measured(
    model, words: NllbTokenizer, split: str, count: int, first: int = 0, ways: tuple = TRAINED
) -> dict[str, float]:
    """By direction, chrF from 0 to 100 (Popović, 2015, https://aclanthology.org/W15-3049)."""
    found = {}
    for way in ways:
        pairs = samples(split, way, count, first)
        texts = translated(model, words, [one.source for one in pairs], way)
        found["_".join(way)] = CHRF().corpus_score(texts, [[p.target for p in pairs]]).score
    return found


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    words = tokenizer()
    model = model_of(words)
    log = trained_writer(
        args,
        model,
        pair,
        lambda pairs: encoded(words, pairs),
        lambda model: measured(model, words, "validation", 60),
        STEPS,
        BATCH,
    )
    words.src_lang, words.tgt_lang = CODES["en"], None
    save_checkpoint(model, words, args.output)
    write_history(args.output, log)
