"""Train the course's summarizer: BART, on Toytown's stories and their summaries.

    python assets/recipes/summarizer.py              # 25 minutes on two CPU cores
    python assets/recipes/summarizer.py --smoke      # a minute, to see the loss fall

The architecture is transformers' BartForConditionalGeneration (Lewis et al., 2019,
https://arxiv.org/abs/1910.13461), without its pre-training on mended texts: like that, it learns
from nothing which sentence of a story is its event, and to copy who, what and where.
"""

from argparse import Namespace

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from tokenizers import pre_tokenizers
from toytown.stories import Story, facts_right, story
from training import in_evaluation, save_checkpoint, write_history
from transformers import BartConfig, BartForConditionalGeneration, BartTokenizer
from writers import Pair, answers, encoded, merges, seed
from writers import train as trained_writer

TOKENS = 1_600
WIDTH = 160
STEPS, BATCH = 2_400, 64
STRANGE = 0.25  # of the names, so that it learns to spell what it reads
TEST_STORIES, FRESH = 500, 10_000


def tokenizer() -> BartTokenizer:
    """BART's kind: byte-level BPE, on Toytown's stories."""
    tales = [story(seed("train", i)) for i in range(3_000)]
    texts = [text for tale in tales for text in (tale.text, tale.summary)]
    vocab, pairs = merges(texts, TOKENS, pre_tokenizers.ByteLevel(add_prefix_space=False))
    return BartTokenizer(vocab=vocab, merges=pairs, model_max_length=256)


def configuration(size: int) -> BartConfig:
    """BART, in small. It gives most of its layers to reading."""
    return BartConfig(
        vocab_size=size,
        d_model=WIDTH,
        encoder_layers=4,
        decoder_layers=2,
        encoder_attention_heads=5,
        decoder_attention_heads=5,
        encoder_ffn_dim=3 * WIDTH,
        decoder_ffn_dim=3 * WIDTH,
        max_position_embeddings=256,
        dropout=0.0,
        attention_dropout=0.0,
        forced_bos_token_id=None,
    )


def model_of(words: BartTokenizer) -> BartForConditionalGeneration:
    """A summarizer that has learnt nothing yet, and writes at most 40 tokens, greedily."""
    model = BartForConditionalGeneration(configuration(len(words)))
    options = {"max_length": None, "max_new_tokens": 40, "num_beams": 1, "early_stopping": None}
    model.generation_config.update(**options, forced_eos_token_id=None)
    return model


def pair(random: np.random.Generator) -> Pair:
    """A story and its summary."""
    tale = story(random, strange=STRANGE)
    return Pair(tale.text, tale.summary)


def stories(split: str, count: int, first: int, **options) -> list[Story]:
    """Numbers first, first + 1, … of a split."""
    return [story(seed(split, index), **options) for index in range(first, first + count)]


def judged(tales: list[Story], texts: list[str]) -> dict[str, float]:
    """ROUGE-L of summaries, how often who, what and where are right, and all three."""
    scorer = RougeScorer(["rougeL"])
    pairs = list(zip(tales, texts, strict=True))
    right = [facts_right(tale, text) for tale, text in pairs]
    rouge = [scorer.score(tale.summary, text)["rougeL"].fmeasure for tale, text in pairs]
    scores = {name: float(np.mean([one[name] for one in right])) for name in right[0]}
    whole = float(np.mean([all(one.values()) for one in right]))
    return {"rouge_l": float(np.mean(rouge)), "facts": whole} | scores


@in_evaluation
def measured(
    model: BartForConditionalGeneration,
    words: BartTokenizer,
    split: str,
    count: int,
    first: int = 0,
    **options,
) -> dict[str, float]:
    """What `judged` says of the model's summaries of `count` stories of a split."""
    tales = stories(split, count, first, **options)
    return judged(tales, answers(model, words, [tale.text for tale in tales]))


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    words = tokenizer()
    model = model_of(words)
    log = trained_writer(
        args,
        model,
        pair,
        lambda pairs: encoded(words, pairs),
        lambda model: measured(model, words, "validation", 100),
        STEPS,
        BATCH,
    )
    save_checkpoint(model, words, args.output)
    write_history(args.output, log)
