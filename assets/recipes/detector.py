"""Train the course's detector: DETR, from scratch, on Toytown.

    python assets/recipes/detector.py              # about half an hour on 2 CPU cores
    python assets/recipes/detector.py --smoke      # 30 seconds, to see the loss fall

It resumes from its last state in build/detector, and writes assets/checkpoints/detector when the
training has ended and been measured. The architecture is transformers' DetrForObjectDetection
(Carion et al., 2020, https://arxiv.org/abs/2005.12872) with a ResNet of three stages.

Trained naively, a small DETR needs hours before its first box: the queries must learn where to
look while the features they look at are still noise. Four things bring that down to minutes:

1. For the first third only the backbone and the encoder learn, from a dense loss: every encoder
   token must name and box the thing that covers it, through DETR's own two heads. That loss stays
   as a helper after. (Dense helper losses for DETR: Zong et al., 2023, https://arxiv.org/abs/2211.12860)
2. The queries start from the position codes of a grid, not at random, and cross-attention starts
   with equal projections of queries and keys, so that a query begins by looking at its place.
3. BatchNorm learns its statistics. transformers freezes it (with mean 0 and variance 1), and the
   whole ResNet with it, as is right for a pretrained backbone; ours starts from nothing.
4. "No object" weighs 0.3 in the loss, not 0.1: there are few queries, so few empty ones.
"""

import json
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, l1_loss
from torch.utils.data import Dataset
from toytown.pictures import Picture, render, scene
from toytown.vocabulary import LABELS
from training import (
    TimedTrainer,
    last_checkpoint,
    options,
    parameters,
    save_checkpoint,
    trainer_arguments,
    write_manifest,
    write_text,
)
from transformers import (
    AutoBackbone,
    DetrConfig,
    DetrForObjectDetection,
    ResNetConfig,
    set_seed,
)
from transformers.loss.loss_for_object_detection import generalized_box_iou
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
from transformers.models.detr.modeling_detr import replace_batch_norm

STEPS = 4000
BATCH = 32
SIDE = 128  # pixels that the model sees
STRIDE = 16  # pixels of a picture to one token of the encoder
GRID = SIDE // STRIDE
NO_OBJECT_WEIGHT = 0.3


class ToytownDetection(Dataset):
    """Scene `i` of a split, drawn when asked for, and DETR's labels: class ids and cxcywh in [0, 1]."""

    def __init__(self, split: str, length: int):
        self.split, self.length = split, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Picture, dict[str, torch.Tensor]]:
        # Some are drawn larger and then reduced, as people's pictures are.
        side = SIDE if index % 3 else (200, 320)[index % 2]
        picture = render(scene(self.split, index), side)
        boxes = torch.tensor(picture.boxes / side, dtype=torch.float32)
        seen = boxes[:, 2] > 0
        boxes[:, :2] += boxes[:, 2:] / 2
        labels = torch.tensor([LABELS.index(name) for name in picture.labels])
        return picture, {"class_labels": labels[seen], "boxes": boxes[seen]}


def processor() -> DetrImageProcessorPil:
    size = {"height": SIDE, "width": SIDE}
    return DetrImageProcessorPil(size=size, do_pad=False)


def collate(samples: list[tuple[Picture, dict[str, torch.Tensor]]]) -> dict:
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
        weight[-1] = NO_OBJECT_WEIGHT
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
    with torch.autocast(hidden_states.device.type, enabled=False):
        return type(head).forward(head, hidden_states.float())


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """cxcywh to xyxy."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def configuration() -> DetrConfig:
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
        eos_coefficient=NO_OBJECT_WEIGHT,
        auxiliary_loss=True,  # also changes the forward pass: it stays in the saved file
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )


class DetectorTrainer(TimedTrainer):
    """The Trainer, with the dense loss alone for the first third, and mAP as its measurement."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        dense_only = self.state.global_step < self.args.max_steps // 3
        outputs = model(**inputs, dense_only=dense_only)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
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


@torch.inference_mode()
def coco_scores(model: nn.Module, split: str, count: int, first: int = 0, side: int = 512) -> dict:
    """COCO's mean average precision on scenes of a split, drawn at `side` pixels.

    Returns map (over IoU 0.50 to 0.95), map50, map75 and per_class (label to map).
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    was_training = model.training
    model.eval()
    images, truths, found = [], [], []
    for start in range(first, first + count, 50):
        indices = range(start, min(start + 50, first + count))
        pictures = [render(scene(split, i), side) for i in indices]
        inputs = processor()([p.image for p in pictures], return_tensors="pt").to(model.device)
        results = processor().post_process_object_detection(
            model(inputs["pixel_values"]),
            threshold=0.0,
            target_sizes=[(side, side)] * len(pictures),
        )
        for i, picture, result in zip(indices, pictures, results):
            images.append({"id": i, "width": side, "height": side})
            for name, box in zip(picture.labels, picture.boxes.tolist()):
                if box[2]:
                    truths.append({"id": len(truths) + 1, "image_id": i, "bbox": box, "iscrowd": 0,
                                   "area": box[2] * box[3], "category_id": LABELS.index(name)})  # fmt: skip
            boxes = result["boxes"].cpu()
            boxes[:, 2:] -= boxes[:, :2]
            for label, score, box in zip(
                result["labels"].tolist(), result["scores"].tolist(), boxes.tolist()
            ):
                found.append({"image_id": i, "category_id": label, "score": score, "bbox": box})
    model.train(was_training)
    truth = COCO()
    truth.dataset = {"images": images, "annotations": truths,
                     "categories": [{"id": i, "name": n} for i, n in enumerate(LABELS)]}  # fmt: skip
    with quiet():
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # IoU, recall, class; all areas
    per_class = {
        name: float(p[p > -1].mean())
        for name, p in zip(LABELS, precision.transpose(2, 0, 1))
        if (p > -1).any()
    }
    return {"map": float(evaluation.stats[0]), "map50": float(evaluation.stats[1]),
            "map75": float(evaluation.stats[2]), "per_class": per_class}  # fmt: skip


def quiet():
    """pycocotools prints its progress; nobody reads it here."""
    import contextlib
    import io

    return contextlib.redirect_stdout(io.StringIO())


def main() -> None:
    args = options("detector", STEPS, __doc__)
    set_seed(args.seed)
    steps = 12 if args.smoke else args.steps
    model = DenseDetrForObjectDetection(configuration()).to(memory_format=torch.channels_last)
    print(f"{parameters(model):,} parameters, {steps} steps of {BATCH} scenes")
    arguments = trainer_arguments(
        args.build, steps, args.seed, per_device_train_batch_size=BATCH, bf16=True
    )
    trainer = DetectorTrainer(
        model=model,
        args=arguments,
        train_dataset=ToytownDetection("train", steps * BATCH),
        eval_dataset=ToytownDetection("validation", 100),
        data_collator=collate,
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(args.build))
    plain = frozen(model)
    save_checkpoint(plain, processor(), args.output)
    kept = ("step", "seconds", "loss", "eval_map50", "eval_map")
    history = [{k: row[k] for k in kept if k in row} for row in trainer.state.log_history]
    write_text(args.output / "training.json", json.dumps(history, indent=1))
    print(coco_scores(plain, "test", 500, first=1000))
    write_manifest()


if __name__ == "__main__":
    main()
