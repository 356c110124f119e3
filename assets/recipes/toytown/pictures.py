"""Pictures of Toytown: scenes of things in a place, with exact boxes and masks.

A `Scene` is a description without pixels. `compose` invents one from a random generator, `render`
draws it at any size: the same scene at 128 pixels for a model and at 512 for people.
Needs the font Noto Color Emoji (Debian: fonts-noto-color-emoji) to draw, nothing to read scenes.
"""

import colorsys
import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .places import paint
from .vocabulary import COLOURS, LABELS, PAINTS, PLACES, THINGS

FONT = os.environ.get("COURSE_EMOJI_FONT", "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SIZES = {"small": (0.15, 0.24), "medium": (0.2, 0.33), "large": (0.25, 0.42)}  # of the side
SEEDS = {"train": 0, "validation": 1, "test": 2}  # a split is a range of seeds of its own
SCENES_PER_SPLIT = 10_000_000
DISTRACTORS = ("disc", "ring", "triangle", "bar", "leaf")


@dataclass(frozen=True)
class Thing:
    """One thing. `x`, `y`: its centre; `scale`: its longer side; as shares of the side."""

    name: str
    x: float
    y: float
    scale: float
    angle: float = 0.0  # degrees, anticlockwise
    flip: bool = False
    brightness: float = 1.0
    colour: str | None = None  # one of PAINTS, for things with `paint`
    on: int | None = None  # the position in `Scene.things` of what it stands on


@dataclass(frozen=True)
class Distractor:
    """A shape with no name, which a detector must leave alone. In front, it hides a little."""

    kind: str
    x: float
    y: float
    scale: float
    angle: float
    rgb: tuple[int, int, int]
    front: bool


@dataclass(frozen=True)
class Scene:
    """A picture's description: a place, and the things in it from back to front."""

    place: str
    seed: int
    things: tuple[Thing, ...]
    distractors: tuple[Distractor, ...] = field(default=())


@dataclass(frozen=True)
class Picture:
    """A drawn scene: an RGB image, and for each thing its visible pixels and their tight box.

    masks: bool, shape (things, side, side). boxes: int, shape (things, 4), COCO's [x, y, width,
    height] in pixels. labels: the things' names.
    """

    image: Image.Image
    masks: np.ndarray
    boxes: np.ndarray
    labels: list[str]


# Glyphs --------------------------------------------------------------------------------------


@functools.cache
def glyph(name: str, colour: str | None = None, flip: bool = False) -> Image.Image:
    """A thing's emoji cut out (RGBA, about 128 pixels), in one of its colours if it has any.

    Raises FileNotFoundError, with what to install, where the emoji font is missing.
    """
    if flip:
        return glyph(name, colour).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if colour:
        return _painted(glyph(name), COLOURS[colour]["hue"] / 360)
    return emoji(THINGS[name]["emoji"])


def emoji(character: str) -> Image.Image:
    """Any emoji of the font, cut out as `glyph` does; raises FileNotFoundError as it does."""
    if not Path(FONT).is_file():
        raise FileNotFoundError(
            f"The font {FONT} is missing: install Noto Color Emoji (Debian, Ubuntu: "
            "apt install fonts-noto-color-emoji) or name its file in COURSE_EMOJI_FONT."
        )
    font = ImageFont.truetype(FONT, 109)  # the one size that its bitmaps have
    image = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(image).text((12, 12), character, font=font, embedded_color=True)
    return image.crop(image.getchannel("A").getbbox())


def _painted(image: Image.Image, hue: float) -> Image.Image:
    """Turn an emoji's main hue (in [0, 1]) into another and leave its other colours alone."""
    hsv = np.asarray(image.convert("RGB").convert("HSV")).astype(float) / 255
    weight = (hsv[..., 1] > 0.3) * (np.asarray(image.getchannel("A")) > 0) * hsv[..., 1]
    histogram, edges = np.histogram(hsv[..., 0], bins=36, range=(0, 1), weights=weight)
    main = edges[np.argmax(histogram)] + 1 / 72
    away = np.abs((hsv[..., 0] - main + 0.5) % 1 - 0.5)
    paint_here = (away < 0.1) & (hsv[..., 1] > 0.2)
    # Yellow and orange need light and red needs depth to be called by their names.
    bright = colorsys.hsv_to_rgb(hue, 1, 1)
    lightness = 0.6 if 0.3 * bright[0] + 0.6 * bright[1] > 0.5 else 1.0
    hsv[..., 0][paint_here] = hue
    hsv[..., 1][paint_here] = hsv[..., 1][paint_here] ** 0.6
    hsv[..., 2][paint_here] = hsv[..., 2][paint_here] ** lightness
    rgb = Image.fromarray((hsv * 255).round().astype(np.uint8), "HSV").convert("RGB")
    rgb.putalpha(image.getchannel("A"))
    return rgb


@functools.cache
def _light(brightness: float, night: bool) -> list[int]:
    """A lookup table for the four bands of an RGBA picture."""
    tint = (0.82, 0.82, 0.95) if night else (1.0, 1.0, 1.0)
    bands = [[min(255, round(v * brightness * t)) for v in range(256)] for t in tint]
    return [*bands[0], *bands[1], *bands[2], *range(256)]


@functools.cache
def _shadow() -> Image.Image:
    tile = Image.new("L", (64, 24))
    ImageDraw.Draw(tile).ellipse((8, 6, 56, 18), 105)
    return tile.filter(ImageFilter.GaussianBlur(3))


# Drawing -------------------------------------------------------------------------------------


def render(scene: Scene, size: int) -> Picture:
    """Draw a scene as a square picture of `size` pixels a side."""
    image = paint(scene.place, scene.seed, size)
    behind = [_shape(d, size) for d in scene.distractors if not d.front]
    front = [_shape(d, size) for d in scene.distractors if d.front]
    for tile, x, y in behind:
        image.paste(tile, (x, y), tile)
    tiles = []
    night = scene.place == "square"
    for thing in scene.things:
        sprite = glyph(thing.name, thing.colour, thing.flip)
        k = thing.scale * size / max(sprite.size)
        box = (max(1, round(sprite.width * k)), max(1, round(sprite.height * k)))
        tile = sprite.resize(box, Image.Resampling.LANCZOS)
        if thing.angle:
            tile = tile.rotate(thing.angle, Image.Resampling.BICUBIC, expand=True)
            tile = tile.crop(tile.getbbox())
        tile = tile.point(_light(round(thing.brightness, 2), night))
        x, y = round(thing.x * size - tile.width / 2), round(thing.y * size - tile.height / 2)
        if y + tile.height > (PLACES[scene.place]["zones"]["ground"][0] - 0.06) * size:
            shadow = _shadow().resize((tile.width, max(2, tile.height // 4)))
            image.paste((40, 40, 60), (x, y + tile.height - shadow.height * 5 // 8), shadow)
        image.paste(tile, (x, y), tile)
        tiles.append((tile, x, y))
    for tile, x, y in front:
        image.paste(tile, (x, y), tile)
    masks = _visible(tiles, front, size)
    boxes = np.array([_tight(mask) for mask in masks], int).reshape(-1, 4)
    return Picture(image, masks, boxes, [thing.name for thing in scene.things])


def _visible(tiles: list, front: list, size: int) -> np.ndarray:
    """Each tile's pixels that nothing in front of it covers: bool, (things, size, size)."""
    masks = np.zeros((len(tiles), size, size), bool)
    covered = np.zeros((size, size), bool)
    for i, (tile, x, y) in reversed(list(enumerate([*tiles, *front]))):
        x0, y0 = max(0, x), max(0, y)
        x1, y1 = min(size, x + tile.width), min(size, y + tile.height)
        if x0 >= x1 or y0 >= y1:
            continue  # a distractor beyond the edge
        opaque = np.asarray(tile.getchannel("A"))[y0 - y : y1 - y, x0 - x : x1 - x] > 127
        if i < len(tiles):
            masks[i, y0:y1, x0:x1] = opaque & ~covered[y0:y1, x0:x1]
        covered[y0:y1, x0:x1] |= opaque
    return masks


def _tight(mask: np.ndarray) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return 0, 0, 0, 0
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def _shape(shape: Distractor, size: int) -> tuple[Image.Image, int, int]:
    side = max(4, round(shape.scale * size))
    tile = Image.new("RGBA", (2 * side, 2 * side), (*shape.rgb, 0))
    draw, s, colour = ImageDraw.Draw(tile), 2 * side - 1, (*shape.rgb, 255)
    if shape.kind == "disc":
        draw.ellipse((0, 0, s, s), colour)
    elif shape.kind == "ring":
        draw.ellipse((0, 0, s, s), outline=colour, width=max(2, s // 5))
    elif shape.kind == "triangle":
        draw.polygon([(s / 2, 0), (s, s), (0, s)], colour)
    elif shape.kind == "bar":
        draw.rectangle((0, 0.36 * s, s, 0.64 * s), colour)
    else:
        draw.pieslice((-s * 0.4, -s * 0.1, s, s * 1.4), 270, 330, colour)
    tile = tile.rotate(shape.angle, Image.Resampling.BICUBIC).reduce(2)
    return tile, round(shape.x * size - side / 2), round(shape.y * size - side / 2)


# Inventing -----------------------------------------------------------------------------------


def compose(
    rng: np.random.Generator, place: str | None = None, kinds: dict[str, int] | None = None
) -> Scene:
    """Invent a scene. `kinds`, where given, says which things and how many ({"dog": 2, "bus": 1}).

    Things stand, fly or swim where the place lets them, nearer ones larger; now and then one is
    anywhere. Overlaps stay small enough that every thing can be named.
    """
    place = place or list(PLACES)[rng.integers(len(PLACES))]
    if kinds is None:
        kinds = _random_kinds(rng)
    names = [name for name, count in kinds.items() for _ in range(count)]
    rng.shuffle(names)
    crowd = min(1.0, (6 / len(names)) ** 0.5) if names else 1.0
    placed: list[Thing] = []
    for name in names:
        thing = _put(rng, name, place, placed, crowd)
        if thing:
            placed.append(thing)
    things = _back_to_front(placed)
    return Scene(place, int(rng.integers(2**31)), things, _distractors(rng, things))


def _random_kinds(rng: np.random.Generator) -> dict[str, int]:
    number = rng.choice(4, p=(0.28, 0.37, 0.25, 0.1)) + 1
    names = rng.choice(LABELS, number, replace=False)
    return {str(name): int(rng.choice((1, 2, 3, 4), p=(0.68, 0.18, 0.1, 0.04))) for name in names}


def _put(
    rng: np.random.Generator, name: str, place: str, placed: list[Thing], crowd: float
) -> Thing | None:
    row, zones = THINGS[name], PLACES[place]["zones"]
    supports = [i for i, t in enumerate(placed) if "support" in THINGS[t.name] and t.on is None]
    stands = row["zone"] == "ground" and row["size"] != "large" and "support" not in row
    on = supports[0] if supports and stands and rng.random() < 0.35 else None
    for attempt in range(40):
        scale = rng.uniform(*SIZES[row["size"]]) * crowd
        x, y = rng.uniform(0.02, 0.98), rng.uniform(0.12, 0.88)
        angle = rng.normal(0, 5) if rng.random() < 0.75 else rng.uniform(-28, 28)
        if on is not None:
            under = placed[on]
            scale, angle = min(scale, 0.75 * under.scale), rng.normal(0, 3)
            x = under.x + rng.uniform(-0.22, 0.22) * under.scale
            top = under.y + (THINGS[under.name]["support"] - 0.5) * _height(under)
            y = top - scale * _shape_of(name)[1] / 2 + 0.015
        elif rng.random() < 0.88:
            low, high = zones.get(row["zone"], zones["ground"])
            depth = rng.random()
            y = low + depth * (high - low)
            if row["zone"] != "sky":  # a foot on the ground, and nearer is larger
                scale *= 0.78 + 0.4 * depth
                y -= scale * _shape_of(name)[1] / 2
        thing = Thing(name, x, y, scale, angle, bool(rng.random() < 0.5),
                      rng.uniform(0.85, 1.12), None, on)  # fmt: skip
        if _fits(thing, placed, 0.04 if attempt < 15 and rng.random() < 0.7 else 0.22, rng):
            paints = [None] if "paint" not in row else PAINTS
            return Thing(**{**thing.__dict__, "colour": paints[rng.integers(len(paints))]})
    return None


def _shape_of(name: str) -> tuple[float, float]:
    """A glyph's width and height as shares of the longer one."""
    width, height = glyph(name).size
    return width / max(width, height), height / max(width, height)


def _height(thing: Thing) -> float:
    return thing.scale * _shape_of(thing.name)[1]


def _extent(thing: Thing) -> tuple[float, float, float, float]:
    width, height = (thing.scale * k for k in _shape_of(thing.name))
    return (thing.x - width / 2, thing.y - height / 2, thing.x + width / 2, thing.y + height / 2)


def _fits(thing: Thing, placed: list[Thing], most: float, rng: np.random.Generator) -> bool:
    """Whether it overlaps no other by more than `most` of the smaller, and stays in the picture."""
    x0, y0, x1, y1 = _extent(thing)
    outside = max(-x0, x1 - 1, -y0, y1 - 1)
    if outside > (0.15 * thing.scale if rng.random() < 0.1 else -0.005):
        return False
    for i, other in enumerate(placed):
        if i == thing.on:
            continue
        a0, b0, a1, b1 = _extent(other)
        overlap = max(0, min(x1, a1) - max(x0, a0)) * max(0, min(y1, b1) - max(y0, b0))
        if overlap > most * min((x1 - x0) * (y1 - y0), (a1 - a0) * (b1 - b0)):
            return False
    return True


def _back_to_front(placed: list[Thing]) -> tuple[Thing, ...]:
    """Sort by the height of the feet; who stands on something comes right after it."""
    feet = [_extent(t)[3] for t in placed]
    order = sorted(
        range(len(placed)),
        key=lambda i: (feet[i], 0) if placed[i].on is None else (feet[placed[i].on], 1),
    )
    rank = {old: new for new, old in enumerate(order)}
    return tuple(Thing(**{**placed[i].__dict__, "on": rank.get(placed[i].on)}) for i in order)


def _distractors(rng: np.random.Generator, things: tuple[Thing, ...]) -> tuple[Distractor, ...]:
    found = []
    for _ in range(rng.integers(0, 4)):
        front = bool(things) and rng.random() < 0.35
        x, y, scale = rng.uniform(0.03, 0.97), rng.uniform(0.1, 0.97), rng.uniform(0.03, 0.1)
        if front:  # hide a corner of somebody
            thing = things[rng.integers(len(things))]
            scale = thing.scale * rng.uniform(0.25, 0.42)
            x = thing.x + thing.scale * rng.choice((-0.42, 0.42))
            y = thing.y + thing.scale * rng.uniform(-0.3, 0.45)
        rgb = tuple(int(v) for v in rng.integers(70, 235, 3))
        kind = DISTRACTORS[rng.integers(len(DISTRACTORS))]
        found.append(Distractor(kind, x, y, scale, rng.uniform(0, 360), rgb, front))
    return tuple(found)


def seed(split: str, index: int) -> int:
    """The seed of picture number `index` of a split: "train", "validation" or "test"."""
    if not 0 <= index < SCENES_PER_SPLIT:
        raise ValueError(f"index is {index}: give a number from 0 to {SCENES_PER_SPLIT - 1}.")
    return SEEDS[split] * SCENES_PER_SPLIT + index


def scene(split: str, index: int) -> Scene:
    """Scene number `index` of a split: always the same one."""
    return compose(np.random.default_rng(seed(split, index)))
