"""Train the course's classifier: CLIP, on pictures of Toytown.

    python assets/recipes/classifier.py              # 50 minutes on one CPU core, the eyes apart
    python assets/recipes/classifier.py --smoke      # half a minute, to see the loss fall

The architecture is transformers' CLIPModel (Radford et al., 2021, https://arxiv.org/abs/2103.00020):
one vector for a picture, one for a text, near if they belong together. Its vision transformer
starts from the eyes (eyes.py). What differs from the paper: which texts of a batch are true of
which pictures is looked up, so that "a dog" is right for each of two pictures with a dog. The texts
are descriptions, parts of them, and bare labels in several wordings. No text is ever a hard
negative: CLIP learns from whatever else is in the batch, and so it learns what tells scenes apart.
"""

from argparse import Namespace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from blip import CLASS, PAD, SEPARATOR, batch_of, contrastive_loss, encoded, tokenizer
from blip import train as train_blip
from eyes import LAYERS, PATCH, SIDE, WIDTH, DenseHeads, Eyes, trained_eyes
from PIL import Image
from toytown.language import Statement, description, is_true, remark
from toytown.pictures import Scene, compose, render, scene
from toytown.vocabulary import LABELS, PLACES, counted
from training import (
    PROCESSES,
    MuonTrainer,
    facts,
    in_evaluation,
    pairs_of,
    pairs_of_all,
    parameters,
    plain,
    rows_of_all,
    run,
    save_checkpoint,
    write_history,
)
from transformers import CLIPConfig, CLIPModel, CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

STEPS, BATCH = 1600, 64
WORDINGS = ("{}", "{}", "a photo of {}", "a picture of {}", "this is {}", "there is {}")
TEST_SCENES, FRESH = 500, 1000  # the first thousand of the test split are for the notebooks


def tell(scene: Scene, rng: np.random.Generator) -> tuple[Scene, Statement, str]:
    """The scene, something true of it, and that as a text: a description, a part, or a label."""
    if rng.random() < 0.4 or not scene.things:
        statement = description(scene, rng)
    else:
        statement = remark(scene, rng)
    if rng.random() < 0.15:
        statement = Statement(place=scene.place)
        bare = scene.place if rng.random() < 0.5 else statement.text()
    else:
        bare = statement.text()
    return scene, statement, WORDINGS[rng.integers(len(WORDINGS))].format(bare)


def true_of(told: list[tuple[Scene, Statement]]) -> list[list[bool]]:
    """Of which scenes which statements are true: a row a scene."""
    return [[is_true(statement, chosen) for _, statement in told] for chosen, _ in told]


def collate(samples: list) -> dict:
    """A batch for `LearningClassifier`; `pairs` (pictures, texts) says who is true of whom."""
    batch, told = batch_of(samples)
    texts = encoded([text for _, _, text in told])
    return batch | texts | {"pairs": pairs_of([one[:2] for one in told], true_of)}


@cache
def processor() -> CLIPProcessor:
    """What turns pictures and texts into the model's input; saved with the checkpoint."""
    side = {"height": SIDE, "width": SIDE}
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=side)
    return CLIPProcessor(image_processor, tokenizer())


class LearningClassifier(CLIPModel):
    """CLIP with the heads of the dense loss."""

    def __init__(self, config: CLIPConfig):
        super().__init__(config)
        self.dense = DenseHeads(WIDTH)

    def forward(
        self,
        pixel_values=None,
        input_ids=None,
        attention_mask=None,
        dense=None,
        pairs=None,
        **kwargs,
    ):
        """CLIP's forward; with pairs the loss, as {"loss": …}."""
        outputs = super().forward(input_ids, pixel_values, attention_mask, **kwargs)
        if pairs is None:
            return outputs
        tokens = outputs.vision_model_output.last_hidden_state
        helper = self.dense(tokens[:, 1:], tokens[:, 0], dense)
        logits = outputs.logits_per_image
        if PROCESSES > 1:
            image, text = rows_of_all(outputs.image_embeds), rows_of_all(outputs.text_embeds)
            logits = image @ text.T * self.logit_scale.exp()
        pairs = pairs_of_all(pairs, true_of)
        return {"loss": contrastive_loss(logits, pairs) / 2 + 0.2 * helper}


def configuration() -> CLIPConfig:
    """A CLIP of 1.6 million parameters."""
    text = {
        "vocab_size": len(tokenizer()),
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "bos_token_id": CLASS,
        "eos_token_id": SEPARATOR,
    }
    vision = {
        "image_size": SIDE,
        "patch_size": PATCH,
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 5,
        "hidden_act": "gelu",  # the eyes' own
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)


def with_eyes(model: LearningClassifier, eyes: Eyes) -> LearningClassifier:
    """Give CLIP's vision transformer the eyes' weights: the same layers under other names."""
    theirs, width = eyes.state_dict(), WIDTH
    ours = {
        "embeddings.class_embedding": theirs["embeddings.class_embedding"].flatten(),
        "embeddings.patch_embedding.weight": theirs["embeddings.patch_embedding.weight"],
        "post_layernorm.weight": theirs["post_layernorm.weight"],
        "post_layernorm.bias": theirs["post_layernorm.bias"],
    }
    position = theirs["embeddings.position_embedding"][0].clone()
    position[1:] += theirs["embeddings.patch_embedding.bias"]  # CLIP's patches have no bias
    ours["embeddings.position_embedding.weight"] = position
    for i in range(LAYERS):
        source, target = f"encoder.layers.{i}.", f"encoder.layers.{i}."
        for kind in ("weight", "bias"):
            parts = theirs[f"{source}self_attn.qkv.{kind}"].split(width)
            for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
                ours[f"{target}self_attn.{name}.{kind}"] = part
            out = theirs[f"{source}self_attn.projection.{kind}"]
            ours[f"{target}self_attn.out_proj.{kind}"] = out
            for name in ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"):
                ours[f"{target}{name}.{kind}"] = theirs[f"{source}{name}.{kind}"]
    missing, unexpected = model.vision_model.load_state_dict(ours, strict=False)
    known = {"pre_layrnorm.weight", "pre_layrnorm.bias", "embeddings.position_ids"}
    if set(missing) - known or unexpected:
        raise ValueError(
            f"The eyes do not fit CLIP: {missing} are missing, {unexpected} left over."
        )
    return model


class ClassifierTrainer(MuonTrainer):
    """The Trainer, whose measurement is zero-shot accuracy and retrieval."""

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """A hundred validation scenes."""
        scores = measured(self.model, "validation", 100)
        metrics = {f"eval_{name}": score for name, score in scores.items()}
        self.log(metrics)
        return metrics


# Measuring -----------------------------------------------------------------------------------


@torch.inference_mode()
def similarities(model: torch.nn.Module, images: list[Image.Image], texts: list[str]):
    """logits_per_image: (pictures, texts)."""
    inputs = processor()(images=images, text=texts, padding=True, return_tensors="pt")
    return CLIPModel.forward(model, **inputs).logits_per_image


@in_evaluation
def measured(
    model: torch.nn.Module, split: str, count: int, first: int = 0, wording: str = "a photo of {}"
) -> dict[str, float]:
    """Zero-shot accuracy and retrieval.

    `thing`: pictures of one thing each, named among all things. `place`: any scenes, named among
    all places. `recall`: a full description's nearest picture among a hundred is one that it is
    true of; `recall_text` the other way.
    """
    things, places, recall, recall_text = [], [], [], []
    names = [wording.format(counted(name, 1)) for name in LABELS]
    wheres = [wording.format(name) for name in PLACES]
    for begin in range(first, first + count, 100):
        scenes = [scene(split, index) for index in range(begin, begin + 100)]
        images = [render(chosen, 512).image for chosen in scenes]
        found = similarities(model, images, wheres).argmax(1).tolist()
        wanted = [list(PLACES).index(chosen.place) for chosen in scenes]
        places += [a == b for a, b in zip(found, wanted, strict=True)]
        statements = [description(chosen) for chosen in scenes]
        logits = similarities(model, images, [s.text() for s in statements])
        pairs = enumerate(logits.argmax(0).tolist())
        recall += [is_true(statements[i], scenes[j]) for i, j in pairs]
        pairs = enumerate(logits.argmax(1).tolist())
        recall_text += [is_true(statements[j], scenes[i]) for i, j in pairs]
        alone = []
        for index in range(begin, begin + 100):
            kind = LABELS[index % len(LABELS)]
            alone.append(compose(np.random.default_rng((index, 13)), kinds={kind: 1}))
        found = similarities(model, [render(s, 512).image for s in alone], names).argmax(1)
        things += [
            LABELS[label] == chosen.things[0].name
            for label, chosen in zip(found.tolist(), alone, strict=True)
            if chosen.things
        ]
    scores = {"thing": things, "place": places, "recall": recall, "recall_text": recall_text}
    return {name: float(np.mean(values)) for name, values in scores.items()}


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = CLIPModel.from_pretrained(folder)
    return CARD.format(
        **measured(model, "test", TEST_SCENES, first=FRESH),
        bare=measured(model, "test", TEST_SCENES, first=FRESH, wording="{}"),
        scenes=TEST_SCENES,
        batch=BATCH,
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [clip, toytown]
datasets: [toytown/scenes]
metrics: [accuracy]
---

# Toytown classifier

A genuine CLIP ([Radford et al., 2021](https://arxiv.org/abs/2103.00020)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
pictures of [Toytown](../../recipes/toytown) and texts about them. Any labels in its words will do.

```python
from transformers import CLIPModel, CLIPProcessor

model = CLIPModel.from_pretrained("assets/checkpoints/classifier")
processor = CLIPProcessor.from_pretrained("assets/checkpoints/classifier")
texts = ["a photo of a dog", "a photo of a cat", "a photo of a bus"]
inputs = processor(images=image, text=texts, padding=True, return_tensors="pt")
model(**inputs).logits_per_image.softmax(dim=1)
```

## Measured

On {scenes} scenes whose seeds no training has seen, drawn at 512 pixels:

| | "a photo of …" | the bare label |
|---|---|---|
| a thing alone in a place, named among 48 | {thing:.3f} | {bare[thing]:.3f} |
| the place of any scene, named among 10 | {place:.3f} | {bare[place]:.3f} |

| a full description and its picture | |
|---|---|
| the text's nearest picture among a hundred is one that it is true of | {recall:.3f} |
| the picture's nearest text among a hundred is true of it | {recall_text:.3f} |

## Training

`python assets/recipes/classifier.py`: from the eyes of `eyes.py`
(whose own minutes are not counted), {steps:,} steps of {batch} scenes
in {minutes:.0f} minutes on {device}; `training.json` has the curve.

## Limits

It knows 48 emoji in 10 drawn places and some 200 words. It was never taught which of two things is
on the left, and hardly to count. Pictures: Noto Color Emoji (SIL Open Font License 1.1) on drawn
backgrounds; no person's photograph was used.
"""


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    model = with_eyes(LearningClassifier(configuration()), trained_eyes(args))
    log = train_blip(args, model, ClassifierTrainer, tell, collate, STEPS, BATCH)
    save_checkpoint(plain(model, CLIPModel), processor(), args.output)
    write_history(args.output, log)


if __name__ == "__main__":
    run("classifier", __doc__, train, card)
