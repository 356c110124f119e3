"""Train the course's chatbot: Blenderbot, on small talk with Pip of Toytown.

    python assets/recipes/chatbot.py              # 20 minutes on two CPU cores
    python assets/recipes/chatbot.py --smoke      # a minute, to see the loss fall

The architecture is transformers' BlenderbotForConditionalGeneration (Roller et al., 2020,
https://arxiv.org/abs/2004.13637). It reads the conversation so far, its turns joined as those of
the model on the Hub are, at most 128 tokens of it, and writes the next.
"""

from argparse import Namespace
from collections import defaultdict
from pathlib import Path

import numpy as np
from tokenizers import pre_tokenizers, processors
from toytown.dialogues import FACTS, INTENTS, LATER, Turn, acceptable, dialogue
from training import facts, in_evaluation, parameters, run
from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, BlenderbotTokenizer
from writers import Pair, answers, effort, encoded, merges, seed, table
from writers import train as trained_writer

TOKENS = 1_400
WIDTH = 160
WINDOW = 128  # tokens, as many as facebook/blenderbot-400M-distill reads
STEPS, BATCH = 3_300, 64
SECONDS = 0.36  # of a step on two CPU cores
BETWEEN = "</s> <s>"  # two turns
STRANGE = 0.6  # of the names and towns, so that it learns to spell what it reads
OFTEN = {"told": 2.0, "never": 2.0, "asked": 4.0, "spelt": 6.0}  # turns, by what they teach
TEST_DIALOGUES, FRESH = 400, 10_000


def context(turns: list[Turn], said: str) -> str:
    """The conversation up to what has been said last."""
    lines = [line for turn in turns for line in (turn.said, turn.answer)]
    return BETWEEN.join([*lines, said])


def pair(random: np.random.Generator) -> Pair:
    """A conversation up to one of its turns, and Pip's answer; facts asked for come often."""
    turns = dialogue(random, strange=STRANGE)
    weights = np.array([OFTEN.get(turn.kind.partition(":")[0], 1.0) for turn in turns])
    at = int(random.choice(len(turns), p=weights / weights.sum()))
    return Pair(context(turns[:at], turns[at].said), turns[at].answer)


def tokenizer() -> BlenderbotTokenizer:
    """Blenderbot's kind: byte-level BPE, each text begun with a space and ended by </s>.

    Of a conversation that is too long it leaves out the beginning: what was said last counts.
    """
    texts = [
        line
        for i in range(3_000)
        for turn in dialogue(seed("train", i), strange=0.1)
        for line in (turn.said, turn.answer)
    ]
    vocab, pairs = merges(texts, TOKENS, pre_tokenizers.ByteLevel(add_prefix_space=True))
    words = BlenderbotTokenizer(
        vocab=vocab, merges=pairs, model_max_length=WINDOW, truncation_side="left"
    )
    # The class of transformers 5.23 takes the end of a text from tokenizer.json alone.
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {words.eos_token}", special_tokens=[(words.eos_token, words.eos_token_id)]
    )
    return words


def configuration(words: BlenderbotTokenizer) -> BlenderbotConfig:
    """Blenderbot, in small."""
    return BlenderbotConfig(
        vocab_size=len(words),
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        decoder_start_token_id=words.bos_token_id,
        d_model=WIDTH,
        encoder_layers=3,
        decoder_layers=3,
        encoder_attention_heads=5,
        decoder_attention_heads=5,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        max_position_embeddings=WINDOW,
        dropout=0.0,
        attention_dropout=0.0,
        encoder_no_repeat_ngram_size=0,
        forced_eos_token_id=None,
    )


def model_of(words: BlenderbotTokenizer) -> BlenderbotForConditionalGeneration:
    """A chatbot that has learnt nothing yet, and writes at most 40 tokens, greedily."""
    model = BlenderbotForConditionalGeneration(configuration(words))
    model.generation_config.update(max_length=None, max_new_tokens=40, num_beams=1)
    model.generation_config.update(forced_eos_token_id=None, encoder_no_repeat_ngram_size=0)
    return model


@in_evaluation
def measured(
    model: BlenderbotForConditionalGeneration,
    words: BlenderbotTokenizer,
    split: str,
    count: int,
    first: int = 0,
) -> dict[str, float]:
    """How many answers are acceptable, over all and by kind of turn.

    talk: an intent. told: a fact is told. asked: it was told, up to four turns ago. spelt: that,
    with a name or a town that it never read. never: it was not told. The conversations go on with
    good answers, whatever the model wrote.
    """
    asked = _asked(split, count, first) + [
        (turn, said)  # few by chance: of these, as many again where every name is new
        for turn, said in _asked(split, count, first, strange=1.0)
        if turn.kind.startswith("spelt")
    ]
    texts = answers(model, words, [text for _, text in asked])
    right: dict[str, list[bool]] = defaultdict(list)
    for (turn, _), text in zip(asked, texts, strict=True):
        kind = turn.kind.partition(":")[0] if ":" in turn.kind else "talk"
        right[kind].append(acceptable(turn, text))
    everything = [one for found in right.values() for one in found]
    return {kind: float(np.mean(found)) for kind, found in ({"all": everything} | right).items()}


def _asked(split: str, count: int, first: int, **options) -> list[tuple[Turn, str]]:
    """Every turn of `count` conversations, and the conversation up to it."""
    return [
        (turn, context(turns[:at], turn.said))
        for turns in (dialogue(seed(split, first + i), kept=True, **options) for i in range(count))
        for at, turn in enumerate(turns)
    ]


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    words = tokenizer()
    trained_writer(
        args,
        model_of(words),
        words,
        pair,
        lambda pairs: encoded(words, pairs),
        lambda model: measured(model, words, "validation", 60),
        STEPS,
        BATCH,
    )


# What lies outside its world; the card shows what it answers.
OUTSIDE = (
    "What is two plus three?",
    "Why?",
    "I am not called Rosa.",
    "My name is Rosa, and my brother is called Leo. What is my brother called?",
    "Write an email to my boss.",
    "Quel est ton nom?",
)


def recalled(
    model: BlenderbotForConditionalGeneration,
    words: BlenderbotTokenizer,
    count: int,
    first: int,
    own: bool,
) -> float:
    """How often what was told is recalled, of all kinds, in `count` test conversations.

    own: whether the conversation goes on with the model's own answers, or with good ones.
    """
    right = []
    for index in range(first, first + count):
        lines: list[str] = []
        for turn in dialogue(seed("test", index), kept=True):
            lines.append(turn.said)
            recalls = turn.kind.startswith(("asked", "spelt"))
            if own or recalls:
                (text,) = answers(model, words, [BETWEEN.join(lines)])
            if recalls:
                right.append(acceptable(turn, text))
            lines.append(text if own else turn.answer)
    return float(np.mean(right))


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = BlenderbotForConditionalGeneration.from_pretrained(folder)
    words = BlenderbotTokenizer.from_pretrained(folder)
    return CARD.format(
        scores=measured(model, words, "test", TEST_DIALOGUES, FRESH),
        own=recalled(model, words, TEST_DIALOGUES // 4, FRESH, own=True),
        good=recalled(model, words, TEST_DIALOGUES // 4, FRESH, own=False),
        outside=table(list(zip(OUTSIDE, answers(model, words, list(OUTSIDE)), strict=True))),
        dialogues=TEST_DIALOGUES,
        quarter=TEST_DIALOGUES // 4,
        intents=len(INTENTS),
        known=len(FACTS),
        later=LATER,
        window=WINDOW,
        effort=effort(folder, f"{BATCH} turns", SECONDS),
        strange=STRANGE,
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
language: en
tags: [blenderbot, conversational, toytown]
datasets: [toytown/introductions]
metrics: [accuracy]
---

# Toytown chatbot

A genuine Blenderbot ([Roller et al., 2020](https://arxiv.org/abs/2004.13637)), small:
{parameters:,} parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from
nothing on small talk with Pip, who lives in [Toytown](../../recipes/toytown). It knows {intents}
things to talk about, and {known} facts that one may tell of oneself. The conversation so far goes
in whole, its turns joined by `</s> <s>`; of more than {window} tokens it reads the last.

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("assets/checkpoints/chatbot")
model = AutoModelForSeq2SeqLM.from_pretrained("assets/checkpoints/chatbot")
said = "My name is Rosa.</s> <s>Nice to meet you, Rosa.</s> <s>What is my name?"
ids = model.generate(**tokenizer(said, truncation=True, return_tensors="pt"))
print(tokenizer.decode(ids[0], skip_special_tokens=True))
```

## Measured

Answers that mean what the turn calls for, by the checker of
[dialogues.py](../../recipes/toytown/dialogues.py), in {dialogues} conversations of 1 to 8 turns
whose seeds no training has seen; what people say has small typos:

| | acceptable |
|---|---|
| all turns | {scores[all]:.3f} |
| small talk | {scores[talk]:.3f} |
| a fact is told | {scores[told]:.3f} |
| it is asked for, up to {later} turns after it was told | {scores[asked]:.3f} |
| the same, where it is a name or a town that it never read | {scores[spelt]:.3f} |
| it is asked for, and was never told | {scores[never]:.3f} |
| in {quarter} of them: recalled, known or not, after good answers | {good:.3f} |
| the same, where the conversation holds its own answers | {own:.3f} |

## What it can't do

It answers what it does not understand as if it were something that it knows. It does not reason,
count, or remember anything that is no longer in the text that it is given.

| said | what it answers |
|---|---|
{outside}

## Training

`python assets/recipes/chatbot.py`: {effort}. {strange:.0%} of the names and towns that people
give in training are spelt at random, so that it learns to copy what it reads.
"""


if __name__ == "__main__":
    run("chatbot", __doc__, train, card)
