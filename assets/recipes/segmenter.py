"""Train the course's segmenter: SAM, on Toytown.

    python assets/recipes/segmenter.py              # three hours on one CPU core, the eyes apart
    python assets/recipes/segmenter.py --smoke      # half a minute, to see the loss fall

The architecture is transformers' SamModel (Kirillov et al., 2023, https://arxiv.org/abs/2304.02643):
an image encoder that runs once a picture, a prompt encoder, and a small decoder that runs once a
prompt. What differs from the paper is what makes a small one learn in minutes:

1. The image encoder starts from the eyes as they are when they can name things but not yet count
   (the stage "look" of eyes.py), with smaller patches of larger pictures, and with windows, as
   SAM's own; their dense loss goes on helping.
2. Masks are fine work, and a few clicks a picture teach it slowly. So every token must also draw
   its own four by four cells of the mask of the thing that it lies on. At first ("draw") the
   image encoder learns from this and the dense loss alone. Then the decoder learns what a click
   means, from an image encoder that stays as it is ("point"), then both together ("cut"), and last
   ("hone") the decoder three times as fast as the rest, and the whole thing before its part and
   group, while tokens also tell which cells of all others are of their thing.
3. The three masks have fixed meanings. The paper lets them find their own (only the best of three
   is corrected); here the first is the part under the click, by colour, the second the whole
   thing, the third the thing with all that touches it. The score predicts each mask's IoU with the
   whole thing: what most clicks mean.
4. Later clicks are put where the mask of the first is wrong, as in the paper, and then one mask is
   asked for. Boxes are the thing's own, shaken by a tenth.
"""

import time
from argparse import Namespace
from functools import cache
from math import isqrt
from pathlib import Path
from shutil import which

import numpy as np
import torch
from eyes import STAGES as EYES
from eyes import (
    DenseHeads,
    dense_targets,
    drawn,
    stack,
    trained_eyes,
    vision_configuration,
)
from PIL import Image
from scipy.ndimage import binary_dilation, label
from scipy.stats import spearmanr
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, mse_loss
from torch.utils.data import Dataset
from toytown.pictures import Picture, render, scene
from training import (
    MuonTrainer,
    continued,
    facts,
    in_evaluation,
    parameters,
    plain,
    run,
    save_checkpoint,
    trained,
    trainer_arguments,
    write_history,
)
from transformers import SamConfig, SamModel, SamProcessor, set_seed
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

SIDE = 256  # pixels that the model sees
PATCH = 8  # finer than the eyes': a mask is as sharp as its tokens are small
GRID = SIDE // PATCH  # tokens a side
WINDOW = 8  # tokens a side that look at each other in all layers but one, which looks at all
FINE = 4 * GRID  # cells a side of the masks that the decoder draws
BATCH = 8
STAGES = {
    "draw": {"max_steps": 1500, "learning_rate": 1.5e-3},
    "point": {"max_steps": 700},
    "cut": {"max_steps": 1600},
    "hone": {"max_steps": 1600},
}
PACES = {"mask_decoder": 3, "prompt_encoder": 3, "same": 3}  # when honing, of the image encoder's
WEIGHTS = (0.5, 2, 0.5)  # and of part, whole and group
CLICKED = 16  # tokens a picture that are asked which cells are of their thing, when honing
SMOKE = {"max_steps": 8, "per_device_train_batch_size": 2, "eval_strategy": "no"}
PROMPTS = 6  # a picture
PART, WHOLE, GROUP = range(3)
TEST_SCENES, FRESH = 500, 1000  # the first thousand of the test split are for the notebooks


# What a click can mean -----------------------------------------------------------------------


def heaps(masks: np.ndarray) -> np.ndarray:
    """Number the heaps of things that touch each other, 0 where nothing is: int, (side, side)."""
    reach = max(1, round(masks.shape[-1] / 100))
    touching, _ = label(binary_dilation(masks.any(0), iterations=reach))
    return touching * masks.any(0)


def meanings(rgb: np.ndarray, whole: np.ndarray, heap: np.ndarray, x: int, y: int) -> np.ndarray:
    """The three masks that a click at pixel x, y can mean: bool, (3, side, side).

    The part of one colour around the click, the whole thing, the thing with all that touches it.
    rgb: int, (side, side, 3). whole: the thing's mask. heap: what `heaps` returns.
    """
    away = np.abs(rgb - rgb[y, x]).max(-1)
    for tolerance in (40, 70, 110):
        regions, _ = label(whole & (away < tolerance))
        part = regions == regions[y, x]
        if part.sum() > 0.12 * whole.sum():
            break
    else:
        part = whole
    return np.stack([part, whole, heap == heap[y, x]])


def click(mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """A random pixel (x, y) of a mask that is not on its very edge, where it is large enough."""
    inner = mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1)
    rows, columns = np.nonzero(inner if inner.any() else mask)
    chosen = rng.integers(len(rows))
    return int(columns[chosen]), int(rows[chosen])


class Prompts(Dataset):
    """Pictures of a split, half of them crowded, with what a stage learns from.

    Fine and dense targets where the image encoder learns, prompts where the decoder does.
    """

    def __init__(self, split: str, length: int, first: int = 0, stage: str = "cut"):
        self.split, self.length, self.first, self.stage = split, length, first, stage

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Image.Image, dict[str, torch.Tensor]]:
        index += self.first
        chosen, picture = drawn(self.split, index, SIDE, crowds=2, larger=16)
        picture, targets = reduced(picture), {}
        if self.stage != "point":
            targets = {"fine": fine_targets(picture.masks)} | dense_targets(chosen, picture, GRID)
        if self.stage != "draw":
            targets |= prompts(picture, np.random.default_rng((index, 7)))
        if self.stage == "hone":
            targets |= same_things(picture.masks, np.random.default_rng((index, 8)))
        return picture.image, targets


def prompts(picture: Picture, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """PROMPTS clicks on a picture of SIDE pixels, and the masks and boxes that they can mean.

    Now and then a click is on the background: `on` is False.
    """
    areas = picture.masks.sum((1, 2))
    seen = np.flatnonzero(areas > (SIDE / 40) ** 2)
    rgb, heap = np.asarray(picture.image).astype(np.int16), heaps(picture.masks)
    points, masks, boxes, on = [], [], [], []
    for number in range(PROMPTS):
        if not len(seen) or (number == 0 and rng.random() < 0.6):
            x, y = click(heap == 0, rng)
            meant, box, thing = np.zeros((3, SIDE, SIDE), bool), [0, 0, 1, 1], False
        else:
            chosen_thing = int(seen[rng.integers(len(seen))])
            x, y = click(picture.masks[chosen_thing], rng)
            meant = meanings(rgb, picture.masks[chosen_thing], heap, x, y)
            left, top, width, height = picture.boxes[chosen_thing]
            shake = rng.uniform(-0.1, 0.1, 4) * [width, height, width, height]
            box = np.clip(np.array([left, top, left + width, top + height]) + shake, 0, SIDE)
            thing = True
        points.append([x, y])
        masks.append(meant)
        boxes.append(box)
        on.append(thing)
    stacked = np.stack(masks)
    return {
        "points": torch.tensor(points, dtype=torch.float32),
        "masks": torch.tensor(stacked),
        "shares": torch.tensor(shares(stacked.reshape(-1, SIDE, SIDE))).unflatten(0, (-1, 3)),
        "box_prompts": torch.tensor(np.array(boxes), dtype=torch.float32),
        "on": torch.tensor(on),
    }


def shares(masks: np.ndarray) -> np.ndarray:
    """What share of each cell of the decoder's masks lies in each mask: (n, FINE, FINE)."""
    cell = SIDE // FINE
    return masks.reshape(-1, FINE, cell, FINE, cell).mean((2, 4), dtype=np.float32)


def same_things(masks: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """CLICKED tokens, each under a click on a random thing, and the cells of their things.

    masks: (things, SIDE, SIDE). Returns tokens (CLICKED,), a position in the grid, and cells
    (CLICKED, GRID * GRID, 16), shares; -1 where there is no thing.
    """
    seen = np.flatnonzero(masks.sum((1, 2)) > (SIDE / 40) ** 2)
    if not len(seen):
        none = torch.full((CLICKED, GRID**2, 16), -1, dtype=torch.float16)
        return {"tokens": torch.zeros(CLICKED, dtype=torch.long), "cells": none}
    chosen = rng.choice(seen, CLICKED)
    where = np.array([click(masks[thing], rng) for thing in chosen]) // PATCH
    cells = shares(masks).reshape(-1, GRID, 4, GRID, 4).transpose(0, 1, 3, 2, 4)
    cells = cells.reshape(len(masks), GRID**2, 16)[chosen]
    return {
        "tokens": torch.tensor(where[:, 1] * GRID + where[:, 0]),
        "cells": torch.tensor(cells, dtype=torch.float16),
    }


def fine_targets(masks: np.ndarray) -> torch.Tensor:
    """For each token its sixteen cells of the mask of the thing that it lies on most.

    masks: (things, SIDE, SIDE). Returns shares of cells, (GRID * GRID, 16); -1 where nothing is.
    """
    if not len(masks):
        return torch.full((GRID**2, 16), -1.0)
    cell = PATCH // 4
    cells = masks.reshape(-1, GRID, 4, cell, GRID, 4, cell).mean((3, 6), dtype=np.float32)
    cells = cells.transpose(0, 1, 3, 2, 4).reshape(len(masks), GRID**2, 16)
    cover = cells.mean(2)
    chosen = np.take_along_axis(cells, cover.argmax(0)[None, :, None], 0)[0]
    chosen[cover.max(0) == 0] = -1
    return torch.tensor(chosen)


def reduced(picture: Picture) -> Picture:
    """A picture drawn at twice the model's size, at the model's size; any other as it is."""
    if picture.image.width == SIDE:
        return picture
    masks = picture.masks[:, ::2, ::2] & picture.masks[:, 1::2, 1::2]
    image = picture.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return Picture(image, masks, picture.boxes // 2, picture.labels)


@cache
def processor() -> SamProcessor:
    """What turns a picture and its prompts into the model's input; saved with the checkpoint."""
    side, fine = {"height": SIDE, "width": SIDE}, {"height": FINE, "width": FINE}
    image_processor = SamImageProcessorPil(
        size={"longest_edge": SIDE},
        pad_size=side,
        mask_size={"longest_edge": FINE},
        mask_pad_size=fine,
    )
    return SamProcessor(image_processor)


def collate(samples: list) -> dict:
    """A batch: pixel_values (batch, 3, SIDE, SIDE) and the prompts."""
    images, prompts = zip(*samples, strict=True)
    pixels = processor().image_processor(list(images), return_tensors="pt").pixel_values
    return {"pixel_values": pixels, "prompts": stack(list(prompts))}


# Learning ------------------------------------------------------------------------------------


class SameThing(nn.Module):
    """Says of any two tokens which of the second's cells are of the thing that the first is on.

    A thousand answers for each click, at the cost of a product: what few clicks teach slowly. It
    helps while training and is left behind. channels: of a token.
    """

    def __init__(self, channels: int, width: int = 32):
        super().__init__()
        layers = (nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, 16 * width))
        self.asking = nn.Sequential(*layers)
        layers = (nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, width))
        self.asked = nn.Sequential(*layers)
        self.any = nn.Linear(channels, 16)

    def forward(self, embeddings: torch.Tensor, prompts: dict) -> torch.Tensor:
        """The loss. embeddings: (batch, tokens, channels)."""
        on = prompts["cells"][:, 0, 0, 0] >= 0
        if not on.any():
            return embeddings.sum() * 0
        embeddings, cells = embeddings[on], prompts["cells"][on].float()
        at = prompts["tokens"][on, :, None].expand(-1, -1, embeddings.shape[-1])
        asking = self.asking(embeddings.gather(1, at)).unflatten(2, (16, -1))
        asked = self.asked(embeddings)
        logits = torch.einsum("bncd,bjd->bnjc", asking, asked) / asked.shape[-1] ** 0.5
        logits = (logits + self.any(embeddings)[:, None]).float().flatten(2)
        entropy, dice = compared(logits, cells.flatten(2))
        return (4 * entropy + dice).mean()


class LearningSam(SamModel):
    """SAM with the dense heads, and a loss over clicks and boxes."""

    def __init__(self, config: SamConfig):
        super().__init__(config)
        channels = config.vision_config.output_channels
        self.dense = DenseHeads(channels)
        self.fine = nn.Linear(channels, 16)
        self.same = SameThing(channels)

    def forward(self, pixel_values=None, prompts=None, stage="cut", seed=0, **kwargs):
        """SAM's forward, or with prompts the loss of a stage, as {"loss": …}."""
        if prompts is None:
            return super().forward(pixel_values=pixel_values, **kwargs)
        with torch.set_grad_enabled(stage != "point"):
            embeddings = self.vision_encoder(pixel_values).last_hidden_state
        loss = 0 if stage == "point" else self.drawing_loss(embeddings, prompts)
        if stage == "draw":
            return {"loss": loss}
        if stage == "hone":
            loss = loss + self.same(embeddings.flatten(2).transpose(1, 2), prompts)
        weights = WEIGHTS if stage == "hone" else (1, 1, 1)
        rng = np.random.default_rng(seed)
        points, masks, on = prompts["points"][:, :, None], prompts["shares"], prompts["on"]
        first = super().forward(image_embeddings=embeddings, input_points=points)
        whole = first.pred_masks.detach()[:, :, WHOLE]
        guess = enlarged(whole, SIDE).numpy() > 0
        loss = loss + mask_loss(first, masks, masks[:, :, WHOLE], on, weights)
        if rng.random() < 0.4:
            many = bool(rng.random() < 0.5)
            boxed = super().forward(
                image_embeddings=embeddings,
                input_boxes=prompts["box_prompts"],
                multimask_output=many,
            )
            wanted = masks[:, :, WHOLE]
        else:
            many = bool(rng.random() < 0.3)
            points, labels, meant = more_clicks(guess, prompts, rng)
            wanted = masks.flatten(0, 1)[torch.arange(meant.numel()), meant.flatten()]
            wanted = wanted.unflatten(0, meant.shape)
            boxed = super().forward(
                image_embeddings=embeddings,
                input_points=points,
                input_labels=labels,
                multimask_output=many,
            )
        chosen = slice(WHOLE, WHOLE + 1) if many else slice(0, 1)
        boxed.pred_masks = boxed.pred_masks[:, :, chosen]
        boxed.iou_scores = boxed.iou_scores[:, :, chosen]
        return {"loss": loss + mask_loss(boxed, wanted[:, :, None], wanted, on)}

    def drawing_loss(self, embeddings: torch.Tensor, prompts: dict) -> torch.Tensor:
        """The dense loss, and each token's own cells. embeddings: (batch, channels, GRID, GRID)."""
        tokens = embeddings.flatten(2).transpose(1, 2)
        loss = 0.3 * self.dense(tokens, tokens.mean(1), prompts)
        drawn_here = prompts["fine"][..., 0] >= 0
        cells = self.fine(tokens[drawn_here]).float()
        return loss + binary_cross_entropy_with_logits(cells, prompts["fine"][drawn_here])


def more_clicks(
    guess: np.ndarray, prompts: dict[str, torch.Tensor], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The first click and up to three more, put where the first mask is not what is meant.

    guess: the first masks, bool, (batch, prompts, SIDE, SIDE). Returns points (batch, prompts,
    clicks, 2) in pixels, labels (batch, prompts, clicks) and which mask is meant (batch, prompts).
    """
    clicks = int(rng.integers(0, 4))
    batch, count = guess.shape[:2]
    points = np.zeros((batch, count, clicks + 1, 2), np.float32)
    labels = np.ones((batch, count, clicks + 1), np.int64)
    points[:, :, 0] = prompts["points"].numpy()
    shares = (0.15, 0.7, 0.15) if clicks else (0, 1, 0)  # the first click means the whole thing
    meant = rng.choice(3, (batch, count), p=shares)
    all_masks = prompts["masks"].numpy()
    wanted = np.take_along_axis(all_masks, meant[:, :, None, None, None], 2)[:, :, 0]
    for i, j in np.ndindex(batch, count):
        inside = wanted[i, j]
        wrong = inside ^ guess[i, j]
        for number in range(1, clicks + 1):
            where = wrong if wrong.sum() > 8 and rng.random() < 0.8 else inside
            if not where.any():
                where = ~inside
            x, y = click(where, rng)
            points[i, j, number] = x, y
            labels[i, j, number] = inside[y, x]
    return torch.tensor(points), torch.tensor(labels), torch.tensor(meant)


def enlarged(logits: torch.Tensor, side: int) -> torch.Tensor:
    """Mask logits as the processor enlarges them: (n, k, FINE, FINE) to (n, k, side, side)."""
    return interpolate(logits.float(), (side, side), mode="bilinear", align_corners=False)


def mask_loss(
    outputs, masks: torch.Tensor, meant: torch.Tensor, on: torch.Tensor, weights: tuple = (1,)
) -> torch.Tensor:
    """Cross-entropy and dice on the masks of things; squared error on the predicted IoU of all.

    masks: shares, (batch, prompts, n, FINE, FINE), one for each that is predicted. meant: (batch,
    prompts, FINE, FINE), the mask that the score is about. on: (batch, prompts), False for
    background. weights: of the n masks.
    """
    scores, logits = outputs.iou_scores.float(), outputs.pred_masks[on].float()
    entropy, dice = compared(logits.flatten(2), masks[on].flatten(2))
    weights = torch.tensor(weights) / sum(weights)
    true = torch.zeros_like(scores)
    true[on] = iou(logits.detach() > 0, meant[on][:, None] > 0.5)
    return ((4 * entropy + dice) * weights).sum(1).mean() + mse_loss(scores, true)


def compared(logits: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy and dice of masks, over the last dimension, their cells.

    (Dice: Milletari et al., 2016, https://arxiv.org/abs/1606.04797)
    """
    entropy = binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(-1)
    found = logits.sigmoid()
    both = 2 * (found * wanted).sum(-1) + 1
    return entropy, 1 - both / (found.square().sum(-1) + wanted.square().sum(-1) + 1)


def iou(masks: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of bool masks, over the last two dimensions; 0 of two empty ones."""
    union = (masks | others).sum((-1, -2)).clamp(min=1)
    return (masks & others).sum((-1, -2)) / union


def configuration() -> SamConfig:
    """A SAM of 1.4 million parameters, its image encoder like the eyes."""
    channels, eyes = 64, vision_configuration(EYES["look"]["layers"])
    return SamConfig(
        attn_implementation="eager",  # on a CPU, several times faster to train than the fused one
        vision_config={
            "hidden_size": eyes.hidden_size,
            "output_channels": channels,
            "num_hidden_layers": eyes.num_hidden_layers,
            "num_attention_heads": eyes.num_attention_heads,
            "mlp_dim": eyes.intermediate_size,
            "image_size": SIDE,
            "patch_size": PATCH,
            "initializer_range": 0.02,  # its default, 1e-10, is for loading, not for learning
            "use_rel_pos": False,
            "window_size": WINDOW,
            "global_attn_indexes": [2],
            "num_pos_feats": channels // 2,
        },
        prompt_encoder_config={
            "hidden_size": channels,
            "image_size": SIDE,
            "patch_size": PATCH,
            "mask_input_channels": 16,
        },
        mask_decoder_config={
            "hidden_size": channels,
            "mlp_dim": 2 * channels,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": channels,
        },
    )


def with_eyes(model: LearningSam, args: Namespace) -> LearningSam:
    """Give SAM's image encoder the eyes' layers, and position codes that fit few tokens."""
    theirs, ours = trained_eyes(args, "look").state_dict(), model.vision_encoder.state_dict()
    names = {"projection": "proj", "fc1": "lin1", "fc2": "lin2", "self_attn": "attn"}
    for name, value in theirs.items():
        if name.startswith("encoder.layers."):
            parts = name.removeprefix("encoder.").split(".")
            ours[".".join(names.get(part, part) for part in parts)] = value
    patches = theirs["embeddings.patch_embedding.weight"]  # (width, 3, 12, 12)
    larger = patches.shape[-1] ** 2 / PATCH**2  # so that a smaller patch sums up to as much
    ours["patch_embed.projection.weight"] = larger * interpolate(
        patches, (PATCH, PATCH), mode="bilinear", antialias=True
    )
    ours["patch_embed.projection.bias"] = theirs["embeddings.patch_embedding.bias"]
    positions = theirs["embeddings.position_embedding"][:, 1:]
    grid = positions.unflatten(1, (isqrt(positions.shape[1]), -1)).permute(0, 3, 1, 2)
    grid = interpolate(grid, (GRID, GRID), mode="bicubic")
    ours["pos_embed"] = grid.permute(0, 2, 3, 1)
    model.vision_encoder.load_state_dict(ours)
    nn.init.normal_(model.shared_image_embedding.positional_embedding)
    return model


def ready_to_point(model: LearningSam) -> LearningSam:
    """Start the decoder so that a click and the place that it is at find each other.

    Queries and keys hold sines and cosines of positions: with one projection for both they match
    where the positions do. From SamModel's own small random ones, most of an hour goes by first.
    """
    for module in model.mask_decoder.transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    for name, module in model.mask_decoder.transformer.named_modules():
        if hasattr(module, "q_proj") and "self_attn" not in name:
            nn.init.xavier_uniform_(module.q_proj.weight, gain=2)
            module.k_proj.load_state_dict(module.q_proj.state_dict())
    return model


class SegmenterTrainer(MuonTrainer):
    """The Trainer, with IoU as its measurement once all of it learns."""

    stage = "cut"

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        """The loss, whose random clicks depend on the step alone."""
        outputs = model(**inputs, stage=self.stage, seed=self.state.global_step)
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """IoU from one click and from a box on fifty validation scenes."""
        if self.stage == "draw":
            return {}
        scores = measured(self.model, "validation", 50, side=320)
        metrics = {f"eval_{name}": scores[name] for name in ("click", "best", "box")}
        self.log(metrics)
        return metrics


# Measuring -----------------------------------------------------------------------------------


@in_evaluation
@torch.inference_mode()
def measured(model: nn.Module, split: str, count: int, first: int = 0, side: int = 512) -> dict:
    """How well the things of scenes `first` to `first + count` of a split are cut out.

    Each thing that shows more than a thousandth of the picture is clicked once, in its middle part,
    and boxed once; the background is clicked once a scene. Returns mean IoU: `click` of the mask
    with the highest score, `single` of the one mask (multimask_output=False), `best` of the best of
    three, `box` of the one mask from the box; `rank`, Spearman's correlation of predicted and true
    IoU over all masks; `background` and `thing`, the mean of the highest score on each; `part` and
    `group`, the IoU of the first and third mask with what they stand for.
    """
    rng = np.random.default_rng(first)
    found: dict[str, list] = {
        name: []
        for name in (
            "click", "single", "best", "box", "part", "group", "thing", "background", "predicted",
            "true",
        )
    }  # fmt: skip
    for index in range(first, first + count):
        picture = render(scene(split, index), side)
        seen = np.flatnonzero(picture.masks.mean((1, 2)) > 0.001)
        clicks = [click(picture.masks[i], rng) for i in seen]
        rgb, heap = np.asarray(picture.image).astype(int), heaps(picture.masks)
        meant = [
            meanings(rgb, picture.masks[i], heap, *where)
            for i, where in zip(seen, clicks, strict=True)
        ]
        clicks.append(click(~picture.masks.any(0), rng))
        encoded = processor()(picture.image, return_tensors="pt")
        embeddings = model.get_image_embeddings(encoded.pixel_values)
        inputs = processor()(
            picture.image, input_points=[[[list(where)] for where in clicks]], return_tensors="pt"
        )
        three = model(image_embeddings=embeddings, input_points=inputs.input_points)
        one = model(
            image_embeddings=embeddings, input_points=inputs.input_points, multimask_output=False
        )
        found["background"].append(three.iou_scores[0, -1].max().item())
        if not meant:
            continue
        truth = torch.tensor(np.stack(meant))
        masks = full_size(three.pred_masks, inputs)[:-1]
        overlap = iou(masks, truth[:, WHOLE, None])
        scores = three.iou_scores[0, :-1]
        found["click"] += overlap.gather(1, scores.argmax(1, keepdim=True))[:, 0].tolist()
        found["best"] += overlap.max(1).values.tolist()
        found["thing"] += scores.max(1).values.tolist()
        found["predicted"] += scores.flatten().tolist()
        found["true"] += overlap.flatten().tolist()
        found["single"] += iou(full_size(one.pred_masks, inputs)[:-1, 0], truth[:, WHOLE]).tolist()
        for name, slot in (("part", PART), ("group", GROUP)):
            found[name] += iou(masks[:, slot], truth[:, slot]).tolist()
        sides = picture.boxes[seen].copy()
        sides[:, 2:] += sides[:, :2]
        inputs = processor()(picture.image, input_boxes=[sides.tolist()], return_tensors="pt")
        boxed = model(
            image_embeddings=embeddings, input_boxes=inputs.input_boxes, multimask_output=False
        )
        found["box"] += iou(full_size(boxed.pred_masks, inputs)[:, 0], truth[:, WHOLE]).tolist()
    rank = spearmanr(found.pop("predicted"), found.pop("true")).statistic
    return {name: float(np.mean(values)) for name, values in found.items()} | {"rank": float(rank)}


def full_size(masks: torch.Tensor, inputs) -> torch.Tensor:
    """Mask logits of one picture as bool masks of its size: (prompts, masks, height, width)."""
    return processor().post_process_masks(
        masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )[0]


@torch.inference_mode()
def speed(folder: Path) -> dict[str, float]:
    """Seconds to load, to embed a picture, and to answer one click on it, on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    image = render(scene("test", 0), 512).image
    started = time.perf_counter()
    model = SamModel.from_pretrained(folder).eval()
    loading = time.perf_counter() - started
    inputs = processor()(image, input_points=[[[256, 256]]], return_tensors="pt")
    times: dict[str, list[float]] = {"embedding": [], "click": []}
    for _ in range(20):
        started = time.perf_counter()
        embeddings = model.get_image_embeddings(inputs.pixel_values)
        times["embedding"].append(time.perf_counter() - started)
        started = time.perf_counter()
        model(image_embeddings=embeddings, input_points=inputs.input_points)
        times["click"].append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return {"loading": loading} | {name: float(np.median(t)) for name, t in times.items()}


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = SamModel.from_pretrained(folder)
    return CARD.format(
        **measured(model, "test", TEST_SCENES, first=FRESH),
        seconds=speed(folder),
        scenes=TEST_SCENES,
        parameters=parameters(model),
        **facts(folder),
        batch=BATCH,
        side=SIDE,
        fine=FINE,
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: mask-generation
tags: [sam, toytown]
datasets: [toytown/scenes]
metrics: [mean_iou]
---

# Toytown segmenter

A genuine SAM ([Kirillov et al., 2023](https://arxiv.org/abs/2304.02643)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained on
pictures of [Toytown](../../recipes/toytown). Give it a click or a box, and it cuts out what is
there.

```python
from transformers import SamModel, SamProcessor

model = SamModel.from_pretrained("assets/checkpoints/segmenter")
processor = SamProcessor.from_pretrained("assets/checkpoints/segmenter")
inputs = processor(image, input_points=[[[256, 300]]], return_tensors="pt")
outputs = model(**inputs)  # pred_masks: the part, the whole thing, all that touches it
```

## Measured

On {scenes} scenes whose seeds no training has seen, drawn at 512 pixels, one random click and one
exact box for each thing:

| mean IoU | |
|---|---|
| one click, the mask with the highest score | {click:.3f} |
| one click, the one mask (`multimask_output=False`) | {single:.3f} |
| one click, the best of the three masks | {best:.3f} |
| a box, the one mask | {box:.3f} |
| first mask with the part of one colour under the click | {part:.3f} |
| third mask with the thing and all that touches it | {group:.3f} |

| the score, which predicts the IoU with the whole thing | |
|---|---|
| rank correlation with the true IoU, over all masks | {rank:.2f} |
| mean of the highest score, clicks on things | {thing:.2f} |
| mean of the highest score, clicks on the background | {background:.2f} |

| seconds on one core | |
|---|---|
| loading, imports apart | {seconds[loading]:.2f} |
| embedding a picture | {seconds[embedding]:.3f} |
| one click on an embedded picture | {seconds[click]:.4f} |

## Training

`python assets/recipes/segmenter.py`: from the eyes of `eyes.py`
(whose own minutes are not counted), {steps:,} steps of {batch}
scenes at {side} pixels, in {minutes:.0f} minutes on {device}; `training.json` has the
curve.

## Limits

It knows emoji in drawn places. On photographs it follows what looks like a drawn edge. Its masks
have {fine} cells a side: finer than that it does not see. Pictures: Noto Color Emoji (SIL Open Font
License 1.1) on drawn backgrounds; no person's photograph was used.
"""


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    set_seed(args.seed)
    model = ready_to_point(with_eyes(LearningSam(configuration()), args))
    history, first = [], 2_000_000
    if which("c++") and not args.smoke:  # compiling takes a quarter of a minute, and saves a third
        model.vision_encoder.compile()
    for name, more in STAGES.items():
        more = {"bf16": True, "per_device_train_batch_size": BATCH} | more
        more |= SMOKE if args.smoke else {}
        steps, batch = more.pop("max_steps"), more["per_device_train_batch_size"]
        print(f"{name}: {parameters(model):,} parameters, {steps} steps of {batch} scenes")
        trainer = SegmenterTrainer(
            model=model,
            args=trainer_arguments(args.build / name, steps, args.seed, **more),
            train_dataset=Prompts("train", steps * batch, first, stage=name),
            eval_dataset=Prompts("validation", 50),
            data_collator=collate,
        )
        trainer.stage = name
        trainer.paces = PACES if name == "hone" else None
        history = continued(history, trained(trainer))
        first += steps * batch
    save_checkpoint(plain(model, SamModel), processor(), args.output)
    write_history(args.output, history)


if __name__ == "__main__":
    run("segmenter", __doc__, train, card)
