"""Train the course's summarizer: BART, on Toytown's stories and their summaries.

    python assets/recipes/summarizer.py              # 15 minutes on two CPU cores
    python assets/recipes/summarizer.py --smoke      # a minute, to see the loss fall

The architecture is transformers' BartForConditionalGeneration (Lewis et al., 2019,
https://arxiv.org/abs/1910.13461), without its pre-training on mended texts: like that, it learns
from nothing which sentence of a story is its event, and to copy who, what and where.
"""

from argparse import Namespace
from pathlib import Path

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from tokenizers import pre_tokenizers
from toytown.stories import PLOTS, Story, facts_right, story
from training import facts, in_evaluation, parameters, run
from transformers import BartConfig, BartForConditionalGeneration, BartTokenizer
from writers import Pair, answers, effort, encoded, merges, seed, table
from writers import train as trained_writer

TOKENS = 1_600
WIDTH = 160
STEPS, BATCH = 2_000, 64
SECONDS = 0.41  # of a step on two CPU cores
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
    """Numbers first, first + 1, … of a split that no training reads."""
    return [story(seed(split, i), kept=True, **options) for i in range(first, first + count)]


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
    trained_writer(
        args,
        model_of(words),
        words,
        pair,
        lambda pairs: encoded(words, pairs),
        lambda model: measured(model, words, "validation", 100),
        STEPS,
        BATCH,
    )


# What lies outside its world; the card shows what it makes of it.
OUTSIDE = {
    "an event that no story of training has": "Nora went to the museum. It was cold, and nobody "
    "was there. She juggled seven oranges behind the door. After that she was very tired.",
    "an event that did not happen": "Leo was at the market that day. It had rained all night. He "
    "looked for a red hat, but he did not find it. He went home happy.",
    "no story": "The library opens at nine o'clock. A card costs five euros. Dogs must wait "
    "outside. There is a bench by the door.",
    "another language": "Carla est allée au musée hier. Il faisait froid. Elle a trouvé une clé "
    "près de la porte. Tout le monde était content.",
}


@in_evaluation
def examined(
    model: BartForConditionalGeneration, words: BartTokenizer, count: int, first: int
) -> dict:
    """What the card says beside `measured`, of `count` test stories from `first` on.

    `lead`: ROUGE-L of a story's first sentence. `strange`: `measured` where all names are new.
    `weak`: (plot, how often all three facts are right), the three lowest. `two`: of two stories in
    one text, how often the summary is that of the first, and of the second. `outside`: its answers.
    """
    tales = stories("test", count, first)
    begins = [tale.text.split(". ")[0] + "." for tale in tales]
    plots = {
        plot: measured(model, words, "test", count // 10, first, plot=plot)["facts"]
        for plot in PLOTS
    }
    pairs = list(zip(tales[::2], tales[1::2], strict=True))
    both = answers(model, words, [f"{a.text} {b.text}" for a, b in pairs])
    return {
        "lead": judged(tales, begins)["rouge_l"],
        "strange": measured(model, words, "test", count, first, strange=1.0),
        "weak": sorted(plots.items(), key=lambda row: row[1])[:3],
        "two": [judged([pair[place] for pair in pairs], both)["facts"] for place in (0, 1)],
        "outside": dict(zip(OUTSIDE, answers(model, words, list(OUTSIDE.values())), strict=True)),
    }


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = BartForConditionalGeneration.from_pretrained(folder)
    words = BartTokenizer.from_pretrained(folder)
    more = examined(model, words, TEST_STORIES, FRESH)
    outside = [(kind, OUTSIDE[kind], text) for kind, text in more.pop("outside").items()]
    return CARD.format(
        **measured(model, words, "test", TEST_STORIES, FRESH),
        **more
        | {
            "weak": ", ".join(f"{p} {score:.2f}" for p, score in more["weak"] if score < 1)
            or "none"
        },
        outside=table(outside),
        stories=TEST_STORIES,
        plots=len(PLOTS),
        effort=effort(folder, f"{BATCH} stories", SECONDS),
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: summarization
language: en
tags: [summarization, bart, toytown]
datasets: [toytown/stories]
metrics: [rouge]
---

# Toytown summarizer

A genuine BART ([Lewis et al., 2019](https://arxiv.org/abs/1910.13461)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
stories of [Toytown](../../recipes/toytown) of 4 to 10 sentences. It says in one sentence who did
what, and where.

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("assets/checkpoints/summarizer")
model = AutoModelForSeq2SeqLM.from_pretrained("assets/checkpoints/summarizer")
ids = model.generate(**tokenizer(story, return_tensors="pt"))
print(tokenizer.decode(ids[0], skip_special_tokens=True))
```

## Measured

On {stories} stories whose seeds no training has seen, of the {plots} plots that it has:

| | |
|---|---|
| ROUGE-L against the one true summary | {rouge_l:.3f} |
| for comparison: of the story's first sentence | {lead:.3f} |
| who, what and where are all right | {facts:.3f} |
| who | {who:.3f} |
| what | {what:.3f} |
| where | {where:.3f} |
| all three, where everybody has a name that it never read | {strange[facts]:.3f} |
| of these, who | {strange[who]:.3f} |
| two stories in one text: all three facts of the first | {two[0]:.3f} |
| of the second | {two[1]:.3f} |

Plots in which not all three facts are always right, of fifty stories each: {weak}.

## What it can't do

It has fourteen plots, and takes every text for one of them. It can't leave a question open, say
that nothing happened, or write two sentences.

| given | the text | what it writes |
|---|---|---|
{outside}

## Training

`python assets/recipes/summarizer.py`: {effort}. A quarter of the names in them is spelt at random,
so that it learns to copy what it reads.
"""


if __name__ == "__main__":
    run("summarizer", __doc__, train, card)
