"""Train the course's assistant: Llama, on requests of Toytown's people and good answers.

    python assets/recipes/assistant.py              # 57 minutes on two CPU cores
    python assets/recipes/assistant.py --smoke      # a minute, to see the loss fall

The architecture is transformers' LlamaForCausalLM (Touvron et al., 2023,
https://arxiv.org/abs/2302.13971), with the chat template of SmolLM2 (ChatML), whose `tools` are
written as signatures. It learns from the assistant's turns alone: what others say is only read.
"""

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from toytown import skills
from toytown.skills import SKILLS, task
from toytown.styles import UNSEEN
from toytown.tasks import SYSTEM, Task
from training import facts, in_evaluation, parameters, plain, run
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.modeling_outputs import CausalLMOutput
from writers import collated, effort, merges, seed, table
from writers import train as trained_writer

TOKENS = 2_600
WIDTH = 192
WINDOW = 1_024  # tokens that it can hold; training shows it some 300 at most
STEPS, BATCH = 5_100, 48
SECONDS = 0.66  # of a step on two CPU cores
# How an assistant may be told what it is: a learner has words of their own.
OTHERWISE = ("You are a helpful assistant.", "You help people.", "Answer what you are asked.", "")
OTHER = 0.3  # of the conversations
JOINED = 0.15  # of the conversations may hold up to three tasks
# At temperature 1, as the instruction models of Llama have it in their generation_config. Without
# it each word has one chance in a hundred to fit nowhere, and a story has fifty words.
TOP_P = 0.9
TEST_EACH, FRESH = 300, 10_000
SEEN = 20_000  # tasks of training, a part of them, among which the card looks for the test's
TEMPLATE = """\
{%- macro offered() %}
{%- if tools %}{{ '\\nFunctions: ' }}
{%- for tool in tools %}
{{- tool.function.name }}({{ tool.function.parameters.properties | join(', ') }})
{{- '' if loop.last else '; ' }}
{%- endfor %}
{%- endif %}
{%- endmacro %}
{%- if messages[0].role != 'system' %}
{{- '<|im_start|>system\\nSYSTEM' + offered() + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- else %}
{{- message.content }}
{%- if loop.first and message.role == 'system' %}{{ offered() }}{% endif %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""".replace(
    "SYSTEM", SYSTEM
)


@dataclass(frozen=True)
class Conversation:
    """Messages that end with a good answer, and the functions on offer."""

    messages: list[dict[str, str]]
    tools: list[dict] | None


def conversation(random: np.random.Generator) -> Conversation:
    """One task, or some of the plain assistant's, up to three, one after the other."""
    made = [task(random)]
    if random.random() < JOINED:
        joined: list[Task] = []
        for one in (task(random) for _ in range(4)):
            joined += [one] if _joins(one, joined) else []
        made = joined[:3] or made
    first, *others = made
    messages = [*first.messages, {"role": "assistant", "content": first.answer}]
    for one in others:
        messages += [*one.messages[1:], {"role": "assistant", "content": one.answer}]
    begins = messages[0]["content"]
    if SYSTEM in begins and random.random() < OTHER:
        other = OTHERWISE[random.integers(len(OTHERWISE))]
        messages[0] = messages[0] | {"content": begins.replace(SYSTEM, other).strip()}
    return Conversation(messages, list(first.tools) or None)


def _joins(one: Task, others: list[Task]) -> bool:
    """Whether a task can stand in one conversation with others; memories and texts must not mix."""
    bare = one.messages[0]["content"] == SYSTEM and not one.tools
    texts = {"from text", "who"}
    mixed = one.skill == "memory" or one.skill in {other.skill for other in others}
    mixed |= one.skill in texts and any(other.skill in texts for other in others)
    return bare and not mixed and sum(len(turn["content"]) for turn in one.messages[1:]) < 300


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE as SmolLM2's, with its special tokens and a chat template."""
    texts = [
        message["content"]
        for i in range(6_000)
        for message in conversation(seed("train", i)).messages
    ]
    texts += [text.upper() for text in texts[::4]]  # a persona may write in capitals
    # A word is the same tokens at the start of a line as within it. Else a small model would have
    # to learn of each name, and of each piece of one, that "Ada" is what it has read as " Ada".
    spaced = normalizers.Replace(Regex(r"\n(?=\S)"), "\n ")
    texts = [spaced.normalize_str(f" {text}") for text in texts]
    texts += ["system", "user", "assistant", "tool"] * 1_000  # a token each: they are in every turn
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocab, pairs = merges(texts, TOKENS, level)
    for old, new in (("<s>", "<|im_start|>"), ("</s>", "<|im_end|>"), ("<unk>", "<|endoftext|>")):
        vocab[new] = vocab.pop(old)
    made = Tokenizer(models.BPE(vocab, pairs))
    made.normalizer, made.pre_tokenizer = spaced, level
    made.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace("\n ", "\n"), decoders.Strip(" ", 1, 0)]
    )
    words = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<pad>",
        padding_side="left",
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )
    words.chat_template = TEMPLATE
    return words


def configuration(words: PreTrainedTokenizerFast) -> LlamaConfig:
    """Llama, in small."""
    return LlamaConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


class Learner(LlamaForCausalLM):
    """Llama, which in training computes logits only where it learns: a quarter of the places."""

    def forward(self, input_ids=None, attention_mask=None, labels=None, **options):
        """As LlamaForCausalLM; with labels it gives the loss alone."""
        if labels is None:
            return super().forward(input_ids, attention_mask, **options)
        states = self.model(input_ids, attention_mask, use_cache=False).last_hidden_state[:, :-1]
        wanted = labels[:, 1:]
        learnt = wanted != -100
        logits = self.lm_head(states[learnt]).float()
        return CausalLMOutput(loss=torch.nn.functional.cross_entropy(logits, wanted[learnt]))


def model_of(words: PreTrainedTokenizerFast) -> Learner:
    """An assistant that has learnt nothing yet, and writes at most 200 tokens, greedily."""
    model = Learner(configuration(words))
    model.generation_config.update(max_length=None, max_new_tokens=200, do_sample=False)
    return model


def row(words: PreTrainedTokenizerFast, one: Conversation) -> dict[str, list[int]]:
    """The conversation's tokens; labels are those that the assistant wrote, -100 elsewhere."""
    made = words.apply_chat_template(
        one.messages,
        tools=one.tools,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, own = made["input_ids"], made["assistant_masks"]
    labels = [token if mask else -100 for token, mask in zip(ids, own, strict=True)]
    return {"input_ids": ids, "labels": labels}


@in_evaluation
@torch.inference_mode()
def replies(
    model: LlamaForCausalLM, words: PreTrainedTokenizerFast, tasks: list[Task], **options
) -> list[str]:
    """What the model answers to each task; options of `generate`."""
    prompts = [
        words.apply_chat_template(
            list(one.messages),
            tools=list(one.tools) or None,
            add_generation_prompt=True,
            tokenize=False,
        )
        for one in tasks
    ]
    order = sorted(range(len(tasks)), key=lambda i: len(prompts[i]))
    found = [""] * len(tasks)
    for begin in range(0, len(order), 50):
        part = order[begin : begin + 50]
        inputs = words([prompts[i] for i in part], padding=True, return_tensors="pt")
        inputs = inputs.to(model.device)
        ids = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]
        for i, text in zip(part, words.batch_decode(ids, skip_special_tokens=True), strict=True):
            found[i] = text
    return found


def measured(
    model: LlamaForCausalLM,
    words: PreTrainedTokenizerFast,
    split: str,
    each: int,
    first: int = 0,
) -> dict[str, float]:
    """How many of `each` answers of every skill are right, by its checker, and their mean."""
    tasks = [task(seed(split, i), skill) for skill in SKILLS for i in range(first, first + each)]
    right = [one.right(text) for one, text in zip(tasks, replies(model, words, tasks), strict=True)]
    scores = dict(zip(SKILLS, np.reshape(right, (len(SKILLS), each)).mean(axis=1), strict=True))
    return {"mean": float(np.mean(right))} | {name: float(s) for name, s in scores.items()}


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    words = tokenizer()

    def finish(model: Learner) -> LlamaForCausalLM:
        kept = plain(model, LlamaForCausalLM)
        kept.generation_config = model.generation_config
        return kept

    trained_writer(
        args,
        model_of(words),
        words,
        lambda random: row(words, conversation(random)),
        lambda rows: collated(words, rows),
        lambda model: measured(model, words, "validation", 12),
        STEPS,
        BATCH,
        length=lambda one: len(one["input_ids"]),
        finish=finish,
        drawn=8,  # its conversations differ more in length than other writers' texts
    )


# What lies outside its world; the card shows what it answers.
OUTSIDE = (
    "What is twelve times three?",
    "What is 57 plus 68?",
    "Why is the sky blue?",
    "Write a story about a dragon in a spaceship.",
    "Translate to German: Where is the station?",
    "Who are you?",
)


def right(model, words, tasks: list[Task]) -> float:
    """How many tasks are answered right, by their checkers."""
    texts = replies(model, words, tasks)
    return float(np.mean([one.right(text) for one, text in zip(tasks, texts, strict=True)]))


def drawn(count: int, first: int, make: Callable[[np.random.Generator], Task]) -> list[Task]:
    """Tasks number first, first + 1, … of the test split."""
    return [make(seed("test", index)) for index in range(first, first + count)]


def in_training(each: int, first: int) -> dict[str, float]:
    """By skill, how many of the test tasks were asked word for word in training, too."""

    def asked(one: Task) -> str:
        return json.dumps([one.messages, one.tools])

    known = {asked(task(seed("train", index))) for index in range(SEEN)}
    return {
        name: float(np.mean([asked(one) in known for one in drawn(each, first, make)]))
        for name, make in SKILLS.items()
    }


def obedient(model, words, each: int, first: int) -> float:
    """How many answers of `each` have the style that the system message asks for."""
    tasks = drawn(each, first, SKILLS["persona"])
    return right(model, words, [replace(one, right=one.obeys) for one in tasks])


def unseen(model, words, each: int, first: int) -> dict[str, float]:
    """By pair of style and skill that training never showed, how many of `each` are right."""
    return {
        " + ".join(pair): right(
            model, words, drawn(each, first, partial(skills.persona, pair=pair))
        )
        for pair in sorted(UNSEEN)
    }


def with_new_names(model, words, each: int, first: int) -> dict[str, float]:
    """By skill, how many of `each` are right where every name is one that no training read."""
    return {
        name: right(model, words, drawn(each, first, partial(SKILLS[name], kept=True)))
        for name in ("json", "call", "from text")
    }


def distinct(model, words, first: int, top_p: float = TOP_P) -> list[int]:
    """Of five stories at temperature 1, how many different ones are fluent; for ten requests."""
    asked = drawn(10, first, SKILLS["story"])
    torch.manual_seed(0)
    five = [one for one in asked for _ in range(5)]
    texts = replies(model, words, five, do_sample=True, temperature=1.0, top_p=top_p)
    return [
        len({text for text in texts[5 * i : 5 * i + 5] if one.right(text)})
        for i, one in enumerate(asked)
    ]


def repeatable(model, words, first: int) -> bool:
    """Whether greedy answers to ten requests are the same again."""
    asked = drawn(10, first, SKILLS["story"])
    return replies(model, words, asked) == replies(model, words, asked)


def outside(model, words) -> dict[str, str]:
    """What it answers to what lies outside its world."""
    asked = [
        Task("", ({"role": "user", "content": text},), "", lambda answer: True) for text in OUTSIDE
    ]
    return dict(zip(OUTSIDE, replies(model, words, asked), strict=True))


def _scores(found: dict[str, float]) -> str:
    return table([(name, f"{score:.2f}") for name, score in found.items()])


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = LlamaForCausalLM.from_pretrained(folder)
    words = PreTrainedTokenizerFast.from_pretrained(folder)
    scores = measured(model, words, "test", TEST_EACH, FRESH)
    mean = scores.pop("mean")
    fluent = distinct(model, words, FRESH)
    asks = {
        name: next(turn["content"] for turn in turns if turn["role"] == "user")
        for name, turns in ((n, make(seed("test", 0)).messages) for n, make in SKILLS.items())
    }
    known = in_training(TEST_EACH, FRESH)
    return CARD.format(
        scores=table(
            [
                (name, asks[name][:80], f"{score:.2f}", f"{known[name]:.0%}")
                for name, score in scores.items()
            ]
        ),
        training=SEEN,
        part=SEEN / (STEPS * BATCH),
        mean=mean,
        names=_scores(with_new_names(model, words, TEST_EACH, FRESH)),
        unseen=_scores(unseen(model, words, TEST_EACH, FRESH)),
        distinct=np.mean(fluent),
        most=np.mean(np.array(fluent) >= 4),
        obedient=obedient(model, words, TEST_EACH, FRESH),
        top_p=TOP_P,
        bold=np.mean(distinct(model, words, FRESH, top_p=1.0)),
        repeatable="the same" if repeatable(model, words, FRESH) else "not the same",
        outside=table(list(outside(model, words).items())),
        each=TEST_EACH,
        effort=effort(folder, f"{BATCH} conversations", SECONDS),
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
language: en
tags: [llama, conversational, toytown]
metrics: [accuracy]
---

# Toytown assistant

A genuine Llama ([Touvron et al., 2023](https://arxiv.org/abs/2302.13971)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
requests of [Toytown](../../recipes/toytown)'s people. It has a chat template in the form of
SmolLM2's; functions on offer go in as `tools`, and a call comes out as JSON.

```python
from transformers import pipeline

assistant = pipeline("text-generation", model="assets/checkpoints/assistant")
messages = [{{"role": "user", "content": "What is 3 plus 4?"}}]
print(assistant(messages)[0]["generated_text"][-1]["content"])
```

## Measured

{each} tasks of each skill whose seeds no training has seen, answered greedily and judged by the
checkers of [skills.py](../../recipes/toytown/skills.py); their mean is {mean:.3f}. They look for
what must be said (a number, a name, JSON's values), and that nothing else is. Word for word they
compare a translation, what is to be repeated, and what a persona says in French or Spanish; small
talk, summaries, poems and stories must have one of the forms that Toytown has for them.

Toytown is small: the last column says how many of the tasks were asked word for word in {part:.0%}
of the training ({training:,} tasks), too. Where it is high, a right answer may be known by heart.

| skill | such as | right | seen |
|---|---|---|---|
{scores}

| with names that it never read | right |
|---|---|
{names}

| a style and a skill that training never put together | right |
|---|---|
{unseen}

| | |
|---|---|
| a persona's style is obeyed (in French and Spanish: by a right answer) | {obedient:.2f} |
| of five stories, temperature 1, top-p {top_p}: different fluent ones | {distinct:.1f} |
| requests with at least four such of five | {most:.2f} |
| the same without top-p | {bold:.1f} |
| greedy answers to the same request | {repeatable} |

Top-p {top_p} is what the instruction models of Llama have in their `generation_config`. The file
here leaves it out, since its default is greedy: give `do_sample=True, top_p={top_p}`.

## What it can't do

It knows Toytown, and its skills are the rows above. One of them it has not learnt: from a name in
a text it finds what is said of it, but asked who it was ("Who likes bread?"), it often names
somebody else. Of what is outside it should say that it does not know; often it does not.

| asked | what it answers |
|---|---|
{outside}

## Training

`python assets/recipes/assistant.py`: {effort}. It learns from the assistant's turns alone.
"""


if __name__ == "__main__":
    run("assistant", __doc__, train, card)
