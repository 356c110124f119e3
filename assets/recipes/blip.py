"""What the recipes of BLIP's three models share: words, sizes, pictures with texts, the eyes.

BLIP: Li et al., 2022, https://arxiv.org/abs/2201.12086. Its matcher, captioner and answerer have
the same vision transformer, and a text transformer that looks at the picture by cross-attention.
"""

from argparse import Namespace
from functools import cache

import numpy as np
import torch
from eyes import (
    PATCH,
    SIDE,
    WIDTH,
    dense_targets,
    drawn,
    image_processor,
    pixels,
    stack,
    trained_eyes,
    vision_configuration,
)
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from toytown.language import STARTS, vocabulary
from training import TimedTrainer, parameters, trained, trainer_arguments
from transformers import BertTokenizer, BlipConfig, BlipProcessor, PreTrainedModel, set_seed

SPECIAL = ("[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]", "[DEC]")  # [DEC]: BLIP's decoder starts
PAD, _, _, CLASS, SEPARATOR, START = range(len(SPECIAL))


@cache
def tokenizer() -> BertTokenizer:
    """BERT's tokenizer over Toytown's words: one word, one token; any other is [UNK]."""
    words = [*SPECIAL, *vocabulary()]
    vocab = {word: i for i, word in enumerate(words)}
    return BertTokenizer(vocab, model_max_length=64, additional_special_tokens=["[DEC]"])


@cache
def processor() -> BlipProcessor:
    """What turns a picture and a text into the model's input; saved with the checkpoint."""
    return BlipProcessor(image_processor(), tokenizer())


def configuration(layers: int = 3, intermediate_size: int = 240, **more) -> BlipConfig:
    """A BLIP with the eyes' vision transformer and a text transformer of `layers` layers."""
    text = {
        "vocab_size": len(tokenizer()),
        "hidden_size": WIDTH,
        "encoder_hidden_size": WIDTH,
        "intermediate_size": intermediate_size,
        "num_hidden_layers": layers,
        "num_attention_heads": 5,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": PAD,
        "bos_token_id": START,
        "eos_token_id": SEPARATOR,
        "sep_token_id": SEPARATOR,
    }
    vision = vision_configuration().to_dict()
    return BlipConfig(text_config=text, vision_config=vision, **more)


def with_eyes(model: PreTrainedModel, args: Namespace) -> PreTrainedModel:
    """Give a model the eyes that eyes.py has trained, and the heads of their dense loss."""
    eyes = trained_eyes(args).state_dict()
    model.dense.load_state_dict(
        {k.removeprefix("dense."): v for k, v in eyes.items() if k.startswith("dense.")}
    )
    model.vision_model.load_state_dict(
        {k: v for k, v in eyes.items() if not k.startswith(("dense.", "keeper."))}
    )
    return model


def encoded(texts: list[str]) -> dict[str, torch.Tensor]:
    """input_ids and attention_mask of shape (texts, longest), between [CLS] and [SEP]."""
    batch = tokenizer()(texts, padding=True, return_tensors="pt")
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


class PicturesWithTexts(Dataset):
    """Scenes of a split: picture, dense targets, and what `tell(scene, rng)` makes of each.

    Every `herds`-th scene is a herd, if it is not 0: there counting is learnt.
    """

    def __init__(self, tell, split: str, length: int, first: int = 0, herds: int = 0):
        self.tell, self.split, self.length = tell, split, length
        self.first, self.herds = first, herds

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Image.Image, dict[str, torch.Tensor], object]:
        index += self.first
        chosen, picture = drawn(self.split, index, SIDE, herds=self.herds, larger=16)
        told = self.tell(chosen, np.random.default_rng((index, 11)))
        return picture.image, dense_targets(chosen, picture, SIDE // PATCH), told


def seen(model: nn.Module, pixel_values: torch.Tensor, dense: dict) -> tuple[torch.Tensor, ...]:
    """The vision transformer's tokens (batch, tokens, WIDTH), and the dense loss on them."""
    embeddings = model.vision_model(pixel_values=pixel_values).last_hidden_state
    return embeddings, model.dense(embeddings[:, 1:], embeddings[:, 0], dense)


def train(
    args: Namespace,
    model: PreTrainedModel,
    trainer_class: type[TimedTrainer],
    tell,
    collate,
    steps: int,
    batch: int,
    **more,
) -> list[dict]:
    """Train a model on pictures and what `tell` says of them; returns the log."""
    set_seed(args.seed)
    steps = 8 if args.smoke else steps
    print(f"{args.build.name}: {parameters(model):,} parameters, {steps} steps of {batch} scenes")
    more = {"per_device_train_batch_size": batch, "bf16": True, "learning_rate": 1e-3} | more
    more |= {"eval_strategy": "no"} if args.smoke else {}
    trainer = trainer_class(
        model=model,
        args=trainer_arguments(args.build, steps, args.seed, **more),
        # not the scenes that the eyes have learnt from
        train_dataset=PicturesWithTexts(tell, "train", steps * batch, first=1_000_000, herds=3),
        eval_dataset=PicturesWithTexts(tell, "validation", 100),
        data_collator=collate,
    )
    return trained(trainer)


def some_start(rng: np.random.Generator) -> str:
    """A text start for three texts in ten, none for the others."""
    return "" if rng.random() < 0.7 else STARTS[rng.integers(len(STARTS))]


def contrastive_loss(logits: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of pictures over texts and of texts over pictures, added.

    logits: (pictures, texts). pairs: bool, the same shape: which texts are true of which pictures;
    several that are share the target. (CLIP's loss, Radford et al., 2021, but for the sharing.)
    """
    logits, wanted = logits.float(), pairs.float()
    loss = cross_entropy(logits, wanted / wanted.sum(1, keepdim=True))
    return loss + cross_entropy(logits.T, wanted.T / wanted.T.sum(1, keepdim=True))


def batch_of(samples: list) -> tuple[dict, list]:
    """pixel_values and dense targets of several samples, and their texts."""
    images, targets, told = zip(*samples, strict=True)
    return {"pixel_values": pixels(list(images)), "dense": stack(list(targets))}, list(told)
