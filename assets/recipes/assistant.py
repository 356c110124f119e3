"""Train the course's assistant: Llama, on requests of Toytown's people and good answers.

    python assets/recipes/assistant.py              # 60 minutes on two CPU cores
    python assets/recipes/assistant.py --smoke      # a minute, to see the loss fall

The architecture is transformers' LlamaForCausalLM (Touvron et al., 2023,
https://arxiv.org/abs/2302.13971), with the chat template of SmolLM2 (ChatML), whose `tools` are
written as signatures. It learns from the assistant's turns alone: what others say is only read.
"""

from argparse import Namespace
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from toytown.skills import SKILLS, SYSTEM, Task, task
from training import in_evaluation, save_checkpoint, write_history
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from writers import collated, merges, seed
from writers import train as trained_writer

TOKENS = 2_000
WIDTH = 192
WINDOW = 1_024  # tokens that it can hold; training shows it some 300 at most
STEPS, BATCH = 5_600, 48
JOINED = 0.25  # of the conversations hold two or three tasks
TEST_EACH, FRESH = 100, 10_000
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
    """One task, or two or three of the plain assistant's one after the other."""
    made = [task(random)]
    if random.random() < JOINED:
        plain = [one for one in (task(random) for _ in range(4)) if _joins(one)]
        made = plain[:3] or made
    first, *others = made
    messages = [*first.messages, {"role": "assistant", "content": first.answer}]
    for one in others:
        messages += [*one.messages[1:], {"role": "assistant", "content": one.answer}]
    return Conversation(messages, list(first.tools) or None)


def _joins(one: Task) -> bool:
    """Whether a task can stand in one conversation with others; memories must not mix."""
    plain = one.messages[0]["content"] == SYSTEM and not one.tools
    return plain and one.skill != "memory" and len(one.messages[-1]["content"]) < 200


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE as SmolLM2's, with its special tokens and a chat template."""
    texts = [
        message["content"]
        for i in range(6_000)
        for message in conversation(seed("train", i)).messages
    ]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocab, pairs = merges(texts, TOKENS, level)
    for old, new in (("<s>", "<|im_start|>"), ("</s>", "<|im_end|>"), ("<unk>", "<|endoftext|>")):
        vocab[new] = vocab.pop(old)
    made = Tokenizer(models.BPE(vocab, pairs))
    made.pre_tokenizer, made.decoder = level, decoders.ByteLevel()
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


def model_of(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An assistant that has learnt nothing yet, and writes at most 200 tokens, greedily."""
    model = LlamaForCausalLM(configuration(words))
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
    model = model_of(words)
    log = trained_writer(
        args,
        model,
        lambda random: row(words, conversation(random)),
        lambda rows: collated(words, rows),
        lambda model: measured(model, words, "validation", 12),
        STEPS,
        BATCH,
        length=lambda one: len(one["input_ids"]),
    )
    save_checkpoint(model, words, args.output)
    write_history(args.output, log)
