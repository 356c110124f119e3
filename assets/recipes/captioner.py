"""Train the course's captioner: BLIP, on pictures of Toytown.

    python assets/recipes/captioner.py              # 40 minutes on one CPU core, the eyes apart
    python assets/recipes/captioner.py --smoke      # half a minute, to see the loss fall

The architecture is transformers' BlipForConditionalGeneration (Li et al., 2022,
https://arxiv.org/abs/2201.12086). It starts from the eyes (eyes.py), whose dense loss goes on
helping. Each picture has two captions a step, which name its things in different orders, largest
first on the whole; some begin with "a picture of" or its like, so that a text start is familiar.
A third text says how one thing stands to another and no more: which of two is on the left is one
word in twenty-five of a caption, too little to learn it from.
"""

from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from blip import (
    PAD,
    START,
    batch_of,
    configuration,
    encoded,
    processor,
    seen,
    some_start,
    tokenizer,
    with_eyes,
)
from blip import (
    train as train_blip,
)
from eyes import WIDTH, DenseHeads
from PIL import Image
from toytown.language import (
    RELATIONS,
    Statement,
    claims,
    description,
    related,
    understand,
)
from toytown.pictures import Scene, render, scene
from training import (
    MuonTrainer,
    facts,
    in_evaluation,
    parameters,
    plain,
    run,
    save_checkpoint,
    write_history,
)
from transformers import BlipConfig, BlipForConditionalGeneration

STEPS, BATCH = 3200, 32
DESCRIPTIONS = 2  # a picture; and one remark on how one thing stands to another
TEXTS = DESCRIPTIONS + 1
TEST_SCENES, FRESH = 500, 1000  # the first thousand of the test split are for the notebooks


def tell(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Descriptions of a scene, 3 in 10 with a start, and a relation where one is clear."""
    starts = [some_start(rng) for _ in range(TEXTS)]
    texts = [description(scene, rng).text(start) for start in starts]
    found = [triple for kind in RELATIONS for triple in related(scene, kind)]
    if found:
        texts[-1] = Statement(relation=found[rng.integers(len(found))]).text()
    return texts


def collate(samples: list) -> dict:
    """A batch for `LearningCaptioner`: TEXTS texts a picture."""
    batch, told = batch_of(samples)
    texts = encoded([text for texts in told for text in texts])
    texts["input_ids"][:, 0] = START
    labels = texts["input_ids"].masked_fill(texts["input_ids"] == PAD, -100)
    # A remark begins with "the". It must not learn that: with no start it shall describe.
    remarks = texts["input_ids"][:, 1] == tokenizer().convert_tokens_to_ids("the")
    labels[remarks, 1] = -100
    return batch | texts | {"labels": labels}


class LearningCaptioner(BlipForConditionalGeneration):
    """BLIP's captioner with the heads of the dense loss."""

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        self.dense = DenseHeads(WIDTH)

    def forward(
        self, pixel_values, input_ids=None, attention_mask=None, labels=None, dense=None, **kwargs
    ):
        """BLIP's forward; with dense targets the loss, as {"loss": …}."""
        if dense is None:
            return super().forward(pixel_values, input_ids, attention_mask, labels, **kwargs)
        embeddings, dense_loss = seen(self, pixel_values, dense)
        outputs = self.text_decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=embeddings.repeat_interleave(TEXTS, 0),
            labels=labels,
            reduction="mean",
        )
        return {"loss": outputs.loss + 0.3 * dense_loss}


class CaptionerTrainer(MuonTrainer):
    """The Trainer, whose measurement is whether captions are true and complete."""

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """Captions of a hundred validation scenes."""
        scores = measured(self.model, "validation", 100)
        metrics = {f"eval_{name}": scores[name] for name in ("true", "named")}
        self.log(metrics)
        return metrics


# Measuring -----------------------------------------------------------------------------------


@torch.inference_mode()
def captions(model: BlipForConditionalGeneration, images: list[Image.Image], start="") -> list[str]:
    """Caption pictures, from a text start if one is given, as a notebook does."""
    text = [start] * len(images) if start else None
    inputs = processor()(images=images, text=text, return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=50)
    return processor().batch_decode(ids, skip_special_tokens=True)


def judged(texts: list[str], scenes: list[Scene]) -> dict[str, float]:
    """Shares of captions: `true`, every fact is so; `named`, every thing in the scene is named.

    And the share of true facts of each kind: things (their names), counts with their colours,
    places, relations.
    """
    true, named, kinds = [], [], {"thing": [], "count": [], "place": [], "relation": []}
    for text, chosen in zip(texts, scenes, strict=True):
        statement = understand(text)
        there = Counter(thing.name for thing in chosen.things)
        said = {group.name for group in statement.groups}
        true.append(all(claims(statement, chosen).values()))
        named.append(there.keys() <= said)
        kinds["thing"] += [name in there for name in said]
        for fact, holds in claims(statement, chosen).items():
            relation = statement.relation and fact == " ".join(statement.relation)
            place = not relation and fact.startswith(("in the ", "on the ", "by the "))
            kinds["relation" if relation else "place" if place else "count"].append(holds)
    shares = {kind: float(np.mean(holds)) for kind, holds in kinds.items()}
    return {"true": float(np.mean(true)), "named": float(np.mean(named))} | shares


@in_evaluation
def measured(
    model: BlipForConditionalGeneration, split: str, count: int, first: int = 0, start: str = ""
) -> dict[str, float]:
    """What `judged` says of the captions of scenes `first` to `first + count` of a split."""
    scenes = [scene(split, index) for index in range(first, first + count)]
    texts = []
    for begin in range(0, count, 50):
        images = [render(chosen, 512).image for chosen in scenes[begin : begin + 50]]
        texts += captions(model, images, start)
    return judged(texts, scenes)


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = BlipForConditionalGeneration.from_pretrained(folder)
    free = measured(model, "test", TEST_SCENES, first=FRESH)
    started = measured(model, "test", TEST_SCENES, first=FRESH, start="a picture of")
    numbers = {"free": free, "started": started, "scenes": TEST_SCENES, "batch": BATCH}
    return CARD.format(**numbers, parameters=parameters(model), **facts(folder))


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-to-text
tags: [blip, image-captioning, toytown]
datasets: [toytown/scenes]
metrics: [accuracy]
---

# Toytown captioner

A genuine BLIP ([Li et al., 2022](https://arxiv.org/abs/2201.12086)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
pictures of [Toytown](../../recipes/toytown). It says what is in a picture: things, how many, their
colours, the place, and how one stands to another.

```python
from transformers import BlipForConditionalGeneration, BlipProcessor

model = BlipForConditionalGeneration.from_pretrained("assets/checkpoints/captioner")
processor = BlipProcessor.from_pretrained("assets/checkpoints/captioner")
ids = model.generate(**processor(images=image, return_tensors="pt"), max_new_tokens=50)
processor.decode(ids[0], skip_special_tokens=True)
```

## Measured

On {scenes} scenes whose seeds no training has seen, drawn at 512 pixels. Facts are looked up in the
scene, not compared as strings: "two red cars" is true if there are just two.

| share of captions | no start | from "a picture of" |
|---|---|---|
| every fact in it is true | {free[true]:.3f} | {started[true]:.3f} |
| every kind of thing in the scene is named | {free[named]:.3f} | {started[named]:.3f} |

| share of facts that are true | no start | from "a picture of" |
|---|---|---|
| things that are there | {free[thing]:.3f} | {started[thing]:.3f} |
| counts, with their colours | {free[count]:.3f} | {started[count]:.3f} |
| places | {free[place]:.3f} | {started[place]:.3f} |
| relations | {free[relation]:.3f} | {started[relation]:.3f} |

## Training

`python assets/recipes/captioner.py`: from the eyes of `eyes.py`
(whose own minutes are not counted), {steps:,} steps of {batch} scenes
in {minutes:.0f} minutes on {device}; `training.json` has the curve.

## Limits

It knows 48 emoji in 10 drawn places and some 200 words. Of a photograph it says something in those
words all the same, and is wrong. Pictures: Noto Color Emoji (SIL Open Font License 1.1) on drawn
backgrounds; no person's photograph was used.
"""


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    model = with_eyes(LearningCaptioner(configuration()), args)
    log = train_blip(args, model, CaptionerTrainer, tell, collate, STEPS, BATCH)
    save_checkpoint(plain(model, BlipForConditionalGeneration), processor(), args.output)
    write_history(args.output, log)


if __name__ == "__main__":
    run("captioner", __doc__, train, card)
