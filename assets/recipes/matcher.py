"""Train the course's matcher: BLIP for image-text retrieval, on pictures of Toytown.

    python assets/recipes/matcher.py              # half an hour on one CPU core, the eyes apart
    python assets/recipes/matcher.py --smoke      # half a minute, to see the loss fall

The architecture is transformers' BlipForImageTextRetrieval (Li et al., 2022,
https://arxiv.org/abs/2201.12086), with both its heads: the contrastive one compares a picture's
vector with a text's; the matching one reads the text while it looks at the picture, and says
whether it is true. It starts from the eyes (eyes.py), whose dense loss goes on helping. For the
matching head each picture has two true texts, the same two with one word swapped so that they are
false, and one that is true of another picture: the hard negatives are what it learns most from.
"""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from blip import (
    batch_of,
    configuration,
    contrastive_loss,
    encoded,
    processor,
    seen,
    some_start,
    with_eyes,
)
from blip import train as train_blip
from eyes import WIDTH, DenseHeads, pixels
from torch.nn.functional import cross_entropy, normalize
from toytown.language import Statement, description, is_true, remark, swapped
from toytown.pictures import Scene, render, scene
from training import (
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
from transformers import BlipConfig, BlipForImageTextRetrieval

STEPS, BATCH, TRUE = 2000, 32, 2
LAYERS = 2
KINDS = ("thing", "number", "colour", "place", "relation")
TEST_PAIRS, FRESH = 500, 1000  # of each sort; the first thousand scenes are for the notebooks


@dataclass(frozen=True)
class Told:
    """A scene, TRUE true texts, as many that one word makes false, and what the first says."""

    scene: Scene
    first: Statement
    true: list[str]
    false: list[str]


def tell(scene: Scene, rng: np.random.Generator) -> Told:
    """Texts about a scene, 3 in 10 with a start."""
    true, false, first = [], [], None
    while len(true) < TRUE:
        statement = remark(scene, rng)
        wrong = swapped(statement, scene, rng)
        if wrong:
            first = first or statement
            true.append(statement.text(some_start(rng)))
            false.append(wrong[1].text(some_start(rng)))
    return Told(scene, first, true, false)


def true_of(told: list[tuple[Scene, Statement]]) -> list[list[bool]]:
    """Of which scenes which statements are true: a row a scene."""
    return [[is_true(statement, chosen) for _, statement in told] for chosen, _ in told]


def collate(samples: list) -> dict:
    """A batch for `LearningMatcher`.

    For each picture its true texts, its false ones, and the next picture's first one (with the
    label 1 if that is true of this picture too). And who is true of whom, for the contrastive head:
    `pairs` (pictures, pictures), the first true text of each against every picture.
    """
    batch, told = batch_of(samples)
    texts, labels = [], []
    for i, own in enumerate(told):
        other = told[(i + 1) % len(told)]
        texts += [*own.true, *own.false, other.true[0]]
        labels += [1] * TRUE + [0] * TRUE + [int(is_true(other.first, own.scene))]
    pairs = pairs_of([(own.scene, own.first) for own in told], true_of)
    return batch | encoded(texts) | {"labels": torch.tensor(labels), "pairs": pairs}


class LearningMatcher(BlipForImageTextRetrieval):
    """BLIP's matcher with the heads of the dense loss and the contrastive one's temperature."""

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        self.dense = DenseHeads(WIDTH)
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, pixel_values, input_ids, attention_mask, dense, labels, pairs):
        """The loss, as {"loss": …}: of both heads, and the dense one."""
        embeddings, dense_loss = seen(self, pixel_values, dense)
        each = len(labels) // len(pixel_values)
        read = self.text_encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=embeddings.repeat_interleave(each, 0),
        ).last_hidden_state
        matching = cross_entropy(self.itm_head(read[:, 0]).float(), labels)
        first = self.text_encoder(
            input_ids=input_ids[::each], attention_mask=attention_mask[::each]
        ).last_hidden_state
        image = normalize(self.vision_proj(embeddings[:, 0]).float(), dim=-1)
        text = normalize(self.text_proj(first[:, 0]).float(), dim=-1)
        image, text = rows_of_all(image), rows_of_all(text)
        logits = self.scale.exp().clamp(max=100) * image @ text.T
        contrastive = contrastive_loss(logits, pairs_of_all(pairs, true_of))
        return {"loss": matching + 0.25 * contrastive + 0.3 * dense_loss}


class MatcherTrainer(MuonTrainer):
    """The Trainer, whose measurement is accuracy on random and on swapped pairs."""

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """A hundred pairs of each sort from validation scenes."""
        scores = measured(self.model, "validation", 100)
        metrics = {f"eval_{name}": scores[name] for name in ("random", "swapped", "recall")}
        self.log(metrics)
        return metrics


# Measuring -----------------------------------------------------------------------------------


@torch.inference_mode()
def match(model: torch.nn.Module, pixel_values: torch.Tensor, texts: list[str]) -> torch.Tensor:
    """The matching head's probability that each text is true of its picture: (pictures,)."""
    inputs = {"pixel_values": pixel_values} | encoded(texts)
    scores = BlipForImageTextRetrieval.forward(model, **inputs).itm_score
    return scores.softmax(1)[:, 1]


@torch.inference_mode()
def cosines(model: torch.nn.Module, pixel_values: torch.Tensor, texts: list[str]) -> torch.Tensor:
    """The contrastive head's similarity of every picture to every text: (pictures, texts)."""
    inputs = {"pixel_values": pixel_values} | encoded(texts)
    return BlipForImageTextRetrieval.forward(model, **inputs, use_itm_head=False).itm_score


@in_evaluation
def measured(model: torch.nn.Module, split: str, count: int, first: int = 0) -> dict[str, float]:
    """Accuracy of the matching head at 0.5, and recall of the contrastive one.

    `random`: a full description, true of the picture in half the pairs, of another one in the rest.
    `swapped`: something true, in the other half with one word swapped; each kind of word by itself
    over the false ones. `recall`: the description's own picture is the nearest of a hundred.
    """
    right: dict[str, list[bool]] = {name: [] for name in ("random", "swapped", *KINDS)}
    recall = []
    for begin in range(first, first + count, 100):
        scenes = [scene(split, index) for index in range(begin, begin + 100)]
        pixel_values = pixels([render(chosen, 512).image for chosen in scenes])
        rngs = [np.random.default_rng(begin + i) for i in range(100)]
        full = [description(chosen) for chosen in scenes]
        turned = [full[(i + (i % 2)) % 100] for i in range(100)]  # every other: the next one's
        truth = [is_true(s, chosen) for s, chosen in zip(turned, scenes, strict=True)]
        sure = match(model, pixel_values, [s.text() for s in turned]) > 0.5
        right["random"] += (sure == torch.tensor(truth)).tolist()
        said, wrong = [], []
        for i, (chosen, rng) in enumerate(zip(scenes, rngs, strict=True)):
            statement = remark(chosen, rng)
            false = swapped(statement, chosen, rng) if i % 2 else None
            said.append((false[1] if false else statement).text())
            wrong.append(false[0] if false else None)
        for kind, sure in zip(wrong, match(model, pixel_values, said).tolist(), strict=True):
            right["swapped"].append((sure > 0.5) == (kind is None))
            if kind:
                right[kind].append(sure <= 0.5)
        near = cosines(model, pixel_values, [s.text() for s in full]).argmax(0)
        recall += [is_true(s, scenes[i]) for s, i in zip(full, near.tolist(), strict=True)]
    shares = {name: float(np.mean(values)) if values else 0.0 for name, values in right.items()}
    return shares | {"recall": float(np.mean(recall))}


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = BlipForImageTextRetrieval.from_pretrained(folder)
    return CARD.format(
        **measured(model, "test", TEST_PAIRS, first=FRESH),
        pairs=TEST_PAIRS,
        batch=BATCH,
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
tags: [blip, image-text-matching, toytown]
datasets: [toytown/scenes]
metrics: [accuracy]
---

# Toytown matcher

A genuine BLIP ([Li et al., 2022](https://arxiv.org/abs/2201.12086)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
pictures of [Toytown](../../recipes/toytown). It says whether a sentence is true of a picture.

```python
from transformers import BlipForImageTextRetrieval, BlipProcessor

model = BlipForImageTextRetrieval.from_pretrained("assets/checkpoints/matcher")
processor = BlipProcessor.from_pretrained("assets/checkpoints/matcher")
inputs = processor(images=image, text="two dogs in the park", return_tensors="pt")
model(**inputs).itm_score.softmax(1)[0, 1]  # the probability that it is true
```

## Measured

On {pairs} pairs of each sort about scenes whose seeds no training has seen, drawn at 512 pixels:

| matching head, right at a threshold of 0.5 | |
|---|---|
| a full description of the picture, or of another one | {random:.3f} |
| something true, or the same with one word swapped | {swapped:.3f} |
| of the swapped: another thing | {thing:.3f} |
| another number | {number:.3f} |
| another colour | {colour:.3f} |
| another place | {place:.3f} |
| left for right, above for below, or the two things exchanged | {relation:.3f} |

| contrastive head | |
|---|---|
| a description's nearest picture among a hundred is one that it is true of | {recall:.3f} |

## Training

`python assets/recipes/matcher.py`: from the eyes of `eyes.py`
(whose own minutes are not counted), {steps:,} steps of {batch} scenes
with five texts each, in {minutes:.0f} minutes on {device}; `training.json` has the
curve.

## Limits

It knows 48 emoji in 10 drawn places and some 200 words. Negation ("no dog") it has never read.
Pictures: Noto Color Emoji (SIL Open Font License 1.1) on drawn backgrounds; no person's photograph
was used.
"""


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    config = configuration(LAYERS, intermediate_size=160, image_text_hidden_size=64)
    model = with_eyes(LearningMatcher(config), args)
    log = train_blip(args, model, MatcherTrainer, tell, collate, STEPS, BATCH)
    save_checkpoint(plain(model, BlipForImageTextRetrieval), processor(), args.output)
    write_history(args.output, log)


if __name__ == "__main__":
    run("matcher", __doc__, train, card)
