"""Train the course's detector: DETR, from scratch, on Toytown.

    python assets/recipes/detector.py              # an hour on 2 CPU cores
    python assets/recipes/detector.py --smoke      # 30 seconds, to see the loss fall

It resumes from its last state in training/detector, and writes assets/checkpoints/detector when the
training has ended and been measured. The architecture is transformers' DetrForObjectDetection
(Carion et al., 2020, https://arxiv.org/abs/2005.12872) with a ResNet of three stages.

Trained naively, a small DETR needs hours before its first box: the queries must learn where to
look while the features they look at are still noise. Four things bring that down to minutes:

1. For the first two fifths only the backbone and the encoder learn, from a dense loss: every
   encoder token must name and box the thing that covers it, through DETR's own two heads. That
   loss stays as a helper after. (Such helpers for DETR: Zong et al., 2023,
   https://arxiv.org/abs/2211.12860)
2. The queries start from the position codes of a grid, not at random, and cross-attention starts
   with equal projections of queries and keys, so that a query begins by looking at its place.
3. BatchNorm learns its statistics. transformers freezes it (with mean 0 and variance 1), and the
   whole ResNet with it, as is right for a pretrained backbone; ours starts from nothing.
4. "No object" weighs 0.3 in the loss, not 0.1: there are few queries, so few empty ones. In the end
   it weighs 1: by then the only thing left to learn is that one query a thing is enough.
"""

import sys
import time
from argparse import Namespace
from collections import Counter
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from eyes import crowded
from torch import nn
from torch.nn.functional import cross_entropy, l1_loss
from torch.utils.data import Dataset
from toytown.pictures import Picture, render, scene
from toytown.vocabulary import LABELS
from training import (
    ROOT,
    TimedTrainer,
    continued,
    facts,
    in_evaluation,
    parameters,
    run,
    save_checkpoint,
    trained,
    trainer_arguments,
    write_history,
)
from transformers import (
    AutoBackbone,
    DetrConfig,
    DetrForObjectDetection,
    ResNetConfig,
    pipeline,
    set_seed,
)
from transformers.loss.loss_for_object_detection import generalized_box_iou
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
from transformers.models.detr.modeling_detr import replace_batch_norm

sys.path.insert(0, str(ROOT / "notebooks"))
from helpers.measure import mean_average_precision

# First everything is learnt; then, at a low rate and with "no object" at full weight, the queries
# settle who speaks for which thing, so that none is named twice.
STAGES = {
    "learn": {"steps": 4200, "learning_rate": 1e-3, "no_object_weight": 0.3, "dense_share": 0.4},
    "settle": {"steps": 800, "learning_rate": 4e-4, "no_object_weight": 1.0, "dense_share": 0.0},
}
BATCH = 32
SIDE = 144  # pixels that the model sees
STRIDE = 16  # pixels of a picture to one token of the encoder
GRID = SIDE // STRIDE
SIDES = ("xmin", "ymin", "xmax", "ymax")
SMOKE_STEPS = 8
TEST_SCENES, FRESH = 500, 1000  # the first thousand of the test split are for the notebooks


class ToytownDetection(Dataset):
    """Scene `i` of a split, drawn when asked for, and DETR's labels: ids and cxcywh in [0, 1]."""

    def __init__(self, split: str, length: int, first: int = 0):
        self.split, self.length, self.first = split, length, first

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Picture, dict[str, torch.Tensor]]:
        index += self.first
        # Some are drawn larger and then reduced, as people's pictures are.
        side = SIDE if index % 4 else 288
        # Every other one is crowded: more things to learn from in a picture that costs the same.
        drawn = crowded(self.split, index) if index % 2 else scene(self.split, index)
        picture = render(drawn, side)
        boxes = torch.tensor(picture.boxes / side, dtype=torch.float32)
        seen = boxes[:, 2] > 0
        boxes[:, :2] += boxes[:, 2:] / 2
        labels = torch.tensor([LABELS.index(name) for name in picture.labels])
        return picture, {"class_labels": labels[seen], "boxes": boxes[seen]}


@cache
def processor() -> DetrImageProcessorPil:
    """What turns any picture into the model's input; it is saved with the checkpoint."""
    size = {"height": SIDE, "width": SIDE}
    return DetrImageProcessorPil(size=size, do_pad=False)


def collate(samples: list[tuple[Picture, dict[str, torch.Tensor]]]) -> dict:
    """A batch: pixel_values of shape (batch, 3, SIDE, SIDE) and one dict of labels a picture."""
    images = [picture.image for picture, _ in samples]
    pixel_values = processor()(images, return_tensors="pt").pixel_values
    pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
    return {"pixel_values": pixel_values, "labels": [labels for _, labels in samples]}


class DenseDetrForObjectDetection(DetrForObjectDetection):
    """DETR with the dense helper loss, and a backbone that learns (points 1 to 3 above)."""

    def __init__(self, config: DetrConfig):
        super().__init__(config)
        self.model.backbone.model = AutoBackbone.from_config(config.backbone_config)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        # In bfloat16 a coordinate near 1 has steps of half a pixel: boxes are computed in float32.
        self.bbox_predictor.forward = partial(float_forward, self.bbox_predictor)
        with torch.no_grad():
            codes = self.model.position_embedding(
                shape=torch.Size((1, config.d_model, GRID, GRID)), device="cpu", dtype=torch.float32
            )
            rows, columns = np.linspace(1, GRID - 2, 4).round(), np.linspace(0, GRID - 1, 5).round()
            grid = codes[0][:, rows][:, :, columns].flatten(1).T
            self.model.query_position_embeddings.weight.copy_(grid)
            for layer in self.model.decoder.layers:
                attention = layer.encoder_attn
                attention.q_proj.load_state_dict(attention.k_proj.state_dict())

    def forward(self, pixel_values, labels=None, dense_only=False, **kwargs):
        """DETR's forward; with labels its loss holds the dense one, or is only that."""
        outputs = super().forward(pixel_values, labels=None if dense_only else labels, **kwargs)
        if labels is not None:
            dense = self.dense_loss(outputs.encoder_last_hidden_state, labels)
            outputs.loss = dense if dense_only else outputs.loss + dense
        return outputs

    def dense_loss(self, tokens: torch.Tensor, labels: list[dict[str, torch.Tensor]]):
        """DETR's loss with each encoder token as a query, matched to the smallest box it lies in.

        tokens: (batch, GRID * GRID, d_model). Returns a scalar.
        """
        config, count = self.config, tokens.shape[1]
        where = (torch.arange(GRID, device=tokens.device) + 0.5) / GRID
        centres = torch.cartesian_prod(where, where).flip(1)  # (tokens, xy), row by row
        classes = torch.full(tokens.shape[:2], config.num_labels, device=tokens.device)
        boxes = torch.zeros(*tokens.shape[:2], 4, device=tokens.device)
        for i, label in enumerate(labels):
            if not len(label["boxes"]):
                continue
            half = label["boxes"][:, 2:].clamp(min=1 / GRID) / 2  # the smallest cover a token too
            inside = ((centres[:, None] - label["boxes"][:, :2]).abs() < half).all(-1)
            area = label["boxes"][:, 2:].prod(-1).expand(count, -1).masked_fill(~inside, torch.inf)
            nearest, covered = area.argmin(1), inside.any(1)
            classes[i, covered] = label["class_labels"][nearest[covered]]
            boxes[i, covered] = label["boxes"][nearest[covered]]
        logits = self.class_labels_classifier(tokens)
        weight = torch.ones(config.num_labels + 1, device=tokens.device)
        weight[-1] = config.eos_coefficient
        loss = cross_entropy(logits.flatten(0, 1), classes.flatten(), weight)
        positive = classes < config.num_labels
        if positive.any():
            found, wanted = self.bbox_predictor(tokens[positive]).sigmoid(), boxes[positive]
            overlap = generalized_box_iou(corners(found), corners(wanted)).diagonal()
            loss = (
                loss
                + config.bbox_loss_coefficient
                * l1_loss(found, wanted, reduction="none").sum(-1).mean()
            )
            loss = loss + config.giou_loss_coefficient * (1 - overlap).mean()
        return loss


def float_forward(head: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    """A head's forward in float32, whatever precision is around it."""
    with torch.autocast(hidden_states.device.type, enabled=False):
        return type(head).forward(head, hidden_states.float())


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes from cxcywh to xyxy."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def configuration() -> DetrConfig:
    """A DETR of 2.4 million parameters."""
    backbone = ResNetConfig(
        embedding_size=32,
        hidden_sizes=[48, 96, 192],
        depths=[1, 1, 2],
        layer_type="basic",
        out_features=["stage3"],
    )
    return DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        d_model=128,
        encoder_layers=2,
        decoder_layers=3,
        encoder_ffn_dim=320,
        decoder_ffn_dim=320,
        num_queries=20,
        dropout=0.0,
        auxiliary_loss=True,  # also changes the forward pass: it stays in the saved file
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )


class DetectorTrainer(TimedTrainer):
    """The Trainer, with the dense loss alone at first, and mAP as its measurement."""

    dense_share = 0.0  # of the steps, at the beginning

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        """The dense loss first, then all of it."""
        dense_only = self.state.global_step < self.dense_share * self.args.max_steps
        outputs = model(**inputs, dense_only=dense_only)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """Mean average precision on a hundred validation scenes."""
        scores = coco_scores(self.model, "validation", 100)
        metrics = {f"eval_{name}": scores[name] for name in ("map50", "map")}
        self.log(metrics)
        return metrics


def frozen(model: DenseDetrForObjectDetection) -> DetrForObjectDetection:
    """The same weights as the plain class that a notebook loads, BatchNorm frozen."""
    with torch.no_grad():
        replace_batch_norm(model.model.backbone.model)
    plain = DetrForObjectDetection(model.config)
    plain.load_state_dict(model.state_dict())
    return plain.eval()


# Measuring -----------------------------------------------------------------------------------


@in_evaluation
@torch.inference_mode()
def coco_scores(model: nn.Module, split: str, count: int, first: int = 0, side: int = 512) -> dict:
    """Mean average precision on scenes `first` to `first + count` of a split.

    The scenes are drawn at `side` pixels, as people see them; the processor resizes. Returns what
    `helpers.measure.mean_average_precision` does.
    """
    truths, detections = [], []
    for start in range(first, first + count, 50):
        indices = range(start, min(start + 50, first + count))
        pictures = [render(scene(split, i), side) for i in indices]
        for picture in pictures:
            seen = picture.boxes[:, 2] > 0  # not what is hidden altogether
            labels = [name for name, visible in zip(picture.labels, seen, strict=True) if visible]
            truths.append({"category": labels, "bbox": picture.boxes[seen].tolist()})
        inputs = processor()([p.image for p in pictures], return_tensors="pt").to(model.device)
        results = processor().post_process_object_detection(
            model(inputs["pixel_values"]),
            threshold=0.0,
            target_sizes=[(side, side)] * len(pictures),
        )
        for result in results:
            rows = (result[key].tolist() for key in ("labels", "scores", "boxes"))
            detections.append(
                [
                    {
                        "label": LABELS[label],
                        "score": score,
                        "box": dict(zip(SIDES, box, strict=True)),
                    }
                    for label, score, box in zip(*rows, strict=True)
                ]
            )
    return mean_average_precision(detections, truths)


def speed(folder: Path) -> dict[str, float]:
    """Seconds to load the pipeline and detect once, and to detect again, on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = [render(scene("test", i), 512).image for i in range(20)]
    started = time.perf_counter()
    detect = pipeline("object-detection", model=str(folder), device="cpu")
    detect(images[0])
    first = time.perf_counter() - started
    started = time.perf_counter()
    for image in images:
        detect(image)
    torch.set_num_threads(threads)
    return {"first": first, "again": (time.perf_counter() - started) / len(images)}


def exact_share(folder: Path, first: int, count: int) -> float:
    """The share of test scenes whose names, at 0.5, are just those of the things to be seen."""
    detect = pipeline("object-detection", model=str(folder), device="cpu")
    right = 0
    for index in range(first, first + count):
        picture = render(scene("test", index), 512)
        named = Counter(detection["label"] for detection in detect(picture.image))
        seen = zip(picture.labels, picture.boxes[:, 2] > 0, strict=True)
        right += named == Counter(label for label, visible in seen if visible)
    return right / count


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = DetrForObjectDetection.from_pretrained(folder)
    scores, seconds = coco_scores(model, "test", TEST_SCENES, first=FRESH), speed(folder)
    ranked = sorted(scores["per_class"].items(), key=lambda item: item[1])
    return CARD.format(
        **scores,
        **seconds,
        scenes=TEST_SCENES,
        exact=exact_share(folder, FRESH, 200),
        parameters=parameters(model),
        **facts(folder),
        batch=BATCH,
        side=SIDE,
        things=len(LABELS),
        labels=", ".join(LABELS),
        worst=", ".join(f"{name} {score:.2f}" for name, score in ranked[:4]),
        best=", ".join(f"{name} {score:.2f}" for name, score in ranked[:-5:-1]),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: object-detection
tags: [detr, toytown]
metrics: [mean_average_precision]
datasets: [toytown/scenes]
---

# Toytown detector

A genuine DETR ([Carion et al., 2020](https://arxiv.org/abs/2005.12872)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
pictures of [Toytown](../../recipes/toytown). It finds {things} kinds of things:
{labels}.

```python
from transformers import pipeline

pipeline("object-detection", model="assets/checkpoints/detector")
```

## Measured

On {scenes} scenes whose seeds no training has seen, drawn at 512 pixels:

| | |
|---|---|
| mAP at IoU 0.50 | {map50:.3f} |
| mAP at IoU 0.75 | {map75:.3f} |
| mAP over IoU 0.50 to 0.95 (COCO's) | {map:.3f} |
| scenes in which each thing is named, and once, at a threshold of 0.5 (200 scenes) | {exact:.2f} |
| loading and the first picture, imports apart | {first:.2f} s |
| each further picture, one core | {again:.3f} s |

Best (mAP 0.50 to 0.95): {best}. Worst: {worst}.

## Training

`python assets/recipes/detector.py`: {steps:,} steps of {batch} scenes at {side} pixels, in
{minutes:.0f} minutes on {device}; `training.json` has the curve.

## Limits

It knows emoji in drawn places. On photographs it is wrong, and often sure. Small things behind
others are missed first. At most 20 things a picture. Pictures: Noto Color Emoji (SIL Open Font
License 1.1) on drawn backgrounds; no person's photograph was used.
"""


def train(args: Namespace) -> None:
    """Train from the last state on, stage by stage, and write the checkpoint, without its card."""
    set_seed(args.seed)
    model = DenseDetrForObjectDetection(configuration()).to(memory_format=torch.channels_last)
    history, first = [], 0
    for name, stage in STAGES.items():
        steps = SMOKE_STEPS if args.smoke else stage["steps"]
        print(f"{name}: {parameters(model):,} parameters, {steps} steps of {BATCH} scenes")
        folder, rate = args.build / name, {"learning_rate": stage["learning_rate"]}
        more = rate | {"per_device_train_batch_size": BATCH, "bf16": True}
        more |= {"eval_strategy": "no"} if args.smoke else {}
        model.config.eos_coefficient = stage["no_object_weight"]
        trainer = DetectorTrainer(
            model=model,
            args=trainer_arguments(folder, steps, args.seed, **more),
            train_dataset=ToytownDetection("train", steps * BATCH, first=first * BATCH),
            eval_dataset=ToytownDetection("validation", 100),
            data_collator=collate,
        )
        trainer.dense_share = stage["dense_share"]
        history = continued(history, trained(trainer))
        first += steps
    save_checkpoint(frozen(model), processor(), args.output)
    write_history(args.output, history)


if __name__ == "__main__":
    run("detector", __doc__, train, card)
