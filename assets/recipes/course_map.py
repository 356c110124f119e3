"""Draw the course map on the README: how the notebooks connect, as three roads of Toytown.

Run `python assets/recipes/course_map.py`; it writes assets/images/course_map.jpg.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path
from toytown.pictures import emoji
from training import ROOT

WIDTH, HEIGHT = 1600, 900  # pixels; y grows upwards
GRASS, FIELD, SKY, ROAD, INK = "#b9d99a", "#a7cd86", "#cfe8f7", "#f6ecd2", "#1d2b1f"


@dataclass(frozen=True)
class Stop:
    """A notebook on the map: its number, what it is about, its emoji and where it stands."""

    number: str
    about: str
    emoji: str
    x: float
    y: float


STOPS = {
    stop.number: stop
    for stop in (
        Stop("1", "a model behind an API", "📮", 150, 560),
        Stop("2", "open models", "📚", 150, 300),
        Stop("2.1", "transformers, chat", "💬", 500, 610),
        Stop("2.2", "embeddings", "🧭", 800, 610),
        Stop("2.3", "naming sounds", "🔔", 440, 400),
        Stop("2.4", "speech to text", "📝", 700, 400),
        Stop("2.5", "text to speech", "📢", 960, 400),
        Stop("2.6", "objects and boxes", "🔍", 440, 170),
        Stop("2.7", "masks, by a click", "✂", 700, 170),
        Stop("2.8", "pictures and words", "🎨", 960, 170),
        Stop("2.9", "online, for others", "🚀", 1270, 330),
        Stop("", "Build an LLM", "🏗", 1440, 590),
    )
}
ROADS = (  # from, to: one leads to the next, or lends it something
    *(("1", "2.1"), ("2.1", "2.2"), ("2.2", "2.9"), ("1", "2"), ("2", "2.3"), ("2.3", "2.4")),
    *(("2.4", "2.5"), ("2.5", "2.9"), ("2", "2.6"), ("2.6", "2.7"), ("2.7", "2.8")),
    *(("2.8", "2.9"), ("2.9", ""), ("2", "2.1")),
)
NAMES = (
    ("the road of text", 630, 662),
    ("the road of sound", 830, 466),
    ("the road of pictures", 830, 236),
)
SCENERY = (  # emoji, x, y, size in pixels
    *(("🌳", 330, 690, 74), ("🌲", 270, 430, 70), ("🌻", 245, 160, 46), ("🏠", 1085, 610, 84)),
    *(("🌳", 1000, 700, 66), ("🐄", 1085, 262, 60), ("🌲", 1130, 150, 78), ("🌲", 1185, 128, 60)),
    *(("🚌", 980, 520, 74), ("🐕", 560, 275, 48), ("🌻", 830, 60, 46), ("🐑", 570, 62, 54)),
    *(("🌷", 385, 500, 40), ("🐓", 320, 330, 42), ("🏡", 65, 430, 70), ("🌳", 1500, 250, 84)),
    *(("🌳", 1430, 180, 66), ("🐎", 1330, 130, 66), ("✈", 560, 830, 74), ("🎈", 1010, 820, 60)),
    *(("☁", 300, 820, 96), ("☁", 830, 840, 80), ("🌞", 1500, 830, 90), ("🐦", 1180, 800, 42)),
)


def main() -> None:
    """Draw land, roads, scenery and stops, and save the picture."""
    figure = plt.figure(figsize=(WIDTH / 100, HEIGHT / 100))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    land(axes)
    for start, end in ROADS:
        road(axes, STOPS[start], STOPS[end])
    for text, x, y in NAMES:
        axes.text(x, y, text, ha="center", fontsize=15, style="italic", color="#5b6b4d")
    for character, x, y, size in SCENERY:
        picture(axes, character, x, y, size)
    picture(axes, "🤖", 1210, 500, 84)
    axes.text(1210, 414, "the Narrator,\nbuilt on the way", ha="center", fontsize=13, color=INK)
    for stop in STOPS.values():
        sign(axes, stop)
    figure.savefig(ROOT / "assets/images/course_map.jpg", dpi=100, pil_kwargs={"quality": 88})


def land(axes: plt.Axes) -> None:
    """Sky above, two rows of hills below."""
    x = np.linspace(0, WIDTH, 400)
    axes.add_patch(plt.Rectangle((0, 0), WIDTH, HEIGHT, color=SKY, zorder=-3))
    axes.fill_between(
        x, 0, 725 + 22 * np.sin(x / 170) + 12 * np.sin(x / 61), color=FIELD, zorder=-2
    )
    axes.fill_between(x, 0, 640 + 26 * np.sin(x / 240 + 2), color=GRASS, zorder=-1)


def road(axes: plt.Axes, start: Stop, end: Stop) -> None:
    """A road between two stops, which leaves and arrives level."""
    bend = 0.5 * (end.x - start.x)
    points = [
        (start.x, start.y),
        (start.x + bend, start.y),
        (end.x - bend, end.y),
        (end.x, end.y),
    ]
    path = Path(points, [Path.MOVETO, *[Path.CURVE4] * 3])
    axes.add_patch(PathPatch(path, fill=False, lw=20, ec=ROAD, capstyle="round", zorder=1))
    axes.add_patch(PathPatch(path, fill=False, lw=1.6, ec="#c9b48a", ls=(0, (6, 6)), zorder=2))


def picture(axes: plt.Axes, character: str, x: float, y: float, size: float) -> None:
    """An emoji of about `size` pixels with its middle at x, y."""
    image = emoji(character)
    image.thumbnail((size, size))
    box = OffsetImage(np.asarray(image), zoom=0.72)  # of points, at 100 dots an inch
    axes.add_artist(AnnotationBbox(box, (x, y), frameon=False, zorder=3))


def sign(axes: plt.Axes, stop: Stop) -> None:
    """A stop: a disc with its emoji, its number on it, its subject under it."""
    axes.add_patch(Circle((stop.x, stop.y), 50, fc="white", ec=INK, lw=2.2, zorder=4))
    image = OffsetImage(np.asarray(emoji(stop.emoji)), zoom=0.42)
    axes.add_artist(AnnotationBbox(image, (stop.x, stop.y), frameon=False, zorder=5))
    if stop.number:
        axes.text(
            *(stop.x - 46, stop.y + 40, stop.number),
            **{"fontsize": 17, "fontweight": "bold", "color": "white", "zorder": 6},
            **{"ha": "center", "va": "center", "bbox": {"boxstyle": "round", "fc": INK, "ec": INK}},
        )
    label = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85}
    axes.text(
        *(stop.x, stop.y - 72, stop.about),
        **{
            "fontsize": 16,
            "ha": "center",
            "va": "center",
            "color": INK,
            "bbox": label,
            "zorder": 6,
        },
    )


if __name__ == "__main__":
    main()
