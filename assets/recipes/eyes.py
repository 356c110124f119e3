"""Teach a small vision transformer to look: the eyes that BLIP's three models and CLIP start from.

    python assets/recipes/eyes.py            # three quarters of an hour on one CPU core
    python assets/recipes/eyes.py --smoke    # a few steps, to see the loss fall

It is not shipped: its state stays in training/eyes, and the recipes that need it train it first
where it is missing. A vision transformer that starts from nothing, taught by words alone, needs
hours to find out that a picture holds things. So it first learns from a dense loss, as the detector
does: every token must name, box and colour the thing that covers it, and the class token must know
the place and count the things. With that, captions come within minutes.

Naming comes first ("look", half the scenes crowded). Counting needs one more step of thought: who
else here is of my kind? So then a fifth layer is added, which begins by passing on what it gets,
and every token must also say how many of its kind there are ("count", a third of the scenes herds).
The layer below must single out one token a thing, its keeper, so that there is something to count.
Counting is slow to learn: MuonAndAdamW took half the steps that AdamW alone did.
"""

from argparse import Namespace
from collections import Counter
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, l1_loss
from torch.utils.data import Dataset
from toytown.pictures import Picture, Scene, compose, render, scene, seed
from toytown.vocabulary import LABELS, PAINTS, PLACES
from training import (
    MuonTrainer,
    options,
    parameters,
    trained,
    trainer_arguments,
)
from transformers import BlipVisionConfig, BlipVisionModel, set_seed
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

SIDE = 144  # pixels that the eyes see
PATCH = 12
WIDTH = 160
STAGES = {
    "look": {"steps": 4500, "layers": 4, "crowds": 2, "herds": 0, "learning_rate": 1.5e-3},
    "count": {"steps": 2600, "layers": 5, "crowds": 6, "herds": 3, "learning_rate": 1e-3},
}
LAYERS = STAGES["count"]["layers"]
SMOKE_STEPS, BATCH = 8, 32
MOST = 4  # things of a name that are told apart when counting


def crowded(split: str, index: int) -> Scene:
    """A scene of about eight different things, from the same seeds as the split's other scenes."""
    rng = np.random.default_rng(seed(split, index))
    return compose(rng, kinds={str(name): 1 for name in rng.choice(LABELS, 8, replace=False)})


def herd(split: str, index: int) -> Scene:
    """A scene of one to three names, one to four things each: from one to four are as frequent."""
    rng = np.random.default_rng(seed(split, index))
    names = rng.choice(LABELS, rng.integers(1, 4), replace=False)
    return compose(rng, kinds={str(name): int(rng.integers(1, MOST + 1)) for name in names})


def drawn(
    split: str, index: int, side: int, crowds: int = 0, herds: int = 0, larger: int = 4
) -> tuple[Scene, Picture]:
    """Scene `index` at `side` pixels.

    Every `crowds`-th is crowded, every `herds`-th a herd (none where it is 0). Every `larger`-th
    is drawn at twice the side, to be reduced as people's pictures are.
    """
    if crowds and index % crowds == 1:
        chosen = crowded(split, index)
    elif herds and index % herds == 0:
        chosen = herd(split, index)
    else:
        chosen = scene(split, index)
    return chosen, render(chosen, side if index % larger else 2 * side)


@cache
def image_processor() -> BlipImageProcessorPil:
    """What turns any picture into the eyes' input."""
    return BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})


def pixels(images: list[Image.Image]) -> torch.Tensor:
    """Pictures as pixel_values: float32, shape (pictures, 3, SIDE, SIDE)."""
    return image_processor()(images, return_tensors="pt").pixel_values


# The dense loss ------------------------------------------------------------------------------


def dense_targets(scene: Scene, picture: Picture, grid: int) -> dict[str, torch.Tensor]:
    """What each cell of a grid over a picture shows, and what the picture holds in all.

    things and colours: shape (grid * grid,), a position in LABELS or PAINTS, or the number after
    the last where there is none. numbers: (grid * grid,), how many are of its name and colour, less
    one. keepers: bool, (grid * grid,), the cell nearest to its thing's centre, one a thing. boxes:
    (grid * grid, 4), xyxy in [0, 1]. place: a position in PLACES. counts: (things,), at most MOST.
    """
    side, cells = picture.image.width, grid * grid
    things = torch.full((cells,), len(LABELS))
    colours = torch.full((cells,), len(PAINTS))
    numbers = torch.zeros(cells, dtype=torch.long)
    keepers = torch.zeros(cells, dtype=torch.bool)
    boxes = torch.zeros(cells, 4)
    counts = torch.zeros(len(LABELS), dtype=torch.long)
    kinds = Counter((thing.name, thing.colour) for thing in scene.things)
    if scene.things:
        cell = side // grid
        cover = picture.masks.reshape(-1, grid, cell, grid, cell).mean((2, 4)).reshape(-1, cells)
        owner = np.where(cover.max(0) > 0.2, cover.argmax(0), -1)
        sides = torch.tensor(picture.boxes / side, dtype=torch.float32)
        sides[:, 2:] += sides[:, :2]
        where = (np.stack(np.divmod(np.arange(cells), grid)[::-1], 1) + 0.5) / grid
        for number, thing in enumerate(scene.things):
            counts[LABELS.index(thing.name)] += 1
            own = np.flatnonzero(owner == number)
            if not len(own):
                continue
            things[own] = LABELS.index(thing.name)
            if thing.colour:
                colours[own] = PAINTS.index(thing.colour)
            numbers[own] = min(kinds[thing.name, thing.colour], MOST) - 1
            boxes[own] = sides[number]
            away = np.abs(where[own] - sides[number].unflatten(0, (2, 2)).mean(0).numpy()).sum(1)
            keepers[own[away.argmin()]] = True
    place = torch.tensor(list(PLACES).index(scene.place))
    return {
        "things": things,
        "colours": colours,
        "numbers": numbers,
        "keepers": keepers,
        "boxes": boxes,
        "place": place,
        "counts": counts.clamp(max=MOST),
    }


class DenseHeads(nn.Module):
    """Heads that read things, colours and boxes off tokens, place and counts off one summary.

    They help while training and are left behind. width: of a token.
    """

    def __init__(self, width: int):
        super().__init__()
        self.thing = nn.Linear(width, len(LABELS) + 1)
        self.colour = nn.Linear(width, len(PAINTS) + 1)
        self.number = nn.Linear(width, MOST)
        self.box = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))
        self.centre = nn.Linear(width, 2)  # where it is in the picture: left of whom, above whom
        self.place = nn.Linear(width, len(PLACES))
        self.count = nn.Linear(width, len(LABELS) * (MOST + 1))

    def forward(
        self, tokens: torch.Tensor, summary: torch.Tensor, targets: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """The dense loss. tokens: (batch, grid * grid, width). summary: (batch, width)."""
        with torch.autocast(tokens.device.type, enabled=False):
            tokens, summary = tokens.float(), summary.float()
            grid = round(tokens.shape[1] ** 0.5)
            covered = targets["things"] < len(LABELS)
            weight = torch.ones(len(LABELS) + 1, device=tokens.device)
            weight[-1] = 0.3
            loss = cross_entropy(
                self.thing(tokens).flatten(0, 1), targets["things"].flatten(), weight
            )
            if covered.any():
                colours = targets["colours"][covered]
                loss = loss + 0.5 * cross_entropy(self.colour(tokens[covered]), colours)
                numbers = targets["numbers"][covered]
                loss = loss + 0.5 * cross_entropy(self.number(tokens[covered]), numbers)
                where = (torch.arange(grid, device=tokens.device) + 0.5) / grid
                centres = torch.cartesian_prod(where, where).flip(1)  # xy, row by row
                centres = centres.repeat(1, 2).expand(len(tokens), -1, -1)[covered]
                found = centres + 0.25 * self.box(tokens[covered])
                loss = loss + 4 * l1_loss(found, targets["boxes"][covered])
                middle = targets["boxes"][covered].unflatten(1, (2, 2)).mean(1)
                loss = loss + 2 * l1_loss(self.centre(tokens[covered]), middle)
            loss = loss + 0.3 * cross_entropy(self.place(summary), targets["place"])
            counts = self.count(summary).unflatten(1, (len(LABELS), -1)).transpose(1, 2)
            wrong = cross_entropy(counts, targets["counts"], reduction="none")
            there = targets["counts"] > 0
            return loss + 0.3 * (wrong[there].mean() + wrong[~there].mean() * 5)


def stack(targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Targets of several pictures as one batch."""
    return {key: torch.stack([target[key] for target in targets]) for key in targets[0]}


# The eyes ------------------------------------------------------------------------------------


def vision_configuration(layers: int = LAYERS) -> BlipVisionConfig:
    """A vision transformer of 1.4 million parameters (1.1 with four layers)."""
    return BlipVisionConfig(
        image_size=SIDE,
        patch_size=PATCH,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=5,
        initializer_range=0.02,  # its default, 1e-10, is for loading weights, not for learning
    )


class Eyes(BlipVisionModel):
    """BLIP's vision transformer, with the dense heads."""

    def __init__(self, config: BlipVisionConfig):
        super().__init__(config)
        self.dense = DenseHeads(config.hidden_size)
        self.keeper = nn.Linear(config.hidden_size, 1)

    def forward(self, pixel_values: torch.Tensor, dense: dict | None = None, **kwargs):
        """The vision transformer's forward, or with targets the dense loss, as {"loss": …}."""
        if dense is None:
            return super().forward(pixel_values=pixel_values, **kwargs)
        outputs = super().forward(pixel_values=pixel_values, output_hidden_states=True)
        tokens = outputs.last_hidden_state
        loss = self.dense(tokens[:, 1:], tokens[:, 0], dense)
        before = outputs.hidden_states[self.config.num_hidden_layers - 1][:, 1:]
        covered = dense["things"] < len(LABELS)
        kept = self.keeper(before[covered].float())[:, 0]
        wanted = dense["keepers"][covered].float()
        return {"loss": loss + binary_cross_entropy_with_logits(kept, wanted)}


class Looking(Dataset):
    """Pictures of a split with their dense targets, drawn when asked for."""

    def __init__(self, split: str, length: int, first: int = 0, crowds: int = 0, herds: int = 0):
        self.split, self.length, self.first = split, length, first
        self.crowds, self.herds = crowds, herds

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Image.Image, dict[str, torch.Tensor]]:
        chosen, picture = drawn(self.split, index + self.first, SIDE, self.crowds, self.herds)
        return picture.image, dense_targets(chosen, picture, SIDE // PATCH)


def collate(samples: list) -> dict:
    """A batch for `Eyes`."""
    images, targets = zip(*samples, strict=True)
    return {"pixel_values": pixels(list(images)), "dense": stack(list(targets))}


class EyesTrainer(MuonTrainer):
    """The Trainer; it measures what share of covered tokens name their thing."""

    @torch.inference_mode()
    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """Accuracy of the thing's name over the covered tokens of the validation scenes."""
        self.model.eval()
        batch = collate([self.eval_dataset[i] for i in range(len(self.eval_dataset))])
        tokens = self.model(batch["pixel_values"]).last_hidden_state
        named, wanted = self.model.dense.thing(tokens[:, 1:]).argmax(-1), batch["dense"]["things"]
        covered = wanted < len(LABELS)
        counts = self.model.dense.count(tokens[:, 0]).unflatten(1, (len(LABELS), -1)).argmax(-1)
        exact = (counts == batch["dense"]["counts"]).all(1)
        numbers = self.model.dense.number(tokens[:, 1:]).argmax(-1) == batch["dense"]["numbers"]
        metrics = {
            "eval_tokens": (named == wanted)[covered].float().mean().item(),
            "eval_numbers": numbers[covered].float().mean().item(),
            "eval_counts": exact.float().mean().item(),
        }
        self.model.train()
        self.log(metrics)
        return metrics


def deepened(eyes: Eyes, layers: int) -> Eyes:
    """The same eyes with more layers, which at first pass on what they get."""
    deeper = Eyes(vision_configuration(layers))
    deeper.load_state_dict(eyes.state_dict(), strict=False)
    with torch.no_grad():
        for layer in deeper.encoder.layers[eyes.config.num_hidden_layers :]:
            for last in (layer.self_attn.projection, layer.mlp.fc2):
                last.weight.zero_()
                last.bias.zero_()
    return deeper


def train(args: Namespace, until: str = "count") -> Eyes:
    """Train the eyes from their last state on, stage by stage, to the end of stage `until`."""
    set_seed(args.seed)
    model, first = Eyes(vision_configuration(STAGES["look"]["layers"])), 0
    for name, stage in STAGES.items():
        steps = SMOKE_STEPS if args.smoke else stage["steps"]
        if stage["layers"] > model.config.num_hidden_layers:
            model = deepened(model, stage["layers"])
        print(f"eyes, {name}: {parameters(model):,} parameters, {steps} steps of {BATCH} scenes")
        more = {"per_device_train_batch_size": BATCH, "bf16": True}
        more |= {"learning_rate": stage["learning_rate"]}
        more |= {"eval_strategy": "no"} if args.smoke else {}
        trainer = EyesTrainer(
            model=model,
            args=trainer_arguments(args.build / name, steps, args.seed, **more),
            train_dataset=Looking("train", steps * BATCH, first, stage["crowds"], stage["herds"]),
            eval_dataset=Looking("validation", 100),
            data_collator=collate,
        )
        trained(trainer)
        first += steps * BATCH
        if name == until:
            break
    return model


def trained_eyes(args: Namespace, until: str = "count") -> Eyes:
    """The eyes for a recipe to start from: trained first where training/eyes has not got there."""
    return train(
        Namespace(seed=args.seed, smoke=args.smoke, build=args.build.parent / "eyes"), until
    )


def main() -> None:
    """Train the eyes."""
    train(options("eyes", __doc__))


if __name__ == "__main__":
    main()
