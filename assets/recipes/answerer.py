"""Train the course's answerer: BLIP for visual question answering, on pictures of Toytown.

    python assets/recipes/answerer.py              # 40 minutes on one CPU core, the eyes apart
    python assets/recipes/answerer.py --smoke      # half a minute, to see the loss fall

The architecture is transformers' BlipForQuestionAnswering (Li et al., 2022,
https://arxiv.org/abs/2201.12086): a text encoder reads the question and looks at the picture, a
text decoder writes the answer. It starts from the eyes (eyes.py), whose dense loss goes on helping.
Each picture has four questions a step; half of those that ask "is there" have the answer no.
"""

from argparse import Namespace
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
    with_eyes,
)
from blip import train as train_blip
from eyes import WIDTH, DenseHeads
from PIL import Image
from toytown.language import QUESTIONS, question
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
from transformers import BlipConfig, BlipForQuestionAnswering

STEPS, BATCH, ASKED = 2400, 32, 4
LAYERS = 2  # of the text encoder, and of the decoder
SHARES = {
    "what": 0.16,
    "how many": 0.25,
    "where": 0.08,
    "which colour": 0.15,
    "is there": 0.16,
    "left of": 0.2,
}
TEST_QUESTIONS, FRESH = 500, 1000  # of each kind; the first thousand scenes are for the notebooks


def tell(scene: Scene, rng: np.random.Generator) -> list[tuple[str, str]]:
    """ASKED questions about a scene and their answers."""
    found = []
    while len(found) < ASKED:
        pair = question(scene, str(rng.choice(QUESTIONS, p=[SHARES[k] for k in QUESTIONS])), rng)
        found += [pair] if pair else []
    return found


def collate(samples: list) -> dict:
    """A batch for `LearningAnswerer`: ASKED questions and answers a picture."""
    batch, told = batch_of(samples)
    questions, answers = zip(*(pair for pairs in told for pair in pairs), strict=True)
    answer_ids = encoded(list(answers))["input_ids"]
    answer_ids[:, 0] = START
    return batch | encoded(list(questions)) | {"answer_ids": answer_ids}


class LearningAnswerer(BlipForQuestionAnswering):
    """BLIP's answerer with the heads of the dense loss."""

    def __init__(self, config: BlipConfig):
        super().__init__(config)
        self.dense = DenseHeads(WIDTH)

    def forward(self, pixel_values, input_ids, attention_mask, dense, answer_ids):
        """The loss, as {"loss": …}: of the answers, and the dense one."""
        embeddings, dense_loss = seen(self, pixel_values, dense)
        read = self.text_encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=embeddings.repeat_interleave(ASKED, 0),
        ).last_hidden_state
        # No mask on the question: generate() gives none either, so that the decoder must learn
        # to pass over padding.
        answered = self.text_decoder(
            input_ids=answer_ids,
            encoder_hidden_states=read,
            labels=answer_ids.masked_fill(answer_ids == PAD, -100),
            reduction="mean",
        )
        return {"loss": answered.loss + 0.3 * dense_loss}


class AnswererTrainer(MuonTrainer):
    """The Trainer, whose measurement is the share of right answers to each kind of question."""

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """Sixty questions of each kind about validation scenes."""
        scores = measured(self.model, "validation", 60)
        metrics = {f"eval_{name.replace(' ', '_')}": score for name, score in scores.items()}
        self.log(metrics)
        return metrics


# Measuring -----------------------------------------------------------------------------------


@torch.inference_mode()
def answers(
    model: BlipForQuestionAnswering, images: list[Image.Image], questions: list[str]
) -> list[str]:
    """Answer a question about each picture, as a notebook does."""
    inputs = processor()(images=images, text=questions, padding=True, return_tensors="pt")
    return processor().batch_decode(
        model.generate(**inputs, max_new_tokens=5), skip_special_tokens=True
    )


@in_evaluation
def measured(
    model: BlipForQuestionAnswering, split: str, count: int, first: int = 0
) -> dict[str, float]:
    """The share of right answers to `count` questions of each kind, and their mean, `overall`.

    And `no`: the share of right answers where the asked-for thing is absent.
    """
    right: dict[str, list[bool]] = {kind: [] for kind in (*QUESTIONS, "no")}
    for kind in QUESTIONS:
        index, asked = first, []
        while len(asked) < count:
            chosen = scene(split, index)
            pair = question(chosen, kind, np.random.default_rng(index))
            asked += [(chosen, *pair)] if pair else []
            index += 1
        for begin in range(0, count, 50):
            part = asked[begin : begin + 50]
            images = [render(chosen, 512).image for chosen, _, _ in part]
            said = answers(model, images, [text for _, text, _ in part])
            for (_, _, wanted), answer in zip(part, said, strict=True):
                right[kind].append(answer == wanted)
                if wanted == "no":
                    right["no"].append(answer == "no")
    shares = {kind: float(np.mean(values)) for kind, values in right.items()}
    return shares | {"overall": float(np.mean([shares[kind] for kind in QUESTIONS]))}


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = BlipForQuestionAnswering.from_pretrained(folder)
    return CARD.format(
        right=measured(model, "test", TEST_QUESTIONS, first=FRESH),
        questions=TEST_QUESTIONS,
        batch=BATCH,
        asked=ASKED,
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: visual-question-answering
tags: [blip, toytown]
datasets: [toytown/scenes]
metrics: [accuracy]
---

# Toytown answerer

A genuine BLIP ([Li et al., 2022](https://arxiv.org/abs/2201.12086)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
pictures of [Toytown](../../recipes/toytown). It answers questions about a picture in one word.

```python
from transformers import BlipForQuestionAnswering, BlipProcessor

model = BlipForQuestionAnswering.from_pretrained("assets/checkpoints/answerer")
processor = BlipProcessor.from_pretrained("assets/checkpoints/answerer")
inputs = processor(images=image, text="how many dogs are there?", return_tensors="pt")
processor.decode(model.generate(**inputs)[0], skip_special_tokens=True)
```

## Measured

On {questions} questions of each kind about scenes whose seeds no training has seen, drawn at 512
pixels; an answer counts if it is the very word:

| question | right |
|---|---|
| what is in the picture? what animal is this? what is on the bed? | {right[what]:.3f} |
| how many dogs are there? | {right[how many]:.3f} |
| where is this? | {right[where]:.3f} |
| what color is the car? | {right[which colour]:.3f} |
| is there a dog? | {right[is there]:.3f} |
| of these, where the right answer is no | {right[no]:.3f} |
| what is left (or right) of the car? | {right[left of]:.3f} |
| mean of the six | {right[overall]:.3f} |

## Training

`python assets/recipes/answerer.py`: from the eyes of `eyes.py`
(whose own minutes are not counted), {steps:,} steps of {batch} scenes
with {asked} questions each, in {minutes:.0f} minutes on {device}; `training.json` has
the curve.

## Limits

It knows 48 emoji in 10 drawn places, some 200 words and the forms of question above. Asked anything
else, or about a photograph, it answers all the same, and is wrong. Pictures: Noto Color Emoji (SIL
Open Font License 1.1) on drawn backgrounds; no person's photograph was used.
"""


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    model = with_eyes(LearningAnswerer(configuration(LAYERS)), args)
    log = train_blip(args, model, AnswererTrainer, tell, collate, STEPS, BATCH)
    save_checkpoint(plain(model, BlipForQuestionAnswering), processor(), args.output)
    write_history(args.output, log)


if __name__ == "__main__":
    run("answerer", __doc__, train, card)
