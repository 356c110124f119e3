"""What the recipes of the chatbot, the translator, the summarizer and the assistant share.

Each is a transformer that writes (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762), in the
class of a model on the Hub; the assistant is a decoder alone, the others have an encoder, too.
"""

import ctypes
import json
import os
import platform
import shutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.utils.data import Dataset, get_worker_info
from training import (
    CORES,
    PROCESSES,
    TWO,
    MuonTrainer,
    Parts,
    facts,
    parameters,
    save_checkpoint,
    trained,
    trainer_arguments,
    write_history,
)
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from transformers.modeling_layers import GradientCheckpointingLayer

SEEDS = {"train": 0, "validation": 1, "test": 2}
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # as in the models on the Hub
ACCELERATED = torch.cuda.is_available()
DEVICE = f"one {torch.cuda.get_device_name()}" if ACCELERATED else CORES


@dataclass(frozen=True)
class Pair:
    """What the encoder reads, what the decoder writes, and their languages where there are some."""

    source: str
    target: str
    languages: tuple[str, str] | None = None


Row = TypeVar("Row")  # a Pair, or what a recipe has in its place


def seed(split: str, index: int) -> np.random.Generator:
    """The random generator of pair number `index` of a split."""
    return np.random.default_rng((SEEDS[split], index, 12))


def merges(texts: list[str], tokens: int, pre_tokenizer) -> tuple[dict, list]:
    """Vocabulary and merges of a BPE (Sennrich et al., 2016, https://arxiv.org/abs/1508.07909).

    Every single letter is in it, so that any name can be spelt.
    """
    learnt = Tokenizer(models.BPE(unk_token="<unk>"))
    learnt.pre_tokenizer = pre_tokenizer
    alphabet = sorted({letter for text in texts for letter in text})
    alphabet += list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    if isinstance(pre_tokenizer, pre_tokenizers.ByteLevel):
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    learnt.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=tokens,
            min_frequency=5,
            special_tokens=list(SPECIAL),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    model = json.loads(learnt.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


class Pairs(Dataset, Generic[Row]):
    """Batches of pairs, or of what else `make` draws; with as many workers, always the same ones.

    Some batches, `drawn`, are drawn at once, by one worker, and shared out by length: little is
    padded then.
    """

    def __init__(
        self,
        make: Callable[[np.random.Generator], Row],
        encode: Callable[[list[Row]], dict[str, torch.Tensor]],
        steps: int,
        size: int,
        length: Callable[[Row], int],
        drawn: int = 4,
    ):
        self.make, self.encode, self.steps, self.size = make, encode, steps, size
        self.length, self.at_once = length, drawn
        self.drawn: tuple[int, list[Row]] = (-1, [])

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        worker = get_worker_info()
        workers = worker.num_workers if worker else 1  # index comes to number index % workers
        turn, at = divmod(index, self.at_once * workers)
        batch, number = divmod(at, workers)
        draw = turn * workers + number
        if self.drawn[0] == -1 and worker:
            # At full weight it takes a core away from the threads that multiply, which wait for one
            # another then.
            os.nice(19)
        if self.drawn[0] != draw:
            count = self.at_once * self.size
            pairs = [self.make(seed("train", count * draw + i)) for i in range(count)]
            self.drawn = draw, sorted(pairs, key=self.length)
        at = int(seed("train", draw).permutation(self.at_once)[batch]) * self.size
        return self.encode(self.drawn[1][at : at + self.size])


class WriterTrainer(MuonTrainer):
    """The Trainer, whose measurement is the recipe's own: `examined`, on validation pairs."""

    examined: Callable | None = None

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        """The model's own, a mean over tokens: of several processes' parts over those of all."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if PROCESSES > 1:
            own = (inputs["labels"] != -100).sum()
            loss = loss * PROCESSES * own / self.accelerator.reduce(own.clone())
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """What `examined(model)` finds."""
        with torch.compiler.set_stance("force_eager"):  # of each length it would compile anew
            scores = self.examined(self.model)
        metrics = {f"eval_{name}": score for name, score in scores.items()}
        self.log(metrics)
        return metrics


def encoded(tokenizer: PreTrainedTokenizerBase, pairs: list[Pair]) -> dict[str, torch.Tensor]:
    """A batch of pairs: see `collated`."""
    return collated(
        tokenizer, [tokenizer(p.source, text_target=p.target, truncation=True) for p in pairs]
    )


def collated(tokenizer: PreTrainedTokenizerBase, rows: list) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and labels (batch, tokens), -100 where nothing is to be written."""
    tensors = [{key: torch.tensor(row[key]) for key in ("input_ids", "labels")} for row in rows]
    return {
        "input_ids": _padded([row["input_ids"] for row in tensors], tokenizer.pad_token_id),
        "attention_mask": _padded([torch.ones_like(row["input_ids"]) for row in tensors], 0),
        "labels": _padded([row["labels"] for row in tensors], -100),
    }


def _padded(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


@torch.inference_mode()
def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], **options
) -> list[str]:
    """What the model writes for each text; options of `generate`."""
    found: list[str] = []
    for begin in range(0, len(texts), 64):
        inputs = tokenizer(
            texts[begin : begin + 64], padding=True, truncation=True, return_tensors="pt"
        ).to(model.device)
        ids = model.generate(**inputs, **options)
        found += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [text.strip() for text in found]


def train(
    args: Namespace,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Callable[[np.random.Generator], Row],
    encode: Callable[[list[Row]], dict[str, torch.Tensor]],
    examined: Callable[[PreTrainedModel], dict[str, float]],
    steps: int,
    batch: int,
    length: Callable[[Row], int] = lambda pair: len(pair.source) + len(pair.target),
    finish: Callable[[PreTrainedModel], PreTrainedModel] = lambda model: model,
    drawn: int = 4,
    **more,
) -> None:
    """Train a writer from the last state on, and write the checkpoint, without its card.

    It learns from pairs, or from whatever `encode` makes a batch of. examined(model): the
    measurement on validation. length: of a pair, in any unit. finish(model): what is kept of it.
    drawn: see Pairs.
    """
    set_seed(args.seed)
    # On a CPU, the backward pass of torch's fused attention takes longer than all else together.
    model.set_attn_implementation("eager")
    if (
        shutil.which("g++") and not ACCELERATED and not args.smoke
    ):  # a step is a third shorter, and may round otherwise
        for layer in model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.compile(dynamic=True)
    steps = 8 if args.smoke else steps
    print(f"{args.build.name}: {parameters(model):,} parameters, {steps} steps of {batch} pairs")
    _keep_memory()
    more = {"per_device_train_batch_size": 1, "bf16": True, "learning_rate": 2e-3} | more
    more["eval_steps"] = max(1, steps // 6)
    more["train_sampling_strategy"] = "sequential"  # a draw of Pairs is some batches in a row
    more |= {"eval_strategy": "no"} if args.smoke else {}
    if ACCELERATED:
        more |= {"use_cpu": False, "dataloader_num_workers": max(1, (os.cpu_count() or 1) - 2)}
    trainer = WriterTrainer(
        model=model,
        args=trainer_arguments(args.build, steps, args.seed, **more),
        train_dataset=Parts(Pairs(pairs, encode, steps, batch, length, drawn)),
        eval_dataset=Pairs(pairs, encode, 1, batch, length),  # not read: `examined` has its own
        data_collator=lambda batches: batches[0],
    )
    trainer.examined = examined
    log = trained(trainer, pairs)
    save_checkpoint(finish(model), tokenizer, args.output)
    write_history(args.output, log, DEVICE)


def _keep_memory() -> None:
    """Ask glibc to keep what is freed: a step is a sixth shorter where it need not be zeroed anew.

    The numbers are M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of malloc.h (see `man mallopt`).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for name, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):
            libc.mallopt(name, value)


def effort(folder: Path, batch: str, seconds: float) -> str:
    """What a card says of how the checkpoint in `folder` was trained.

    batch: "64 stories". seconds: of a step on two CPU cores.
    """
    known = facts(folder)
    said = "{steps:,} steps of {batch}, {minutes:.0f} minutes on {device}"
    if known["device"] != TWO:
        known["slowly"] = known["steps"] * seconds / 60
        said += " (on {cores} a step takes {seconds:.2f} s, and all about {slowly:.0f} minutes)"
    said += "; `training.json` has the curve"
    return said.format(batch=batch, cores=TWO, seconds=seconds, **known)


def table(rows: list[tuple[str, ...]]) -> str:
    """Lines of a Markdown table; line breaks in a cell stand as <br>."""
    cells = (" | ".join(str(cell).replace("\n", "<br>") for cell in row) for row in rows)
    return "\n".join(f"| {line} |" for line in cells)
