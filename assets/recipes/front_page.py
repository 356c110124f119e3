"""Draw the picture on the README: three scenes, what is found in them, and what is said.

Run `python assets/recipes/front_page.py`; it writes assets/images/front_page.jpg.
"""

import sys
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from toytown.pictures import compose, render
from training import CHECKPOINTS, ROOT
from transformers import pipeline

sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "assets" / "apps" / "narrator")]
from app import count
from helpers import drawing

SCENES = (
    ("street", {"bus": 1, "dog": 2, "bicycle": 1, "airplane": 1}, 9),
    ("sea", {"boat": 2, "penguin": 1, "umbrella": 1, "balloon": 2}, 8),
    ("farm", {"cow": 1, "sunflower": 2, "woman": 1, "rabbit": 2, "helicopter": 1}, 2),
)


def main() -> None:
    """Compose each scene from its seed, detect, narrate, and save all three side by side."""
    detect = pipeline("object-detection", model=str(CHECKPOINTS / "detector"))
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.9), layout="constrained")
    for ax, (place, kinds, seed) in zip(axes, SCENES, strict=True):
        image = render(compose(np.random.default_rng(seed), place, kinds), 512).image
        found = detect(image)
        drawing.boxes(image, found, axes=ax)
        ax.set_xlabel(fill(f"“{count(found)}”", 44), fontsize=15, labelpad=8)
    figure.savefig(ROOT / "assets" / "images" / "front_page.jpg", dpi=100)


if __name__ == "__main__":
    main()
